// A client of a Plimsoll server, for C and for whatever calls C.
//
// Read kvcache/c/plimsoll_base.h first: codes, texts, struct_size, handles. Link
// libplimsoll_client.
//
// What a client is granted it keeps: leases are renewed by a thread of its own until they are
// released, and end by themselves where the process dies. Of a ledger that was started again it
// claims what it held; the id that a reservation was granted under goes on meaning it. Calls that
// find no server are made again for `retry_ns`, under one request_id. While no server answers, a
// configured safe capacity is granted by the client itself and marked `local`; by default there is
// none.
//
// Threads: any call from any thread. Callbacks come on threads of the library, and on_lost also on
// the caller's, within a call that finds a loss: they must not block, and must not call back into
// the client.
#ifndef PLIMSOLL_CLIENT_H_
#define PLIMSOLL_CLIENT_H_

#include "kvcache/c/plimsoll_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PLIMSOLL_CLIENT_API __attribute__((visibility("default")))
#else
#define PLIMSOLL_CLIENT_API
#endif

typedef struct plimsoll_client plimsoll_client;

// Hears that a reservation was lost, by the id that it was granted under: a renewal did not find it
// any more, or a claim of it was refused. `code` is PLIMSOLL_FAILED_PRECONDITION where another life
// of the server began, PLIMSOLL_RESOURCE_EXHAUSTED where that has no room for it, else
// PLIMSOLL_NOT_FOUND. `line` says so in words; both texts are gone after the call.
typedef void (*plimsoll_lost_callback)(void* context, const char* reservation_id,
                                       plimsoll_code code, const char* line);

typedef struct plimsoll_client_options {
  size_t struct_size;
  const char* server;          // "host:port" or "unix:/path"; null: 127.0.0.1:8470
  int64_t call_timeout_ns;     // of one answer, on top of a wait; 0: 5 s
  int64_t connect_timeout_ns;  // of one attempt; 0: 2 s
  int64_t retry_ns;            // how long a blocking call that finds no server is made again
  // The safe capacity. 0 requests: without a server nothing is granted.
  int64_t safe_requests;
  int64_t safe_blocks;
  int64_t safe_block_tokens;  // the server's; 0: 16
  // From version 1.1 on. How the client knows its server and what it proves itself with: texts are
  // paths of files, those of certificates and keys in PEM. A Unix socket is plaintext in any case.
  const char* ca;           // whose certificates a server may have; null: those the system trusts
  const char* certificate;  // ours and its key, for a server that asks
  const char* key;
  const char* token_file;  // its first line is sent with each call
  const char* token;       // the token itself, in place of a file
  int32_t tls;             // 1: speak TLS; a ca or a certificate says that too
  int32_t insecure;        // 1: send the token beyond this machine though others could read it
  // 1: reserving that is told to wait is asked again too, within retry_ns: not before the server
  // said, and up to a quarter later, at random. 0: a refusal is the answer.
  int32_t retry_waits;
  int32_t session;                 // 1: leases are kept by one stream in place of renewals
  plimsoll_lost_callback on_lost;  // null: nobody hears
  void* on_lost_context;
} plimsoll_client_options;

typedef struct plimsoll_capacity {
  size_t struct_size;
  char pool[64];
  char epoch[72];  // one server life; compare only for equality
  int64_t block_tokens;
  int64_t block_bytes;  // 0 where no model says how large a block is
  int64_t revision;     // grows with every change
  int64_t total_blocks, live_blocks, cached_blocks, reserved_blocks, free_blocks;
  int64_t headroom_blocks;  // that a new request may still be promised
  int64_t reservations, waiting;
  int64_t admitted, waited, refused_wait, refused_never, released, expired;  // since the start
  int32_t draining;
} plimsoll_capacity;

// An operation of a batch, and what became of it. From version 1.2 on, as the calls with batches.
enum { PLIMSOLL_RESERVE = 1, PLIMSOLL_EXTEND = 2, PLIMSOLL_RELEASE = 3 };

typedef struct plimsoll_operation {
  size_t struct_size;
  int32_t action;                   // one of these three
  const plimsoll_request* request;  // what to reserve
  const char* reservation_id;       // of the others: what to extend or release
  int64_t total_tokens;             // to extend it to: prompt plus new tokens in all
  int64_t used_tokens;              // what was used of it, prompt and new; 0: not said
} plimsoll_operation;

