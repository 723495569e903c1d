#include "tools/stage_table.h"

#include <vector>

#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

// "9-17", counted from 1.
std::string LayersText(const StagePlan& stage) {
  const std::string first = std::to_string(stage.first_layer + 1);
  if (stage.layers == 1) return first;
  return first + "-" + std::to_string(stage.first_layer + stage.layers);
}

std::string RoomText(const StagePlan& stage) {
  if (stage.shortfall_bytes > Bytes(0)) return FormatSize(stage.shortfall_bytes) + " short";
  return Grouped(stage.blocks.value());
}

}  // namespace

std::string StageTable(const InferencePlan& plan) {
  if (plan.stages.size() < 2) return "";
  std::vector<TextRow> rows = {{"stage", "layers", "weights", "K and V of a token", "blocks"}};
  for (size_t i = 0; i < plan.stages.size(); ++i) {
    const StagePlan& stage = plan.stages[i];
    const bool binds = static_cast<int64_t>(i) == plan.stage;
    rows.push_back({std::to_string(i + 1) + (binds ? ", binds" : ""), LayersText(stage),
                    FormatSize(stage.weights_bytes), FormatSize(stage.kv_bytes_per_token),
                    RoomText(stage)});
  }
  return "\n" + TextTable(rows);
}

}  // namespace plimsoll
