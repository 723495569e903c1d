// The calls of plimsoll.h: find the pool, do it, say how it went.
#include <string>
#include <utility>

#include "kvcache/c/answers.h"
#include "kvcache/c/boundary.h"
#include "kvcache/c/embedded_pool.h"
#include "kvcache/c/handles.h"
#include "kvcache/c/names.h"
#include "kvcache/c/plan_request.h"
#include "kvcache/c/plimsoll.h"
#include "kvcache/sizing/plan_json.h"

namespace plimsoll::c_interface {
namespace {

using Pools = Handles<plimsoll_pool, EmbeddedPool, 1>;

// Runs `use(pool)`, which returns a Status.
template <class Use>
plimsoll_code With(plimsoll_pool* token, plimsoll_text* error, const Use& use) {
  return Call(error, [&]() -> absl::Status {
    const std::shared_ptr<EmbeddedPool> pool = Pools::All().Find(token);
    if (!pool) return absl::InvalidArgumentError("pool: null, destroyed or no pool");
    return use(*pool);
  });
}

// The same where `use` returns a StatusOr of what `to` is to show.
template <class Struct, class Use>
plimsoll_code WithAnswer(plimsoll_pool* token, std::string_view name, Struct* to,
                         plimsoll_text* error, const Use& use) {
  return With(token, error, [&](EmbeddedPool& pool) -> absl::Status {
    PLIMSOLL_RETURN_IF_ERROR(CheckOut(name, to));
    const absl::StatusOr<Struct> value = use(pool);
    if (value.ok()) Out(*value, to);
    return value.status();
  });
}

// The same with a request for admission.
template <class Use>
plimsoll_code WithRequest(plimsoll_pool* token, const plimsoll_request* request,
                          plimsoll_answer* answer, plimsoll_text* error, const Use& use) {
  return WithAnswer(token, "answer", answer, error,
                    [&](EmbeddedPool& pool) -> absl::StatusOr<plimsoll_answer> {
                      const absl::StatusOr<ReservationRequest> in = RequestFrom(request);
                      if (!in.ok()) return in.status();
                      return use(pool, *in);
                    });
}

absl::Status Plan(const char* model_json, const char* options_json, plimsoll_text* plan) {
  if (model_json == nullptr) return NullArgument("model_json");
  if (options_json == nullptr) return NullArgument("options_json");
  if (plan == nullptr) return NullArgument("plan");
  const absl::StatusOr<PlanRequest> request =
      ParsePlanRequest(TextOf(model_json), TextOf(options_json));
  if (!request.ok()) return request.status();
  const absl::StatusOr<InferencePlan> planned = PlanInference(request->model, request->options);
  if (!planned.ok()) return planned.status();
  if (WriteText(JsonText(PlanAsJsonValue(*planned)), plan)) return absl::OkStatus();
  return absl::OutOfRangeError("plan.capacity=" + std::to_string(plan->capacity) + ": want " +
                               std::to_string(plan->length + 1));
}

absl::Status Create(const plimsoll_pool_options* options,
                    const plimsoll_admission_options* admission, plimsoll_pool** pool) {
  if (pool == nullptr) return NullArgument("pool");
  absl::StatusOr<std::shared_ptr<EmbeddedPool>> made = EmbeddedPool::Create(options, admission);
  if (!made.ok()) return made.status();
  *pool = Pools::All().Add(*std::move(made));
  return absl::OkStatus();
}

}  // namespace
}  // namespace plimsoll::c_interface

using namespace plimsoll::c_interface;  // NOLINT: what follows is C
using plimsoll::Duration;
using plimsoll::ReservationRequest;
using plimsoll::Tokens;

uint32_t plimsoll_c_version(void) { return Version(); }
const char* plimsoll_code_name(plimsoll_code code) { return CodeName(code); }
const char* plimsoll_reason_name(int32_t reason) { return ReasonName(reason); }

plimsoll_code plimsoll_plan(const char* model_json, const char* options_json, plimsoll_text* plan,
                            plimsoll_text* error) {
  return Call(error, [&] { return Plan(model_json, options_json, plan); });
}

