#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "kvcache/base/errors.h"
#include "kvcache/model/strict_json.h"
#include "kvcache/sizing/block_demand.h"
#include "tools/replay/trace_line.h"

namespace plimsoll {
namespace {

using nlohmann::json;

// 31 years in milliseconds, far from where nanoseconds overflow.
constexpr int64_t kMaxMilliseconds = 1'000'000'000'000;

absl::StatusOr<int64_t> WholeNumber(const json& object, const char* field, int64_t least,
                                    int64_t most) {
  const std::string wanted = absl::StrFormat("a whole number from %d to %d", least, most);
  const auto found = object.find(field);
  if (found == object.end()) return BadField(field, "nothing", wanted);
  const bool small = found->is_number_integer() &&
                     (!found->is_number_unsigned() || found->get<uint64_t>() <= INT64_MAX);
  if (!small || found->get<int64_t>() < least || found->get<int64_t>() > most) {
    return BadField(field, Excerpt(found->dump()), wanted);
  }
  return found->get<int64_t>();
}

// Ids of shared prefixes may be absent, but what is there must be ids.
absl::StatusOr<std::vector<uint64_t>> HashIds(const json& object) {
  const auto ids = object.find("hash_ids");
  if (ids == object.end()) return std::vector<uint64_t>();
  if (!ids->is_array())
    return BadField("hash_ids", Excerpt(ids->dump()), "a list of whole numbers");
  for (const json& id : *ids) {
    if (!id.is_number_unsigned()) return BadField("hash_ids", Excerpt(id.dump()), "whole numbers");
  }
  return ids->get<std::vector<uint64_t>>();
}

class MooncakeParser final : public TraceLineParser {
 public:
  absl::StatusOr<TraceRequest> Parse(const std::string& line) const override {
    const absl::StatusOr<json> object = ParseStrictJson(line);
    if (!object.ok()) return object.status();
    if (!object->is_object()) return BadField("line", Excerpt(line), "a JSON object");
    const auto timestamp = WholeNumber(*object, "timestamp", 0, kMaxMilliseconds);
    if (!timestamp.ok()) return timestamp.status();
    const auto prompt = WholeNumber(*object, "input_length", 1, kMaxTokens);
    if (!prompt.ok()) return prompt.status();
    const auto output = WholeNumber(*object, "output_length", 0, kMaxTokens);
    if (!output.ok()) return output.status();
    absl::StatusOr<std::vector<uint64_t>> hash_ids = HashIds(*object);
    if (!hash_ids.ok()) return hash_ids.status();
    return TraceRequest{std::chrono::milliseconds(*timestamp), Tokens(*prompt), Tokens(*output),
                        *std::move(hash_ids)};
  }
};

}  // namespace

std::unique_ptr<TraceLineParser> MooncakeLines() { return std::make_unique<MooncakeParser>(); }

}  // namespace plimsoll
