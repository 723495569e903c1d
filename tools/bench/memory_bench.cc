#include "tools/bench/memory_bench.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "engine/device/backend.h"
#include "engine/device/nvml.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/size_text.h"
#include "tools/bench/process_memory.h"
#include "tools/grouped_number.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

// Shared memory counts as resident where the process has looked at it, so this looks at every page.
void LookAtPool(const Arena& arena) {
  constexpr int64_t kPage = 4096;
  const volatile std::byte* const base = arena.base();
  for (int64_t at = 0; at < arena.committed_bytes().value(); at += kPage) (void)base[at];
}

void AddProcess(Bytes measured, MemoryComparison& comparison) {
  MemoryStage process{.name = "process", .predicted = {}, .measured = measured};
  for (const MemoryStage& stage : comparison.stages) process.predicted += stage.predicted;
  comparison.stages.push_back(process);
}

std::string PercentText(double share) { return absl::StrFormat("%+.3f%%", 100 * share); }

}  // namespace

double DifferenceOf(const MemoryStage& stage) {
  if (stage.predicted == Bytes(0)) return stage.measured == Bytes(0) ? 0 : 1;
  return static_cast<double>(stage.measured.value() - stage.predicted.value()) /
         static_cast<double>(stage.predicted.value());
}

double MemoryComparison::WorstDifference() const {
  double worst = 0;
  for (const MemoryStage& stage : stages) {
    const double of_gpu = static_cast<double>(stage.measured.value() - stage.predicted.value()) /
                          static_cast<double>(std::max<int64_t>(gpu_bytes.value(), 1));
    const double share = gpu_bytes == Bytes(0) ? DifferenceOf(stage) : of_gpu;
    worst = std::max(worst, std::abs(share));
  }
  return worst;
}

absl::StatusOr<MemoryComparison> CompareMemory(const EngineOptions& options) {
  const absl::StatusOr<Bytes> before = ResidentBytes();
  if (!before.ok()) return before.status();
  const SystemClock clock;
  const absl::StatusOr<std::unique_ptr<Engine>> engine = Engine::Create(options, clock);
  if (!engine.ok()) return engine.status();
  MemoryComparison comparison{.model = (*engine)->model().name,
                              .device = (*engine)->device(),
                              .stages = (*engine)->memory()};
  if (comparison.device != "cpu") {
    const absl::StatusOr<DeviceMemory> gpu = (*engine)->backend().Memory();
    if (!gpu.ok()) return gpu.status();
    comparison.gpu_bytes = gpu->total;
    AddGpuProcess(NvmlLibrary(), (*engine)->backend().traits().pci_bus_id, comparison);
    return comparison;
  }
  LookAtPool((*engine)->arena());
  const absl::StatusOr<Bytes> after = ResidentBytes();
  if (!after.ok()) return after.status();
  AddProcess(*after - *before, comparison);
  return comparison;
}

void AddGpuProcess(const std::string& nvml_library, const std::string& pci_bus_id,
                   MemoryComparison& comparison) {
  const absl::StatusOr<NvmlMemory> memory = ReadNvmlMemory(nvml_library, pci_bus_id);
  if (!memory.ok()) {
    comparison.note = std::string(memory.status().message());
  } else if (!memory->process) {
    comparison.note = "NVML does not say what this process uses; on its GPU all together use " +
                      FormatSize(memory->used);
  } else {
    AddProcess(*memory->process, comparison);
  }
}

std::string MemoryAsText(const MemoryComparison& comparison) {
  std::vector<TextRow> rows = {{"stage", "predicted bytes", "measured bytes", "", "difference"}};
  for (const MemoryStage& stage : comparison.stages) {
    rows.push_back({stage.name, Grouped(stage.predicted.value()), Grouped(stage.measured.value()),
                    FormatSize(stage.measured), PercentText(DifferenceOf(stage))});
  }
  const std::string note = comparison.note.empty() ? "" : comparison.note + "\n";
  return comparison.model + " on " + comparison.device + "\n" + TextTable(rows) + note;
}

std::string MemoryAsJson(const MemoryComparison& comparison) {
  nlohmann::ordered_json stages = nlohmann::json::array();
  for (const MemoryStage& stage : comparison.stages) {
    stages.push_back({{"stage", stage.name},
                      {"predicted_bytes", stage.predicted.value()},
                      {"measured_bytes", stage.measured.value()},
                      {"difference", DifferenceOf(stage)}});
  }
  nlohmann::ordered_json report = {{"model", comparison.model},
                                   {"device", comparison.device},
                                   {"memory", std::move(stages)},
                                   {"worst_difference", comparison.WorstDifference()}};
  if (!comparison.note.empty()) report["note"] = comparison.note;
  return report.dump(2, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace plimsoll