plimsoll_code plimsoll_pool_create(const plimsoll_pool_options* options,
                                   const plimsoll_admission_options* admission,
                                   plimsoll_pool** pool, plimsoll_text* error) {
  return Call(error, [&] { return Create(options, admission, pool); });
}

plimsoll_code plimsoll_pool_destroy(plimsoll_pool* pool, plimsoll_text* error) {
  return Call(error, [&] {
    return Pools::All().Remove(pool)
               ? absl::OkStatus()
               : absl::InvalidArgumentError("pool: null, destroyed or no pool");
  });
}

plimsoll_code plimsoll_pool_snapshot(plimsoll_pool* pool, plimsoll_snapshot* snapshot,
                                     plimsoll_text* error) {
  return WithAnswer(pool, "snapshot", snapshot, error,
                    [](EmbeddedPool& its) { return its.Snapshot(); });
}

plimsoll_code plimsoll_pool_find(plimsoll_pool* pool, const plimsoll_prompt* prompt,
                                 int64_t* blocks, plimsoll_text* error) {
  return With(pool, error, [&](EmbeddedPool& its) -> absl::Status {
    if (blocks == nullptr) return NullArgument("blocks");
    const absl::StatusOr<int64_t> found = its.Find(prompt);
    if (found.ok()) *blocks = *found;
    return found.status();
  });
}

plimsoll_code plimsoll_sequence_begin(plimsoll_pool* pool, const plimsoll_prompt* prompt,
                                      int64_t total_tokens, plimsoll_sequence* sequence,
                                      plimsoll_text* error) {
  return WithAnswer(pool, "sequence", sequence, error,
                    [&](EmbeddedPool& its) { return its.Begin(prompt, total_tokens); });
}

plimsoll_code plimsoll_sequence_begin_reserved(plimsoll_pool* pool, const char* reservation_id,
                                               plimsoll_sequence* sequence, plimsoll_text* error) {
  return WithAnswer(pool, "sequence", sequence, error,
                    [&](EmbeddedPool& its) { return its.BeginReserved(reservation_id); });
}

plimsoll_code plimsoll_sequence_append(plimsoll_pool* pool, int64_t sequence, int64_t tokens,
                                       int64_t lookahead, plimsoll_block_copy* copy,
                                       plimsoll_text* error) {
  return WithAnswer(pool, "copy", copy, error,
                    [&](EmbeddedPool& its) { return its.Append(sequence, tokens, lookahead); });
}

plimsoll_code plimsoll_sequence_truncate(plimsoll_pool* pool, int64_t sequence, int64_t length,
                                         plimsoll_text* error) {
  return With(pool, error, [&](EmbeddedPool& its) { return its.Truncate(sequence, length); });
}

plimsoll_code plimsoll_sequence_fork(plimsoll_pool* pool, int64_t sequence, int64_t total_tokens,
                                     plimsoll_sequence* fork, plimsoll_text* error) {
  return WithAnswer(pool, "fork", fork, error,
                    [&](EmbeddedPool& its) { return its.Fork(sequence, total_tokens); });
}

plimsoll_code plimsoll_sequence_name(plimsoll_pool* pool, int64_t sequence,
                                     const plimsoll_prompt* names, plimsoll_text* error) {
  return With(pool, error, [&](EmbeddedPool& its) { return its.Name(sequence, names); });
}

plimsoll_code plimsoll_sequence_get(plimsoll_pool* pool, int64_t sequence, plimsoll_sequence* state,
                                    plimsoll_text* error) {
  return WithAnswer(pool, "state", state, error,
                    [&](EmbeddedPool& its) { return its.Get(sequence); });
}

plimsoll_code plimsoll_sequence_table(plimsoll_pool* pool, int64_t sequence, int32_t* blocks,
                                      size_t capacity, size_t* count, plimsoll_text* error) {
  return With(pool, error,
              [&](EmbeddedPool& its) { return its.Table(sequence, blocks, capacity, count); });
}

plimsoll_code plimsoll_sequence_end(plimsoll_pool* pool, int64_t sequence, plimsoll_text* error) {
  return With(pool, error, [&](EmbeddedPool& its) { return its.End(sequence); });
}

