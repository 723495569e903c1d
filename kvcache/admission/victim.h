// Which running request stops when there is no block left for another.
//
// Whoever came first among those who run is never a victim, so it ends, and then the next one is
// first: every request ends, whatever happens to it before.
//
//   newest    who came last, as if it had never started.
//   cheapest  of those who stopped least often, who has least to compute again for each block that
//             it gives back, and of equals who came last; but only of those who give back as much
//             as is wanted, and where nobody does, who gives back most. Blocks that others hold too
//             are not given back. Who stopped already is spared while there are others, so no two
//             requests push each other out in turn.
//
// Wanting more than the one block that is missing keeps a little room from being filled at once and
// the next one from stopping a step later.
//
// Threads: pure. Cost: O(candidates). Errors: misuse aborts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kvcache/base/units.h"

namespace plimsoll {

enum class VictimRule : uint8_t { kNewest, kCheapest };

std::string_view NameOf(VictimRule rule);  // "newest", "cheapest"
std::optional<VictimRule> VictimRuleFromName(std::string_view name);

struct VictimCandidate {
  int64_t arrival;   // earlier ones are smaller; no two are equal
  Tokens recompute;  // to be computed again
  Blocks given_back;
  int64_t stops = 0;  // so far
};

// The index of the victim among those who run; with one, the only one.
size_t ChooseVictim(VictimRule rule, std::span<const VictimCandidate> running, Blocks wanted);

}  // namespace plimsoll
