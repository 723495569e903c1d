// Plimsoll in this process, for C and for whatever calls C: what fits (a plan), the paged KV cache
// (a pool and its sequences), and admission (reservations under leases).
//
// Read plimsoll_base.h first: codes, texts, struct_size. Link libplimsoll_c; it needs no GPU and no
// gRPC and starts no thread. What the words mean is said in kvcache/pool and kvcache/admission.
//
// A pool holds numbers of blocks, not their memory: who embeds it has the memory and is told which
// block holds which tokens, and what is to be copied. A pool that is made with admission is used
// through reservations only: each sequence lives on one, and grows within what it was promised.
//
// Threads: any; a pool has one lock, and each call takes it once. Time: a pool made with admission
// runs on the system's clock, or on the caller's, which plimsoll_set_time moves.
#ifndef PLIMSOLL_C_H_
#define PLIMSOLL_C_H_

#include "kvcache/c/plimsoll_base.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PLIMSOLL_API __attribute__((visibility("default")))
#else
#define PLIMSOLL_API
#endif

typedef struct plimsoll_pool plimsoll_pool;

// PLIMSOLL_C_MAJOR * 65536 + PLIMSOLL_C_MINOR of the library. It fits a program whose major is the
// same and whose minor is not larger.
PLIMSOLL_API uint32_t plimsoll_c_version(void);
// "INVALID_ARGUMENT"; "NO_FREE_BLOCKS"; "" for a number that means nothing. Never null.
PLIMSOLL_API const char* plimsoll_code_name(plimsoll_code code);
PLIMSOLL_API const char* plimsoll_reason_name(int32_t reason);

// The plan of a model whose config.json is the text `model_json`, as JSON: the object that
// `plimsoll plan --format json` prints, with the keys model, memory, capacity, deployment and
// formulas. A model that does not fit is a plan with memory.shortfall_bytes, not an error.
//
// `options_json` is an object with the options of that command: gpu or memory (a text like "80GiB",
// or bytes) are needed; utilization, margin, weights, kv, block_tokens, max_batched_tokens,
// max_sequences, contexts (a list), tensor_parallel, pipeline_parallel, expert_parallel,
// lookahead_tokens, shared_prefix, flash_attention, decompress_latent, draft_model (an object like
// the model's config.json) and name (of the model) may be there. Another key is an error.
PLIMSOLL_API plimsoll_code plimsoll_plan(const char* model_json, const char* options_json,
                                         plimsoll_text* plan, plimsoll_text* error);

typedef struct plimsoll_pool_options {
  size_t struct_size;
  int64_t blocks;        // in [1, 2^31 - 1]
  int64_t block_tokens;  // a power of two in [1, 1024]; 0: 16
  const char* eviction;  // "off", "fifo", "lru" or "learned"; null: off, nothing is shared or kept
  uint64_t hash_seed;    // of the names of blocks; clients must not know it
} plimsoll_pool_options;

typedef struct plimsoll_class {
  const char* name;      // of the requests; null: the policy of those that name no class
  const char* policy;    // "never-evict", "watermark" or "quantile"
  double watermark;      // share of the pool that stays free, in [0, 1); of that policy
  double overflow_goal;  // in (0, 0.5]; of the quantile policy; 0: 0.01
} plimsoll_class;

typedef struct plimsoll_quota {
  const char* tenant;  // null: what each tenant without a quota of its own may have
  int64_t guaranteed;  // blocks that are kept for it
  int64_t most;        // blocks that it may hold; 0: no limit
} plimsoll_quota;

typedef struct plimsoll_admission_options {
  size_t struct_size;
  const char* epoch;          // of every reservation id; null: a random one
  int64_t default_ttl_ns;     // of a lease; 0: 30 s
  int64_t max_ttl_ns;         // 0: an hour
  int64_t confirm_window_ns;  // of a grant until its first sign of life; 0: grants need none
  int64_t max_context;        // longer requests never fit; 0: 2^40
  int64_t max_waiting;        // callers in the queue; 0: 10,000
  const plimsoll_class* classes;
  size_t class_count;
  const plimsoll_quota* quotas;
  size_t quota_count;
  int32_t caller_clock;  // 1: time is what plimsoll_set_time says, from 0 on
} plimsoll_admission_options;

