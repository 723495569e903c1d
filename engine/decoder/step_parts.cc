#include "engine/decoder/step_parts.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "engine/decoder/rotary.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

StepInputs::Limits InputLimitsOf(const StepExtent& extent, const AttentionPlans& plans) {
  const int64_t rows = extent.options.max_batched_tokens.value();
  const int64_t logit_rows = extent.options.max_logit_rows;
  return {.shape = {.rows = rows,
                    .logit_rows = logit_rows,
                    .items = plans.MostItems(rows),
                    .splits = plans.MostSplits(rows)},
          .sequences = std::min(rows, logit_rows),
          .table_blocks = CeilDivide(extent.positions.value(), extent.block_tokens.value())};
}

StepShape BuffersShapeOf(const StepExtent& extent, const AttentionPlans& plans,
                         const DeviceBackend& device) {
  return {.rows = extent.options.max_batched_tokens.value(),
          .logit_rows = extent.options.max_logit_rows,
          .positions = extent.positions.value(),
          .narrows = device.ops().device == Device::kCuda,
          .partial_sums = plans.partial_sums(),
          .partial_weights = plans.partial_weights()};
}

absl::Status UploadRotary(const ModelConfig& model, Tokens positions, const StepBuffers& buffers,
                          const DeviceBackend& device) {
  const RotaryTable table = RotaryTableFor(model.rotary, positions);
  const auto upload = [&](const std::vector<float>& from, float* to) {
    return device.CopyToDevice(reinterpret_cast<std::byte*>(to),
                               reinterpret_cast<const std::byte*>(from.data()),
                               BytesOf(ElementType::kFp32, std::ssize(from)));
  };
  PLIMSOLL_RETURN_IF_ERROR(upload(table.cos, buffers.cos));
  return upload(table.sin, buffers.sin);
}

}  // namespace

Bytes StepPartBytes(const ModelConfig& model, const DeviceBackend& device,
                    const StepExtent& extent) {
  const AttentionPlans plans(model, device, extent.options.max_batched_tokens.value());
  return StepInputs::BytesFor(InputLimitsOf(extent, plans)) +
         StepBufferBytes(model, BuffersShapeOf(extent, plans, device)) +
         ExpertTables::BytesFor(model, device) +
         DrawnTokens::BytesFor(extent.options.max_logit_rows);
}

absl::StatusOr<StepParts> StepPartsFor(const ModelConfig& model, const DecoderWeights& weights,
                                       const DeviceBackend& device, const StepExtent& extent) {
  AttentionPlans plans(model, device, extent.options.max_batched_tokens.value());
  absl::StatusOr<StepInputs> inputs = StepInputs::Create(device, InputLimitsOf(extent, plans));
  if (!inputs.ok()) return inputs.status();
  absl::StatusOr<StepBuffers> buffers =
      StepBuffersFor(model, BuffersShapeOf(extent, plans, device), device);
  if (!buffers.ok()) return buffers.status();
  PLIMSOLL_RETURN_IF_ERROR(UploadRotary(model, extent.positions, *buffers, device));
  absl::StatusOr<ExpertTables> experts = ExpertTables::Create(model, weights.layers, device);
  if (!experts.ok()) return experts.status();
  absl::StatusOr<DrawnTokens> tokens = DrawnTokens::Create(device, extent.options.max_logit_rows);
  if (!tokens.ok()) return tokens.status();
  return StepParts{std::move(plans), *std::move(inputs), *std::move(buffers), *std::move(experts),
                   *std::move(tokens)};
}

}  // namespace plimsoll
