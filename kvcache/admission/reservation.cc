#include "kvcache/admission/reservation.h"

#include "kvcache/base/check.h"

namespace plimsoll {

std::string_view NameOf(Decision decision) {
  switch (decision) {
    case Decision::kAdmitted:
      return "admitted";
    case Decision::kWait:
      return "wait";
    case Decision::kNever:
      return "never";
  }
  PLIMSOLL_CHECK(false, static_cast<int>(decision));
  return {};
}

std::string_view NameOf(Reason reason) {
  switch (reason) {
    case Reason::kNone:
      return "";
    case Reason::kNoFreeBlocks:
      return "NO_FREE_BLOCKS";
    case Reason::kTenantQuota:
      return "TENANT_QUOTA";
    case Reason::kWaitTimeout:
      return "WAIT_TIMEOUT";
    case Reason::kDraining:
      return "DRAINING";
    case Reason::kLearning:
      return "LEARNING";
    case Reason::kNeverFits:
      return "NEVER_FITS";
    case Reason::kTenantLimit:
      return "TENANT_LIMIT";
  }
  PLIMSOLL_CHECK(false, static_cast<int>(reason));
  return {};
}

}  // namespace plimsoll