typedef struct plimsoll_outcome {
  size_t struct_size;
  plimsoll_code code;
  char line[196];          // where the code is not PLIMSOLL_OK: what was wrong
  plimsoll_answer answer;  // of what was reserved or extended, and refusals; else zero
} plimsoll_outcome;

// As plimsoll_c_version, plimsoll_code_name and plimsoll_reason_name.
PLIMSOLL_CLIENT_API uint32_t plimsoll_client_version(void);
PLIMSOLL_CLIENT_API const char* plimsoll_client_code_name(plimsoll_code code);
PLIMSOLL_CLIENT_API const char* plimsoll_client_reason_name(int32_t reason);

// Does not wait for a server: the first call connects.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_open(const plimsoll_client_options* options,
                                                       plimsoll_client** client,
                                                       plimsoll_text* error);
// Ends what is outstanding: every callback has returned when this does. What is held lives until
// its lease ends.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_close(plimsoll_client* client,
                                                        plimsoll_text* error);

// Waits in the server's queue for up to `max_wait_ns`; 0: is answered at once.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_reserve(plimsoll_client* client,
                                                          const plimsoll_request* request,
                                                          int64_t max_wait_ns,
                                                          plimsoll_answer* answer,
                                                          plimsoll_text* error);
// `answer` is null unless `code` is PLIMSOLL_OK; both it and `line` are gone after the call.
typedef void (*plimsoll_answer_callback)(void* context, plimsoll_code code,
                                         const plimsoll_answer* answer, const char* line);
// The same without waiting: `done` is called exactly once where this returns PLIMSOLL_OK, and else
// not at all. It is made once: who wants to try again does so, with the same request_id.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_reserve_async(
    plimsoll_client* client, const plimsoll_request* request, int64_t max_wait_ns,
    plimsoll_answer_callback done, void* context, plimsoll_text* error);
// What plimsoll_client_reserve would answer now; reserves nothing.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_can_admit(plimsoll_client* client,
                                                            const plimsoll_request* request,
                                                            plimsoll_answer* answer,
                                                            plimsoll_text* error);
// Makes the promise cover `total_tokens`, prompt plus new, in all; a refusal leaves it as it was.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_extend(plimsoll_client* client,
                                                         const char* reservation_id,
                                                         int64_t total_tokens,
                                                         plimsoll_answer* answer,
                                                         plimsoll_text* error);
// A sign of life by hand, for a reservation that another client was granted; one's own need none.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_renew(plimsoll_client* client,
                                                        const char* reservation_id,
                                                        plimsoll_answer* answer,
                                                        plimsoll_text* error);
// Gives everything back; twice is harmless. `used_tokens` is what was used of it, prompt and new;
// -1: not said.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_release(plimsoll_client* client,
                                                          const char* reservation_id,
                                                          int64_t used_tokens,
                                                          plimsoll_text* error);
// 1 to 256 operations at once, done in their order with nobody in between, and an outcome for each
// in its place: one that fails is no business of the others. PLIMSOLL_INVALID_ARGUMENT, naming the
// operation, where a number of one is out of range; then nothing is done.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_batch(plimsoll_client* client,
                                                        const plimsoll_operation* operations,
                                                        size_t count, plimsoll_outcome* outcomes,
                                                        plimsoll_text* error);
// 1 to 256 requests of which all are admitted, or none. `refused` becomes `count` where all are,
// and each has its answer; or the index of the first that was refused, and only that one's answer
// is set. Of the safe capacity nothing is granted so.
PLIMSOLL_CLIENT_API plimsoll_code
plimsoll_client_reserve_all(plimsoll_client* client, const plimsoll_request* requests, size_t count,
                            plimsoll_answer* answers, size_t* refused, plimsoll_text* error);
// Whether this client still keeps it: 0 once it was released or lost, and while no server answered
// for a whole lease.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_holds(plimsoll_client* client,
                                                        const char* reservation_id, int32_t* holds,
                                                        plimsoll_text* error);
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_get_capacity(plimsoll_client* client,
                                                               plimsoll_capacity* capacity,
                                                               plimsoll_text* error);
// A JSON object: version, epoch, mode ("engine" or "ledger"), model, device.
PLIMSOLL_CLIENT_API plimsoll_code plimsoll_client_server_info(plimsoll_client* client,
                                                              plimsoll_text* info,
                                                              plimsoll_text* error);

#ifdef __cplusplus
}
#endif

#endif  // PLIMSOLL_CLIENT_H_
