#include "tools/checkpoint_report.h"

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;

Json TypesJson(const StoredCheckpoint& checkpoint) {
  Json types = Json::array();
  for (const StoredTotal& type : checkpoint.by_type) {
    types.push_back({{"type", type.name},
                     {"tensors", type.tensors},
                     {"elements", type.elements},
                     {"bytes", type.bytes.value()}});
  }
  return types;
}

Json DifferencesJson(const StoredCheckpoint& checkpoint) {
  Json differences = Json::array();
  for (const HeaderDifference& difference : checkpoint.differences) {
    differences.push_back({{"kind", NameOf(difference.kind)},
                           {"what", difference.what},
                           {"tensors", difference.tensors},
                           {"elements", difference.elements},
                           {"bytes", difference.bytes.value()}});
  }
  return differences;
}

}  // namespace

std::vector<std::string> CheckpointLines(const StoredCheckpoint& checkpoint) {
  const std::string mix = checkpoint.stored_as.empty() ? "" : " " + checkpoint.stored_as;
  std::vector<std::string> lines = {absl::StrFormat(
      "%s%s in %s %s: %s elements, %s, of which %s are loaded; %s", checkpoint.format, mix,
      Grouped(checkpoint.files), checkpoint.files == 1 ? "file" : "files",
      Grouped(checkpoint.all.elements), FormatSize(checkpoint.all.bytes),
      FormatSize(checkpoint.loaded.bytes),
      checkpoint.agrees() ? "as the configuration says" : "not as the configuration says")};
  if (checkpoint.parameters != checkpoint.expected_parameters) {
    lines.push_back(absl::StrFormat("config.json says %s parameters, the headers hold %s",
                                    Grouped(checkpoint.expected_parameters),
                                    Grouped(checkpoint.parameters)));
  }
  for (const HeaderDifference& difference : checkpoint.differences) {
    lines.push_back(absl::StrFormat("%s: %s (%s elements, %s)", NameOf(difference.kind),
                                    difference.what, Grouped(difference.elements),
                                    FormatSize(difference.bytes)));
  }
  return lines;
}

Json CheckpointAsJson(const StoredCheckpoint& checkpoint) {
  return {{"format", checkpoint.format},
          {"stored_as", checkpoint.stored_as.empty() ? Json(nullptr) : Json(checkpoint.stored_as)},
          {"files", checkpoint.files},
          {"tensors", checkpoint.all.tensors},
          {"elements", checkpoint.all.elements},
          {"bytes", checkpoint.all.bytes.value()},
          {"loaded_elements", checkpoint.loaded.elements},
          {"loaded_bytes", checkpoint.loaded.bytes.value()},
          {"parameters", checkpoint.parameters},
          {"expected_parameters", checkpoint.expected_parameters},
          {"agrees", checkpoint.agrees()},
          {"types", TypesJson(checkpoint)},
          {"differences", DifferencesJson(checkpoint)}};
}

}  // namespace plimsoll
