#include "tools/replay/declared_length.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <optional>
#include <random>
#include <string_view>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

using Rule = DeclaredLength::Rule;

// Numbers of tokens with `separator` between them; empty where that is not what the text is.
std::vector<Tokens> TokensIn(std::string_view text, char separator) {
  std::vector<Tokens> numbers;
  for (;;) {
    int64_t n = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (error != std::errc() || n < 1 || n > kMaxTokens) return {};
    numbers.emplace_back(n);
    text.remove_prefix(static_cast<size_t>(rest - text.data()));
    if (text.empty()) return numbers;
    if (text.front() != separator) return {};
    text.remove_prefix(1);
  }
}

// One number of a range, or of some, each as likely.
class Draw {
 public:
  explicit Draw(uint64_t seed) : random_(seed) {}

  Tokens OneOf(const std::vector<Tokens>& caps) {
    return caps[static_cast<size_t>(Below(std::ssize(caps)))];
  }
  Tokens Between(Tokens low, Tokens high) { return low + Tokens(Below((high - low).value() + 1)); }

 private:
  int64_t Below(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n)); }

  std::mt19937_64 random_;
};

Tokens PowerOfTwo(Tokens output) {
  return Tokens(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(output.value()))));
}

}  // namespace

absl::StatusOr<DeclaredLength> ParseDeclaredLength(const std::string& text,
                                                   const std::string& option) {
  if (text == "true") return DeclaredLength{};
  if (text == "power-of-two") return DeclaredLength{.rule = Rule::kPowerOfTwo};
  if (text == "context") return DeclaredLength{.rule = Rule::kContext};
  const std::vector<Tokens> caps = TokensIn(text, ',');
  if (!caps.empty()) return DeclaredLength{.rule = Rule::kOneOf, .caps = caps};
  const std::vector<Tokens> range = TokensIn(text, '-');
  if (range.size() == 2 && range[0] <= range[1]) {
    return DeclaredLength{.rule = Rule::kBetween, .caps = range};
  }
  return BadField(
      option, text,
      "true, power-of-two, context, numbers of tokens (256,1024), or a range (64-1024)");
}

std::vector<Tokens> DeclaredLengths(const Workload& workload, const DeclaredLength& declared,
                                    uint64_t seed) {
  Draw draw(seed);
  const auto declares = [&](Tokens output) {
    switch (declared.rule) {
      case Rule::kTrue:
        return output;
      case Rule::kPowerOfTwo:
        return PowerOfTwo(output);
      case Rule::kContext:
        return Tokens(kMaxTokens);
      case Rule::kOneOf:
        return std::max(output, draw.OneOf(declared.caps));
      case Rule::kBetween:
        return std::max(output, draw.Between(declared.caps[0], declared.caps[1]));
    }
    PLIMSOLL_CHECK(false, static_cast<int>(declared.rule));
  };
  std::vector<Tokens> lengths;
  lengths.reserve(workload.requests.size());
  for (const ReplayRequest& request : workload.requests) {
    lengths.push_back(declares(request.output));
  }
  return lengths;
}

}  // namespace plimsoll