plimsoll_code plimsoll_reserve(plimsoll_pool* pool, const plimsoll_request* request,
                               plimsoll_answer* answer, plimsoll_text* error) {
  return WithRequest(
      pool, request, answer, error,
      [](EmbeddedPool& its, const ReservationRequest& in) { return its.Reserve(in); });
}

plimsoll_code plimsoll_can_admit(plimsoll_pool* pool, const plimsoll_request* request,
                                 plimsoll_answer* answer, plimsoll_text* error) {
  return WithRequest(
      pool, request, answer, error,
      [](EmbeddedPool& its, const ReservationRequest& in) { return its.CanAdmit(in); });
}

plimsoll_code plimsoll_reserve_or_wait(plimsoll_pool* pool, const plimsoll_request* request,
                                       int64_t max_wait_ns, int64_t* ticket,
                                       plimsoll_answer* answer, plimsoll_text* error) {
  return WithRequest(
      pool, request, answer, error,
      [&](EmbeddedPool& its, const ReservationRequest& in) -> absl::StatusOr<plimsoll_answer> {
        if (ticket == nullptr) return NullArgument("ticket");
        const absl::StatusOr<Duration> max_wait = DurationFrom("max_wait_ns", max_wait_ns);
        if (!max_wait.ok()) return max_wait.status();
        const auto waiting = its.ReserveOrWait(in, *max_wait);
        if (!waiting.ok()) return waiting.status();
        *ticket = waiting->ticket;
        return waiting->answer;
      });
}

plimsoll_code plimsoll_take_answer(plimsoll_pool* pool, int64_t* ticket, plimsoll_answer* answer,
                                   plimsoll_text* error) {
  return WithAnswer(pool, "answer", answer, error,
                    [&](EmbeddedPool& its) -> absl::StatusOr<plimsoll_answer> {
                      if (ticket == nullptr) return NullArgument("ticket");
                      const auto outcome = its.TakeAnswer();
                      if (!outcome.ok()) return outcome.status();
                      *ticket = outcome->ticket;
                      return outcome->answer;
                    });
}

plimsoll_code plimsoll_cancel_wait(plimsoll_pool* pool, int64_t ticket, plimsoll_text* error) {
  return With(pool, error, [&](EmbeddedPool& its) { return its.CancelWait(ticket); });
}

plimsoll_code plimsoll_extend(plimsoll_pool* pool, const char* reservation_id, int64_t total_tokens,
                              plimsoll_answer* answer, plimsoll_text* error) {
  return WithAnswer(pool, "answer", answer, error,
                    [&](EmbeddedPool& its) -> absl::StatusOr<plimsoll_answer> {
                      const auto total = TokensFrom("total_tokens", total_tokens, 1);
                      if (!total.ok()) return total.status();
                      return its.Extend(TextOf(reservation_id), *total);
                    });
}

plimsoll_code plimsoll_renew(plimsoll_pool* pool, const char* reservation_id,
                             plimsoll_answer* answer, plimsoll_text* error) {
  return WithAnswer(pool, "answer", answer, error,
                    [&](EmbeddedPool& its) { return its.Renew(TextOf(reservation_id)); });
}

plimsoll_code plimsoll_release(plimsoll_pool* pool, const char* reservation_id,
                               plimsoll_text* error) {
  return With(pool, error, [&](EmbeddedPool& its) { return its.Release(TextOf(reservation_id)); });
}

plimsoll_code plimsoll_set_draining(plimsoll_pool* pool, int32_t draining, plimsoll_text* error) {
  return With(pool, error, [&](EmbeddedPool& its) { return its.SetDraining(draining != 0); });
}

plimsoll_code plimsoll_set_time(plimsoll_pool* pool, int64_t now_ns, plimsoll_text* error) {
  return With(pool, error, [&](EmbeddedPool& its) { return its.SetTime(now_ns); });
}

plimsoll_code plimsoll_tick(plimsoll_pool* pool, int64_t* next_ns, plimsoll_text* error) {
  return With(pool, error, [&](EmbeddedPool& its) -> absl::Status {
    if (next_ns == nullptr) return NullArgument("next_ns");
    const absl::StatusOr<int64_t> next = its.Tick();
    if (next.ok()) *next_ns = *next;
    return next.status();
  });
}
