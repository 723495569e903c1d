// The arguments that both measurements of an engine take, read and bounded.
//
// Threads: a value. Cost: none. Errors: InvalidArgument naming the argument.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "engine/engine.h"

namespace plimsoll {

// As typed.
struct BenchText {
  std::string model, device = "auto", memory, weights, kv, format = "text", output;
  std::optional<int64_t> blocks;
  int64_t block_tokens = 16;
  double utilization = 0.92;
};

void AddBenchArguments(CLI::App& command, BenchText& text);
absl::StatusOr<EngineOptions> ReadBenchArguments(const BenchText& text);

}  // namespace plimsoll
