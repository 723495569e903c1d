#include "kvcache/sizing/gpu_catalogue.h"

#include <array>
#include <cctype>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

// Where a short name could mean several, the first row is meant.
constexpr std::array<GpuSpec, 19> kGpus = {{
    {"h100-80gb", 81008, 132, 2048, 90},       {"h100-94gb", 95236, 132, 2048, 90},
    {"h200-141gb", 143156, 132, 2048, 90},     {"b200-180gb", 182640, 148, 2048, 100},
    {"a100-80gb", 81050, 108, 2048, 80},       {"a100-40gb", 40339, 108, 2048, 80},
    {"l40s-48gb", 45457, 142, 1536, 89},       {"l40-48gb", 45495, 142, 1536, 89},
    {"l4-24gb", 22563, 58, 1536, 89},          {"a10-24gb", 22515, 72, 1536, 86},
    {"a40-48gb", 45499, 84, 1536, 86},         {"t4-16gb", 15109, 40, 1024, 75},
    {"v100-32gb", 32501, 80, 2048, 70},        {"v100-16gb", 16151, 80, 2048, 70},
    {"rtx6000ada-48gb", 48647, 142, 1536, 89}, {"rtxa6000-48gb", 48669, 84, 1536, 86},
    {"rtx5090-32gb", 32117, 170, 1536, 120},   {"rtx4090-24gb", 24210, 128, 1536, 89},
    {"rtx3090-24gb", 24259, 82, 1536, 86},
}};

constexpr int64_t kContextBase = int64_t{8} << 20;
constexpr int64_t kContextPerThread = 1980;
constexpr int64_t kGraphBatchSizes = 13;
constexpr int64_t kGraphKernelsPerLayer = 9;
constexpr int64_t kGraphKernelsBeside = 5;
constexpr int64_t kGraphKernelBytes = 10 << 10;

void Erase(std::string& text, std::string_view word) {
  const size_t at = text.find(word);
  if (at != std::string::npos) text.erase(at, word.size());
}

// Lower-case letters and digits, without what only a maker's full name has.
std::string Simplified(std::string_view name) {
  std::string simple;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) simple += static_cast<char>(std::tolower(byte));
  }
  for (const std::string_view word : {"nvidia", "geforce", "tesla", "generation", "sxm2", "sxm4",
                                      "sxm5", "pcie", "hbm3e", "hbm3"}) {
    Erase(simple, word);
  }
  return simple;
}

std::string Names() {
  std::string names;
  for (const GpuSpec& gpu : kGpus) names += (names.empty() ? "" : ", ") + std::string(gpu.name);
  return names;
}

}  // namespace

std::span<const GpuSpec> KnownGpus() { return kGpus; }

absl::StatusOr<GpuSpec> FindGpu(std::string_view name) {
  const std::string wanted = Simplified(name);
  for (const GpuSpec& gpu : kGpus) {
    const std::string model = Simplified(gpu.name.substr(0, gpu.name.find('-')));
    if (wanted == model || wanted == Simplified(gpu.name) || "rtx" + wanted == model) return gpu;
  }
  return BadField("gpu", Excerpt(name), "one of " + Names());
}

RuntimeEstimate EstimateRuntime(const GpuSpec& gpu, int64_t layers) {
  const int64_t context =
      kContextBase + gpu.multiprocessors * gpu.threads_per_multiprocessor * kContextPerThread;
  const int64_t workspace = int64_t{gpu.compute_capability >= 90 ? 32 : 4} << 20;
  const int64_t kernels = kGraphKernelsPerLayer * layers + kGraphKernelsBeside;
  const int64_t graphs = kGraphBatchSizes * kernels * kGraphKernelBytes;
  return {.bytes = Bytes(context + workspace + graphs),
          .formula = "estimated for " + std::string(gpu.name) + ": " + std::to_string(context) +
                     " context + " + std::to_string(workspace) + " cuBLAS + " +
                     std::to_string(graphs) + " graphs"};
}

}  // namespace plimsoll
