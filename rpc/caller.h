// Whose reservations a call may touch: those of the one tenant that its token acts for, or, where
// the token names none or none is wanted, anybody's.
//
// Threads: a value; CheckMayTouch under the admission lock. Cost: nothing for who may act for all;
// else a look-up per id. Errors: PermissionDenied, which says whom the token acts for.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/admission/admission_controller.h"
#include "rpc/served.h"
#include "rpc/tokens.h"

namespace plimsoll {

class Caller {
 public:
  Caller() = default;  // acts for all
  // Acts for `owner.tenant`, where that is not empty.
  explicit Caller(TokenOwner owner);
  // By the token that came with the call. Unauthenticated where that is known no longer.
  static absl::StatusOr<Caller> Of(const Served& served,
                                   const grpc::CallbackServerContext& context);

  // Whether it may ask in the name of `tenant`; an empty one becomes its own.
  absl::Status ActFor(std::string& tenant) const;
  // Whether it may renew, extend, use or release what is called `id`. One that nobody holds is for
  // admission to answer.
  absl::Status CheckMayTouch(const AdmissionController& admission, const std::string& id) const;

 private:
  absl::Status Denied(const std::string& what) const;

  std::optional<TokenOwner> bound_;  // none: acts for all
};

}  // namespace plimsoll
