// What requests say they may generate at most, which a trace does not tell.
//
// Threads: values. Cost: O(requests). Errors: InvalidArgument naming the option.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"
#include "tools/replay/workload.h"

namespace plimsoll {

struct DeclaredLength {
  enum class Rule : uint8_t {
    kTrue,        // what they generate
    kPowerOfTwo,  // that, rounded up to a power of two
    kContext,     // what the context leaves beside the prompt
    kOneOf,       // that, or one of `caps` if it is more: each as likely
    kBetween,     // that, or a number from caps[0] to caps[1] if it is more: each as likely
  };
  Rule rule = Rule::kTrue;
  std::vector<Tokens> caps = {};  // in [1, kMaxTokens]
};

// "true", "power-of-two", "context", a list of caps ("256,1024,4096"; one of them is a cap for
// all), or a range ("64-4096"). The message names `option`.
absl::StatusOr<DeclaredLength> ParseDeclaredLength(const std::string& text,
                                                   const std::string& option);

// What each request of the workload says, drawn from `seed` where the rule draws. The most there is
// where it is the context, of which this knows nothing.
std::vector<Tokens> DeclaredLengths(const Workload& workload, const DeclaredLength& declared,
                                    uint64_t seed);

}  // namespace plimsoll
