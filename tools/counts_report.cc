#include "tools/counts_report.h"

#include <optional>

#include "tools/grouped_number.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;

Json NumberOrNull(const std::optional<int64_t>& number) {
  return number ? Json(*number) : Json(nullptr);
}

std::string Signed(int64_t elements) {
  return (elements < 0 ? "- " : "+ ") + Grouped(elements < 0 ? -elements : elements);
}

std::string LineOf(const StoredExtra& extra) {
  const std::string elements =
      extra.elements ? Signed(*extra.elements) : "of a size that only its headers tell";
  return (extra.certain ? "" : "perhaps ") + elements + ": " + extra.what;
}

std::string LineOf(const std::string& name, const std::optional<int64_t>& count) {
  return name + ": " + (count ? Grouped(*count) : "unknown without headers");
}

}  // namespace

std::vector<std::string> CountLines(const StoredCounts& counts) {
  std::vector<std::string> lines = {LineOf("unique parameters", counts.unique),
                                    LineOf("elements stored", counts.stored),
                                    LineOf("shown by the Hub", counts.hub)};
  for (const StoredExtra& extra : counts.extras) lines.push_back(LineOf(extra));
  return lines;
}

Json CountsAsJson(const StoredCounts& counts) {
  Json extras = Json::array();
  for (const StoredExtra& extra : counts.extras) {
    extras.push_back({{"what", extra.what},
                      {"elements", NumberOrNull(extra.elements)},
                      {"certain", extra.certain}});
  }
  return {{"unique", counts.unique},
          {"stored", NumberOrNull(counts.stored)},
          {"hub", NumberOrNull(counts.hub)},
          {"stored_known", counts.stored.has_value()},
          {"extras", std::move(extras)}};
}

}  // namespace plimsoll
