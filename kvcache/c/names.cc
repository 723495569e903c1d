// The version and the names of both C interfaces: each library has its own.
#include "kvcache/c/names.h"

#include <array>
#include <string>

#include "absl/status/status.h"
#include "kvcache/admission/reservation.h"
#include "kvcache/c/plimsoll_base.h"

namespace plimsoll::c_interface {
namespace {

constexpr int kCodes = 17;

std::array<std::string, kCodes> CodeNames() {
  std::array<std::string, kCodes> names;
  for (size_t i = 0; i < names.size(); ++i) {
    names[i] = absl::StatusCodeToString(static_cast<absl::StatusCode>(i));
  }
  return names;
}

}  // namespace

uint32_t Version() { return PLIMSOLL_C_MAJOR * 65536 + PLIMSOLL_C_MINOR; }

const char* CodeName(int32_t code) {
  static const auto* const names = new std::array<std::string, kCodes>(CodeNames());
  return code < 0 || code >= kCodes ? "" : (*names)[static_cast<size_t>(code)].c_str();
}

const char* ReasonName(int32_t reason) {
  if (reason < 0 || reason > static_cast<int32_t>(Reason::kTenantLimit)) return "";
  return NameOf(static_cast<Reason>(reason)).data();  // of a literal, which ends with a zero byte
}

}  // namespace plimsoll::c_interface
