#include "rpc/convert_operation.h"

#include "kvcache/base/errors.h"
#include "rpc/convert.h"

namespace plimsoll {
namespace {

constexpr int32_t kHighestCode = 16;

}  // namespace

void SetOperation(uint64_t id, const Action& action, v1::Operation* out) {
  out->set_id(id);
  if (const auto* const reserve = std::get_if<ReserveAction>(&action)) {
    v1::ReserveCapacityRequest& in = *out->mutable_reserve();
    in = ToWire(reserve->request);
    *in.mutable_max_wait() = ToWire(reserve->max_wait);
    in.set_validate_only(reserve->validate_only);
  } else if (const auto* const extend = std::get_if<ExtendAction>(&action)) {
    out->mutable_extend()->set_reservation_id(extend->id);
    out->mutable_extend()->set_total_tokens(extend->total.value());
  } else {
    const auto& release = std::get<ReleaseAction>(action);
    out->mutable_release()->set_reservation_id(release.id);
    if (release.used) out->mutable_release()->set_used_tokens(release.used->value());
  }
}

absl::StatusOr<Outcome> OutcomeFrom(const v1::OperationResult& in, Instant now) {
  if (in.has_released()) return Outcome(std::nullopt);
  if (in.has_error()) {
    const int32_t code = in.error().code();
    if (code < 1 || code > kHighestCode) return BadField("code", int64_t{code}, "1 to 16");
    return Outcome(absl::Status(static_cast<absl::StatusCode>(code), in.error().message()));
  }
  const absl::StatusOr<Answer> answer = OutcomeFrom<v1::OperationResult>(in, now);
  if (!answer.ok()) return answer.status();
  return Outcome(*answer);
}

}  // namespace plimsoll
