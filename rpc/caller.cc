#include "rpc/caller.h"

#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/token_gate.h"

namespace plimsoll {

Caller::Caller(TokenOwner owner) {
  if (!owner.tenant.empty()) bound_ = std::move(owner);
}

absl::StatusOr<Caller> Caller::Of(const Served& served,
                                  const grpc::CallbackServerContext& context) {
  if (served.gate == nullptr || !served.gate->bound_to_tenants()) return Caller();
  const auto found = context.client_metadata().find("authorization");
  const std::string authorization = found == context.client_metadata().end()
                                        ? ""
                                        : std::string(found->second.data(), found->second.size());
  std::optional<TokenOwner> owner = served.gate->Find(authorization);
  // It was known when the call was let in, and has been replaced since.
  if (!owner) return absl::UnauthenticatedError("this token is not known");
  return Caller(*std::move(owner));
}

absl::Status Caller::ActFor(std::string& tenant) const {
  if (!bound_) return absl::OkStatus();
  if (tenant.empty()) tenant = bound_->tenant;
  return tenant == bound_->tenant ? absl::OkStatus() : Denied("tenant " + Excerpt(tenant));
}

absl::Status Caller::CheckMayTouch(const AdmissionController& admission,
                                   const std::string& id) const {
  if (!bound_) return absl::OkStatus();
  const absl::StatusOr<Reservation> held = admission.Get(id);
  if (!held.ok() || held->tenant == bound_->tenant) return absl::OkStatus();
  return Denied("reservation " + Excerpt(id));
}

absl::Status Caller::Denied(const std::string& what) const {
  return absl::PermissionDeniedError(bound_->name + " acts for tenant " + bound_->tenant +
                                     " alone; " + what + " is another's");
}

}  // namespace plimsoll
