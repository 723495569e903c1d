#include "engine/decoder/cuda_limits.h"

#include <algorithm>
#include <array>
#include <string>

#include "engine/ops/attention_shape.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr std::array<int64_t, 5> kHeadDims = {64, 80, 96, 128, 256};
constexpr int64_t kInputs = 64;      // divide the inputs of every product
constexpr int kBf16Capability = 80;  // that multiplies bf16

absl::Status Lacks(const char* what, int64_t value, const std::string& want) {
  return absl::UnimplementedError("cuda: " + std::string(what) + "=" + std::to_string(value) +
                                  ": want " + want);
}

absl::Status CheckInputs(const char* what, int64_t inputs) {
  if (inputs % kInputs == 0) return absl::OkStatus();
  return Lacks(what, inputs, "a multiple of " + std::to_string(kInputs));
}

absl::Status CheckLayer(const AttentionSpec& layer) {
  if (std::count(kHeadDims.begin(), kHeadDims.end(), layer.head_dim) == 0) {
    return Lacks("head_dim", layer.head_dim, "64, 80, 96, 128 or 256");
  }
  return CheckInputs("heads x head_dim", layer.heads * layer.head_dim);
}

}  // namespace

absl::Status CheckCudaLimits(const ModelConfig& model, const CacheLayout& layout,
                             const DeviceBackend& device) {
  if (device.ops().device == Device::kCpu) return absl::OkStatus();
  if (layout.block_tokens < Tokens(cuda::kTileTokens)) {
    return Lacks("block_tokens", layout.block_tokens.value(), "at least 16");
  }
  if (layout.type == ElementType::kFp32) {
    return absl::UnimplementedError("cuda: kv=fp32: want fp16, bf16, fp8, int8 or int4");
  }
  const bool bf16 = model.dtype == ElementType::kBf16 || layout.type == ElementType::kBf16;
  if (bf16 && device.traits().compute_capability < kBf16Capability) {
    return Lacks("bf16 on compute capability", device.traits().compute_capability,
                 "80 or more, or fp16");
  }
  if (absl::Status status = CheckInputs("hidden_size", model.hidden_size); !status.ok()) {
    return status;
  }
  if (absl::Status status = CheckInputs("intermediate_size", model.intermediate_size);
      !status.ok()) {
    return status;
  }
  const Mixture mixture = model.mixture.value_or(Mixture{});
  PLIMSOLL_RETURN_IF_ERROR(CheckInputs("width of experts", mixture.width));
  PLIMSOLL_RETURN_IF_ERROR(CheckInputs("width of the shared expert", mixture.shared_width));
  for (const AttentionSpec& layer : model.attention) {
    if (absl::Status status = CheckLayer(layer); !status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace plimsoll