// `admission` may be null: a pool whose sequences need no reservation.
PLIMSOLL_API plimsoll_code plimsoll_pool_create(const plimsoll_pool_options* options,
                                                const plimsoll_admission_options* admission,
                                                plimsoll_pool** pool, plimsoll_text* error);
PLIMSOLL_API plimsoll_code plimsoll_pool_destroy(plimsoll_pool* pool, plimsoll_text* error);

// live + cached + reserved + free == total, always.
typedef struct plimsoll_snapshot {
  size_t struct_size;
  int64_t total_blocks, live_blocks, cached_blocks, reserved_blocks, free_blocks;
  int64_t sequences;
  int64_t unfilled_tokens;  // slots of live blocks without a token
  // With admission:
  int64_t revision;  // grows with every change
  int64_t headroom_blocks;
  int64_t reservations, waiting;
  int64_t admitted, waited, refused_wait, refused_never, released, expired;  // since the start
  int32_t draining;
} plimsoll_snapshot;
PLIMSOLL_API plimsoll_code plimsoll_pool_snapshot(plimsoll_pool* pool, plimsoll_snapshot* snapshot,
                                                  plimsoll_text* error);

// What a prompt's full blocks hold, as far as they may be shared: the tokens, or one hash for each
// block and all before it; not both. Nothing is shared between salts.
typedef struct plimsoll_prompt {
  size_t struct_size;
  const char* salt;
  const int32_t* tokens;
  size_t token_count;
  const uint64_t* hashes;
  size_t hash_count;
} plimsoll_prompt;

typedef struct plimsoll_sequence {
  size_t struct_size;
  int64_t id;              // never used again
  int64_t length;          // tokens
  int64_t blocks;          // in its table
  int64_t promise_left;    // blocks promised and not yet filled
  int64_t found_blocks;    // that its prompt found
  int64_t named_blocks;    // that others can find; -1: it takes no part in sharing
  int32_t stop_requested;  // 1: its reservation was released: end it
} plimsoll_sequence;

// The first `tokens` slots of one block are to be copied to another; 0 tokens: nothing is.
typedef struct plimsoll_block_copy {
  size_t struct_size;
  int64_t tokens;
  int32_t from, to;
} plimsoll_block_copy;

// Blocks that a prompt would find now.
PLIMSOLL_API plimsoll_code plimsoll_pool_find(plimsoll_pool* pool, const plimsoll_prompt* prompt,
                                              int64_t* blocks, plimsoll_text* error);

// Starts a sequence that is promised room for `total_tokens`: RESOURCE_EXHAUSTED where there is
// none. It has what its prompt finds, so much is its length; `prompt` may be null. Only without
// admission.
PLIMSOLL_API plimsoll_code plimsoll_sequence_begin(plimsoll_pool* pool,
                                                   const plimsoll_prompt* prompt,
                                                   int64_t total_tokens,
                                                   plimsoll_sequence* sequence,
                                                   plimsoll_text* error);
// Starts one on a reservation, whose lease then runs as long as the sequence.
PLIMSOLL_API plimsoll_code plimsoll_sequence_begin_reserved(plimsoll_pool* pool,
                                                            const char* reservation_id,
                                                            plimsoll_sequence* sequence,
                                                            plimsoll_text* error);
// Adds tokens, and room for `lookahead` more behind them. `copy` says what is to be copied before
// they are written. RESOURCE_EXHAUSTED, and no change, without room; with admission, where that is
// more than was promised: extend the reservation first.
PLIMSOLL_API plimsoll_code plimsoll_sequence_append(plimsoll_pool* pool, int64_t sequence,
                                                    int64_t tokens, int64_t lookahead,
                                                    plimsoll_block_copy* copy,
                                                    plimsoll_text* error);
// Takes back all tokens from `length` on; with admission, not what is named.
PLIMSOLL_API plimsoll_code plimsoll_sequence_truncate(plimsoll_pool* pool, int64_t sequence,
                                                      int64_t length, plimsoll_text* error);
// A new sequence that begins with all that this one holds and may grow to `total_tokens`. Only
// without admission.
PLIMSOLL_API plimsoll_code plimsoll_sequence_fork(plimsoll_pool* pool, int64_t sequence,
                                                  int64_t total_tokens, plimsoll_sequence* fork,
                                                  plimsoll_text* error);
