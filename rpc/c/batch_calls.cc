// The calls of plimsoll_client.h that ask for many things at once.
#include <string>
#include <utility>
#include <vector>

#include "rpc/c/client_handle.h"

namespace plimsoll::c_interface {
namespace {

constexpr size_t kMostOperations = 256;

absl::Status CheckCount(size_t count) {
  if (count >= 1 && count <= kMostOperations) return absl::OkStatus();
  return BadField("count", std::to_string(count), "1 to 256");
}

absl::StatusOr<Action> ReserveFrom(const plimsoll_operation& in) {
  const absl::StatusOr<ReservationRequest> request = RequestFrom(in.request);
  if (!request.ok()) return request.status();
  return ReserveAction{.request = *request};
}

absl::StatusOr<Action> ExtendFrom(const plimsoll_operation& in) {
  const absl::StatusOr<Tokens> total = TokensFrom("total_tokens", in.total_tokens, 1);
  if (!total.ok()) return total.status();
  return ExtendAction{.id = TextOf(in.reservation_id), .total = *total};
}

absl::StatusOr<Action> ReleaseFrom(const plimsoll_operation& in) {
  const absl::StatusOr<Tokens> used = TokensFrom("used_tokens", in.used_tokens, 0);
  if (!used.ok()) return used.status();
  ReleaseAction out{.id = TextOf(in.reservation_id)};
  if (*used > Tokens(0)) out.used = *used;
  return out;
}

absl::StatusOr<Action> ActionFrom(const plimsoll_operation* operation) {
  const absl::StatusOr<plimsoll_operation> in = In("operation", operation);
  if (!in.ok()) return in.status();
  switch (in->action) {
    case PLIMSOLL_RESERVE:
      return ReserveFrom(*in);
    case PLIMSOLL_EXTEND:
      return ExtendFrom(*in);
    case PLIMSOLL_RELEASE:
      return ReleaseFrom(*in);
    default:
      return BadField("action", int64_t{in->action}, "1 to 3");
  }
}

// What `from` makes of each of an array; a fault of one with its place.
template <class Struct, class From>
auto AllFrom(std::string_view name, const Struct* first, size_t count, const From& from)
    -> absl::StatusOr<std::vector<std::decay_t<decltype(*from(first))>>> {
  PLIMSOLL_RETURN_IF_ERROR(CheckCount(count));
  PLIMSOLL_RETURN_IF_ERROR(CheckArray(name, first, count));
  std::vector<std::decay_t<decltype(*from(first))>> all;
  for (size_t i = 0; i < count; ++i) {
    auto one = from(ElementOf(first, i));
    if (!one.ok()) {
      return Annotate(one.status(), std::string(name) + "[" + std::to_string(i) + "]");
    }
    all.push_back(*std::move(one));
  }
  return all;
}

void Tell(const Outcome& outcome, plimsoll_outcome* to) {
  plimsoll_outcome out{};
  out.code = static_cast<plimsoll_code>(outcome.status().code());
  CopyText(std::string(outcome.status().message()), out.line);
  if (outcome.ok() && outcome->has_value()) out.answer = Shown(**outcome);
  out.answer.struct_size = sizeof out.answer;
  Out(out, to);
}

absl::Status Batch(ReservationHolder& holder, const plimsoll_operation* operations, size_t count,
                   plimsoll_outcome* outcomes) {
  const absl::StatusOr<std::vector<Action>> actions =
      AllFrom("operations", operations, count, ActionFrom);
  if (!actions.ok()) return actions.status();
  PLIMSOLL_RETURN_IF_ERROR(CheckArray("outcomes", outcomes, count));
  const std::vector<Outcome> became = holder.Batch(*actions);
  for (size_t i = 0; i < count; ++i) Tell(became[i], ElementOf(outcomes, i));
  return absl::OkStatus();
}

absl::Status ReserveAll(ReservationHolder& holder, const plimsoll_request* requests, size_t count,
                        plimsoll_answer* answers, size_t* refused) {
  if (refused == nullptr) return NullArgument("refused");
  absl::StatusOr<std::vector<ReservationRequest>> in =
      AllFrom("requests", requests, count, RequestFrom);
  if (!in.ok()) return in.status();
  PLIMSOLL_RETURN_IF_ERROR(CheckArray("answers", answers, count));
  const absl::StatusOr<BatchAnswer> answer = holder.ReserveAll(*std::move(in));
  if (!answer.ok()) return answer.status();
  if (const auto* const no = std::get_if<RefusedOne>(&*answer)) {
    *refused = no->index;
    Out(Shown(no->refusal), ElementOf(answers, no->index));
    return absl::OkStatus();
  }
  const auto& granted = std::get<std::vector<Reservation>>(*answer);
  *refused = count;
  for (size_t i = 0; i < count; ++i) Out(Shown(granted[i]), ElementOf(answers, i));
  return absl::OkStatus();
}

}  // namespace
}  // namespace plimsoll::c_interface

using namespace plimsoll::c_interface;  // NOLINT: what follows is C
using plimsoll::ReservationHolder;

plimsoll_code plimsoll_client_batch(plimsoll_client* client, const plimsoll_operation* operations,
                                    size_t count, plimsoll_outcome* outcomes,
                                    plimsoll_text* error) {
  return With(client, error, [&](ReservationHolder& holder) {
    return Batch(holder, operations, count, outcomes);
  });
}

plimsoll_code plimsoll_client_reserve_all(plimsoll_client* client, const plimsoll_request* requests,
                                          size_t count, plimsoll_answer* answers, size_t* refused,
                                          plimsoll_text* error) {
  return With(client, error, [&](ReservationHolder& holder) {
    return ReserveAll(holder, requests, count, answers, refused);
  });
}
