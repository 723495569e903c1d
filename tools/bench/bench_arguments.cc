#include "tools/bench/bench_arguments.h"

#include <limits>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/sizing/cache_layout.h"
#include "tools/kv_type.h"

namespace plimsoll {

void AddBenchArguments(CLI::App& command, BenchText& text) {
  command.add_option("--model", text.model, "Model folder")->required();
  command.add_option("--device", text.device, "auto, cpu or cuda")->capture_default_str();
  CLI::Option* const memory = command.add_option(
      "--memory", text.memory, "Device memory to plan for (SIZE); default: the device's");
  command.add_option("--blocks", text.blocks, "A pool of exactly this many blocks instead")
      ->excludes(memory);
  command.add_option("--weights", text.weights,
                     "Round matrices to int8 or int4 when loading; default: as stored");
  command.add_option("--kv", text.kv, std::string("How K and V are stored: ") + kKvTypes);
  command.add_option("--block-tokens", text.block_tokens, "Tokens of a block, a power of two")
      ->capture_default_str();
  command.add_option("--utilization", text.utilization, "Share of the memory to use")
      ->capture_default_str();
  command.add_option("-o,--output", text.output, "Write here instead of standard output");
}

absl::StatusOr<EngineOptions> ReadBenchArguments(const BenchText& text) {
  constexpr int64_t kMostBlocks = std::numeric_limits<int32_t>::max();
  if (text.blocks && (*text.blocks < 1 || *text.blocks > kMostBlocks)) {
    return BadField("--blocks", *text.blocks, "1 to 2^31 - 1");
  }
  if (text.block_tokens < 1 || text.block_tokens > kMaxBlockTokens) {
    return BadField("--block-tokens", text.block_tokens, "a power of two from 1 to 1024");
  }
  if (!(text.utilization > 0 && text.utilization <= 1)) {
    return BadField("--utilization", std::to_string(text.utilization), "above 0, at most 1");
  }
  const auto kv = ReadKvType(text.kv, "--kv");
  if (!kv.ok()) return kv.status();
  EngineOptions options{.model_path = text.model, .device = text.device};
  options.kv_type = *kv;
  if (!text.weights.empty()) {
    options.weights = WeightFormatFromName(text.weights);
    if (!options.weights) return BadField("--weights", Excerpt(text.weights), "int8 or int4");
  }
  options.utilization = text.utilization;
  options.block_tokens = Tokens(text.block_tokens);
  if (text.blocks) options.blocks = Blocks(*text.blocks);
  if (!text.memory.empty()) {
    const absl::StatusOr<Bytes> memory = ParseSize(text.memory, "--memory");
    if (!memory.ok()) return memory.status();
    options.memory = *memory;
  }
  return options;
}

}  // namespace plimsoll
