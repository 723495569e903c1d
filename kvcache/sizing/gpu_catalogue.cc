#include "kvcache/sizing/gpu_catalogue.h"

#include <array>
#include <cctype>
#include <vector>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

using enum MemorySource;

// Name, other names, MiB, GB/s, multiprocessors, threads of each, compute capability, source.
constexpr std::array kGpus = {
    // NVIDIA, data centre
    GpuSpec{"h100-80gb", "", 81008, 3350, 132, 2048, 90, kMessage},
    GpuSpec{"h100pcie-80gb", "h100pcie", 81008, 2000, 114, 2048, 90, kMessage},
    GpuSpec{"h100-94gb", "h100nvl", 95334, 3938, 132, 2048, 90, kMessage},
    GpuSpec{"h200-141gb", "h200nvl", 143156, 4800, 132, 2048, 90, kMessage},
    GpuSpec{"h800-80gb", "", 81008, 3350, 132, 2048, 90, kNominal},
    GpuSpec{"h20-96gb", "", 97280, 4000, 78, 2048, 90, kMessage},
    GpuSpec{"gh200-96gb", "gh200480gb", 96768, 4000, 132, 2048, 90, kMessage},
    GpuSpec{"b200-180gb", "", 182640, 8000, 148, 2048, 100, kMessage},
    GpuSpec{"gb200-186gb", "", 188733, 8000, 152, 2048, 100, kMessage},
    GpuSpec{"b300-288gb", "b300sxm6ac", 274115, 8000, 148, 2048, 103, kMessage},
    GpuSpec{"gb300-288gb", "", 283136, 8000, 152, 2048, 103, kMessage},
    GpuSpec{"a100-80gb", "", 81050, 2039, 108, 2048, 80, kMessage},
    GpuSpec{"a100-40gb", "", 40339, 1555, 108, 2048, 80, kQuery},
    GpuSpec{"a800-80gb", "", 81050, 2039, 108, 2048, 80, kNominal},
    GpuSpec{"a30-24gb", "", 24064, 933, 56, 2048, 80, kMessage},
    GpuSpec{"a40-48gb", "", 45499, 696, 84, 1536, 86, kMessage},
    GpuSpec{"a10-24gb", "", 22515, 600, 72, 1536, 86, kMessage},
    GpuSpec{"a10g-24gb", "", 22589, 600, 80, 1536, 86, kMessage},
    GpuSpec{"a16-16gb", "", 14848, 200, 10, 1536, 86, kNominal},
    GpuSpec{"a2-16gb", "", 14848, 200, 10, 1536, 86, kNominal},
    GpuSpec{"l40s-48gb", "", 45457, 864, 142, 1536, 89, kMessage},
    GpuSpec{"l40-48gb", "", 45495, 864, 142, 1536, 89, kMessage},
    GpuSpec{"l20-48gb", "", 45457, 864, 92, 1536, 89, kQuery},
    GpuSpec{"l4-24gb", "", 22563, 300, 58, 1536, 89, kMessage},
    GpuSpec{"t4-16gb", "", 15109, 320, 40, 1024, 75, kQuery},
    GpuSpec{"v100-32gb", "", 32501, 900, 80, 2048, 70, kMessage},
    GpuSpec{"v100-16gb", "", 16151, 900, 80, 2048, 70, kMessage},
    GpuSpec{"p100-16gb", "", 16280, 732, 56, 2048, 60, kQuery},
    GpuSpec{"p40-24gb", "", 22919, 347, 30, 2048, 61, kQuery},
    GpuSpec{"p4-8gb", "", 7604, 192, 20, 2048, 61, kNominal},
    // NVIDIA, workstation
    GpuSpec{"rtxpro6000-96gb", "pro6000", 97249, 1792, 188, 1536, 120, kMessage},
    GpuSpec{"rtxpro5000-48gb", "pro5000", 48672, 1344, 110, 1536, 120, kNominal},
    GpuSpec{"rtxpro4500-32gb", "pro4500", 32288, 896, 82, 1536, 120, kNominal},
    GpuSpec{"rtxpro4000-24gb", "pro4000", 24096, 672, 70, 1536, 120, kNominal},
    GpuSpec{"rtx6000ada-48gb", "6000ada", 48647, 960, 142, 1536, 89, kMessage},
    GpuSpec{"rtx5000ada-32gb", "5000ada", 32288, 576, 100, 1536, 89, kNominal},
    GpuSpec{"rtx4000ada-20gb", "4000ada", 20000, 360, 48, 1536, 89, kNominal},
    GpuSpec{"rtxa6000-48gb", "a6000", 48669, 768, 84, 1536, 86, kMessage},
    GpuSpec{"rtxa5000-24gb", "a5000", 24096, 768, 64, 1536, 86, kNominal},
    GpuSpec{"rtxa4500-20gb", "a4500", 20000, 640, 56, 1536, 86, kNominal},
    GpuSpec{"rtxa4000-16gb", "a4000", 15985, 448, 48, 1536, 86, kMessage},
    // NVIDIA, desktop
    GpuSpec{"rtx5090-32gb", "", 32117, 1792, 170, 1536, 120, kMessage},
    GpuSpec{"rtx5080-16gb", "", 15880, 960, 84, 1536, 120, kQuery},
    GpuSpec{"rtx5070ti-16gb", "", 15842, 896, 70, 1536, 120, kQuery},
    GpuSpec{"rtx5070-12gb", "", 11808, 672, 48, 1536, 120, kNominal},
    GpuSpec{"rtx5060ti-16gb", "", 15850, 448, 36, 1536, 120, kQuery},
    GpuSpec{"rtx4090-24gb", "", 24210, 1008, 128, 1536, 89, kQuery},
    GpuSpec{"rtx4080-16gb", "", 15904, 717, 76, 1536, 89, kNominal},
    GpuSpec{"rtx4070tisuper-16gb", "", 15904, 672, 66, 1536, 89, kNominal},
    GpuSpec{"rtx4070-12gb", "", 11903, 504, 46, 1536, 89, kQuery},
    GpuSpec{"rtx4060ti-16gb", "", 15944, 288, 34, 1536, 89, kQuery},
    GpuSpec{"rtx3090-24gb", "", 24259, 936, 82, 1536, 86, kMessage},
    GpuSpec{"rtx3090ti-24gb", "", 24096, 1008, 84, 1536, 86, kNominal},
    GpuSpec{"rtx3080-10gb", "", 9871, 760, 68, 1536, 86, kMessage},
    GpuSpec{"rtx3060-12gb", "", 11906, 360, 28, 1536, 86, kQuery},
    GpuSpec{"rtx2080ti-11gb", "", 11019, 616, 68, 1024, 75, kQuery},
    GpuSpec{"titanrtx-24gb", "", 24096, 672, 72, 1024, 75, kNominal},
    // NVIDIA, memory shared with the processor
    GpuSpec{"gb10-128gb", "dgxspark", 122502, 273, 48, 1536, 121, kQuery},
    GpuSpec{"thor-128gb", "jetsonthor agxthor", 125748, 273, 20, 1536, 110, kQuery},
    GpuSpec{"orin-64gb", "jetsonorin agxorin", 62827, 205, 16, 1536, 87, kQuery},
    GpuSpec{"orinnano-8gb", "jetsonorinnano", 7607, 102, 8, 1536, 87, kQuery},
    // AMD; of MI250X, one of the two devices that it shows
    GpuSpec{"mi355x-288gb", "", 294896, 8000, 256, 2048, 0, kMessage},
    GpuSpec{"mi325x-256gb", "", 262128, 6000, 304, 2048, 0, kMessage},
    GpuSpec{"mi300x-192gb", "", 196592, 5300, 304, 2048, 0, kMessage},
    GpuSpec{"mi250x-64gb", "mi250", 65520, 1638, 110, 2048, 0, kMessage},
    GpuSpec{"mi210-64gb", "", 65520, 1638, 104, 2048, 0, kMessage},
    GpuSpec{"rx7900xtx-24gb", "7900xtx", 24560, 960, 96, 2048, 0, kNominal},
};

