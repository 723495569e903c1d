// What both C interfaces of Plimsoll share: codes, texts, requests and answers.
//
// The rules of both, kvcache/c/plimsoll.h (in this process) and rpc/c/plimsoll_client.h (a server):
//   - A call returns a code; what it answers goes where its last pointers but one show. What it
//     gives is only set where the code is PLIMSOLL_OK. A refusal is an answer, not an error.
//   - The last argument, where it is a plimsoll_text, gets one line that says what was wrong: which
//     field, its value and what was wanted. It may be null.
//   - A handle is a token, not an address. One that is null, was destroyed or is of another kind is
//     PLIMSOLL_INVALID_ARGUMENT, not a crash.
//   - The first member of a structure is its size, set by the caller: struct_size = sizeof it. Set
//     all else to zero first; zero means the default. Structures grow at their end only: a program
//     compiled with an older header works with a newer library of the same major version.
//   - Of an array of structures each has the same size set, which is also the distance to the next.
//   - Texts are UTF-8 and end with a zero byte; a null text is an empty one. Durations are
//     nanoseconds. Counts of tokens are at most 2^40.
//   - No exception leaves the library.
//
// Threads: any call from any thread.
#ifndef PLIMSOLL_C_BASE_H_
#define PLIMSOLL_C_BASE_H_

#include <stddef.h>
#include <stdint.h>

#define PLIMSOLL_C_MAJOR 1
#define PLIMSOLL_C_MINOR 2

#ifdef __cplusplus
extern "C" {
#endif

// The numbers are those of gRPC. Others than these may come from a server.
typedef int32_t plimsoll_code;
enum {
  PLIMSOLL_OK = 0,
  PLIMSOLL_CANCELLED = 1,
  PLIMSOLL_INVALID_ARGUMENT = 3,     // fix the call
  PLIMSOLL_DEADLINE_EXCEEDED = 4,    // no answer in time
  PLIMSOLL_NOT_FOUND = 5,            // forget the id
  PLIMSOLL_PERMISSION_DENIED = 7,    // the token is good, but not for this
  PLIMSOLL_RESOURCE_EXHAUSTED = 8,   // no room, now or ever: ask for less, or wait
  PLIMSOLL_FAILED_PRECONDITION = 9,  // change the state first
  PLIMSOLL_OUT_OF_RANGE = 11,        // the buffer is too small; its length says what it takes
  PLIMSOLL_INTERNAL = 13,            // an outside call failed
  PLIMSOLL_UNAVAILABLE = 14,         // no server, or none that can be trusted
  PLIMSOLL_UNAUTHENTICATED = 16,     // no token, or one that is not known
};

// A text that the library writes into memory of the caller's: at most `capacity` bytes, the zero
// byte at the end included. `length` is that of the whole text without it.
typedef struct plimsoll_text {
  char* data;
  size_t capacity;
  size_t length;
} plimsoll_text;

enum { PLIMSOLL_ADMITTED = 0, PLIMSOLL_WAIT = 1, PLIMSOLL_NEVER = 2 };

enum {
  PLIMSOLL_REASON_NONE = 0,
  PLIMSOLL_NO_FREE_BLOCKS = 1,  // wait: could fit later
  PLIMSOLL_TENANT_QUOTA = 2,    // wait: the tenant is at its maximum
  PLIMSOLL_WAIT_TIMEOUT = 3,    // wait: queued without luck
  PLIMSOLL_DRAINING = 4,        // wait: nothing new is taken
  PLIMSOLL_LEARNING = 5,        // wait: the server is finding out who holds what
  PLIMSOLL_NEVER_FITS = 6,      // never: more than an empty pool, or the model's context, holds
  PLIMSOLL_TENANT_LIMIT = 7,    // never: more than the tenant may ever hold
};

// A request for room.
typedef struct plimsoll_request {
  size_t struct_size;
  const char* request_id;  // at most 128 bytes; the same id gives the same reservation; null: none
  const char* tenant;      // at most 128 bytes
  const char* request_class;
  const char* resumes;            // a reservation that was released because it was told to yield
  int64_t prompt_tokens;          // in [1, 2^40]
  int64_t max_new_tokens;         // in [0, 2^40]
  int64_t ttl_ns;                 // of the lease; 0: the default
  const uint64_t* prefix_hashes;  // one for each full block of the prompt, from the first on
  size_t prefix_hash_count;
  int32_t priority;  // in [-2, 2]; higher ones are served first
} plimsoll_request;

// What became of a request or of an extension.
typedef struct plimsoll_answer {
  size_t struct_size;
  int32_t decision;  // PLIMSOLL_ADMITTED, PLIMSOLL_WAIT or PLIMSOLL_NEVER
  int32_t reason;    // why not

  // Of one that is admitted:
  char reservation_id[96];
  int64_t prompt_tokens;
  int64_t max_new_tokens;
  int64_t blocks;         // for it in all
  int64_t prefix_blocks;  // of these, those that were there already
  int64_t ttl_ns;         // what each sign of life extends the lease by
  int64_t remaining_ns;   // of the lease
  int32_t confirmed;      // 1: a sign of life has come since the grant
  int32_t local;          // 1: of a client's safe capacity; no server knows of it

  // Of one that is not:
  int64_t needed_blocks;
  int64_t missing_blocks;
  int64_t retry_after_ns;
  int64_t largest_fit_tokens;  // prompt plus new tokens that would fit an empty pool
  char binding_term[16];       // of a never: "pool", "context" or "tenant", what it exceeds
  int32_t yield;  // 1: of an extension: release it and come back with `resumes`; see admission's
} plimsoll_answer;

#ifdef __cplusplus
}
#endif

#endif  // PLIMSOLL_C_BASE_H_
