// Predicted beside measured memory of an engine, stage by stage and for the whole process.
//
// Threads: one. Cost: starts an engine and touches all of its memory. Errors: those of the engine;
// Internal where the system does not say what is resident.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine.h"

namespace plimsoll {

struct MemoryComparison {
  std::string model, device;
  // The engine's stages, and "process", their sum beside what the process has in all: on the CPU
  // what it grew by, on a GPU what NVML says of it.
  std::vector<MemoryStage> stages;
  std::string note = {};  // why there is no process; empty where there is one
  Bytes gpu_bytes = {};   // that the GPU has; of a CPU, none

  // The largest difference of any stage, as a share of what was predicted; on a GPU, whose context
  // nobody asked for byte by byte, as a share of what it has.
  double WorstDifference() const;
};

// (measured - predicted) / predicted; of nothing predicted, 0 or 1.
double DifferenceOf(const MemoryStage& stage);

absl::StatusOr<MemoryComparison> CompareMemory(const EngineOptions& options);

// Adds the process on the GPU at that PCI address, as the library at that path tells it, or says
// why not.
void AddGpuProcess(const std::string& nvml_library, const std::string& pci_bus_id,
                   MemoryComparison& comparison);

std::string MemoryAsText(const MemoryComparison& comparison);
std::string MemoryAsJson(const MemoryComparison& comparison);

}  // namespace plimsoll
