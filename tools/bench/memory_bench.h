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
  // The engine's stages; on the CPU also "process": their sum beside what the process grew by.
  std::vector<MemoryStage> stages;

  // The largest difference of any stage, as a share of what was predicted.
  double WorstDifference() const;
};

// (measured - predicted) / predicted; of nothing predicted, 0 or 1.
double DifferenceOf(const MemoryStage& stage);

absl::StatusOr<MemoryComparison> CompareMemory(const EngineOptions& options);

std::string MemoryAsText(const MemoryComparison& comparison);
std::string MemoryAsJson(const MemoryComparison& comparison);

}  // namespace plimsoll