void Erase(std::string& text, std::string_view word) {
  const size_t at = text.find(word);
  if (at != std::string::npos) text.erase(at, word.size());
}

// Lower-case letters and digits.
std::string Bare(std::string_view name) {
  std::string bare;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) bare += static_cast<char>(std::tolower(byte));
  }
  return bare;
}

// And without what only a maker's full name has.
std::string Simplified(std::string_view name) {
  std::string simple = Bare(name);
  for (const std::string_view word :
       {"nvidia", "geforce", "tesla", "quadro", "amd", "instinct", "radeon", "generation",
        "blackwell", "workstationedition", "serveredition", "maxq", "sxm2", "sxm4", "sxm5", "hbm3e",
        "hbm3"}) {
    Erase(simple, word);
  }
  return simple;
}

bool IsCalled(const GpuSpec& gpu, const std::string& wanted) {
  const std::string model = Bare(gpu.name.substr(0, gpu.name.find('-')));
  if (wanted == model || wanted == Bare(gpu.name) || "rtx" + wanted == model) return true;
  const std::vector<std::string> aliases = absl::StrSplit(std::string(gpu.aliases), ' ');
  for (const std::string& alias : aliases) {
    if (!alias.empty() && wanted == alias) return true;
  }
  return false;
}

const GpuSpec* Find(const std::string& wanted) {
  for (const GpuSpec& gpu : kGpus) {
    if (IsCalled(gpu, wanted)) return &gpu;
  }
  return nullptr;
}

// Up to three names that begin as `wanted` does, for as many letters as any does.
std::string NamesLike(std::string_view wanted) {
  std::vector<std::string> names;
  for (size_t letters = wanted.size() + 1; names.empty() && letters-- > 0;) {
    for (const GpuSpec& gpu : kGpus) {
      const bool alike = gpu.name.substr(0, letters) == wanted.substr(0, letters);
      if (alike && names.size() < 3) names.emplace_back(gpu.name);
    }
  }
  return absl::StrJoin(names, ", ");
}

}  // namespace

std::string_view MarkOf(MemorySource source) {
  return source == kNominal ? "estimated" : "measured";
}

std::string_view TextOf(MemorySource source) {
  switch (source) {
    case kQuery:
      return "as the runtime reports it, to the MiB";
    case kMessage:
      return "as out-of-memory messages give it, to 5 MiB";
    case kNominal:
      return "the size it is sold by, less what its kind holds back";
  }
  return "";
}

std::span<const GpuSpec> KnownGpus() { return kGpus; }

absl::StatusOr<GpuSpec> FindGpu(std::string_view name) {
  std::string wanted = Simplified(name);
  if (const GpuSpec* const gpu = Find(wanted)) return *gpu;
  Erase(wanted, "pcie");  // only where it makes no difference
  if (const GpuSpec* const gpu = Find(wanted)) return *gpu;
  return BadField("gpu", Excerpt(name),
                  "one of the " + std::to_string(std::size(kGpus)) + " that are known, such as " +
                      NamesLike(wanted));
}

}  // namespace plimsoll