// The next blocks of the sequence are computed and hold what `names` says: from now on others find
// them. The names are of the kind that its prompt had; with admission those are hashes, and the
// reservation's request had some. The salt is the prompt's: that of `names` is not looked at.
PLIMSOLL_API plimsoll_code plimsoll_sequence_name(plimsoll_pool* pool, int64_t sequence,
                                                  const plimsoll_prompt* names,
                                                  plimsoll_text* error);
PLIMSOLL_API plimsoll_code plimsoll_sequence_get(plimsoll_pool* pool, int64_t sequence,
                                                 plimsoll_sequence* state, plimsoll_text* error);
// Block i of the table holds tokens [i * block_tokens, (i + 1) * block_tokens). Writes up to
// `capacity` of them and how many there are; OUT_OF_RANGE, and nothing else is written, where that
// is more.
PLIMSOLL_API plimsoll_code plimsoll_sequence_table(plimsoll_pool* pool, int64_t sequence,
                                                   int32_t* blocks, size_t capacity, size_t* count,
                                                   plimsoll_text* error);
// Ends it, and its reservation with it. What is named stays, cached, until its room is needed.
PLIMSOLL_API plimsoll_code plimsoll_sequence_end(plimsoll_pool* pool, int64_t sequence,
                                                 plimsoll_text* error);

// The calls of admission: FAILED_PRECONDITION on a pool without it.
PLIMSOLL_API plimsoll_code plimsoll_reserve(plimsoll_pool* pool, const plimsoll_request* request,
                                            plimsoll_answer* answer, plimsoll_text* error);
// What plimsoll_reserve would answer now; changes nothing.
PLIMSOLL_API plimsoll_code plimsoll_can_admit(plimsoll_pool* pool, const plimsoll_request* request,
                                              plimsoll_answer* answer, plimsoll_text* error);
// As plimsoll_reserve, but a wait is queued, fairly, for up to `max_wait_ns`. `ticket` is then not
// 0 and plimsoll_take_answer will have the outcome; else `answer` has it.
PLIMSOLL_API plimsoll_code plimsoll_reserve_or_wait(plimsoll_pool* pool,
                                                    const plimsoll_request* request,
                                                    int64_t max_wait_ns, int64_t* ticket,
                                                    plimsoll_answer* answer, plimsoll_text* error);
// The oldest outcome of those that waited, and whose it is; NOT_FOUND while there is none.
PLIMSOLL_API plimsoll_code plimsoll_take_answer(plimsoll_pool* pool, int64_t* ticket,
                                                plimsoll_answer* answer, plimsoll_text* error);
// Forgets one that waits; what it was granted meanwhile is released. Harmless for another number.
PLIMSOLL_API plimsoll_code plimsoll_cancel_wait(plimsoll_pool* pool, int64_t ticket,
                                                plimsoll_text* error);
// Makes the promise cover `total_tokens`, prompt plus new, in all; a refusal leaves it as it was.
PLIMSOLL_API plimsoll_code plimsoll_extend(plimsoll_pool* pool, const char* reservation_id,
                                           int64_t total_tokens, plimsoll_answer* answer,
                                           plimsoll_text* error);
// A sign of life: the lease runs for its ttl from now.
PLIMSOLL_API plimsoll_code plimsoll_renew(plimsoll_pool* pool, const char* reservation_id,
                                          plimsoll_answer* answer, plimsoll_text* error);
// Gives everything back; twice is harmless. A sequence that runs on it is asked to stop.
PLIMSOLL_API plimsoll_code plimsoll_release(plimsoll_pool* pool, const char* reservation_id,
                                            plimsoll_text* error);
// While draining, new requests and those that wait are told to wait with PLIMSOLL_DRAINING.
PLIMSOLL_API plimsoll_code plimsoll_set_draining(plimsoll_pool* pool, int32_t draining,
                                                 plimsoll_text* error);
// The caller's clock: `now_ns` is not less than before.
PLIMSOLL_API plimsoll_code plimsoll_set_time(plimsoll_pool* pool, int64_t now_ns,
                                             plimsoll_text* error);
// Ends the leases and waits that are over, as every other call of admission does first, and says in
// how many nanoseconds there will be more to do; -1: never, as it stands.
PLIMSOLL_API plimsoll_code plimsoll_tick(plimsoll_pool* pool, int64_t* next_ns,
                                         plimsoll_text* error);

#ifdef __cplusplus
}
#endif

#endif  // PLIMSOLL_C_H_
