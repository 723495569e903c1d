// A decoder that computes a prompt once and gives its K and V to every other sequence that has it.
//
// To measure steps of many long sequences their K and V must be there; computing the same prompt
// for each would take far longer than the steps. A row's result depends on that row and on what it
// attends to, bit for bit (engine/README.md), so the blocks of a second sequence with the same
// prompt would come out as those of the first: they are copied. Everything behind a prompt, that is
// every step that decodes, is computed, and so is the first prompt, whose time is kept.
//
// A pass is either prompts, each whole, of the same tokens as the first, or single tokens; it may
// have more rows than the decoder beneath, which computes a prompt in chunks.
//
// Threads: one Forward at a time. Cost: for a prompt that is known, a copy of its blocks. Memory:
// those blocks once more, in host memory, and a row of logits for each sequence. Errors: those of
// the decoder and of copies.
#pragma once

#include <span>
#include <vector>

#include "engine/decoder/decoder.h"
#include "engine/device/backend.h"
#include "engine/ops/sampler.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

class FillingDecoder final : public Decoder {
 public:
  // All outlive it. `pool` is block 0 on the backend's device.
  FillingDecoder(Decoder& decoder, const DeviceBackend& backend, const CacheLayout& layout,
                 std::byte* pool);

  absl::StatusOr<std::span<const float>> Forward(std::span<const BatchEntry> batch) override;
  absl::StatusOr<Drawn> ForwardAndDraw(std::span<const BatchEntry> batch) override;

  const ModelConfig& model() const override { return decoder_.model(); }
  // As many rows as anybody may want; as many logits as the decoder beneath has.
  const Options& options() const override { return options_; }
  Bytes buffer_bytes() const override { return decoder_.buffer_bytes(); }
  Bytes graph_bytes() const override { return decoder_.graph_bytes(); }

  Duration prompt_time() const { return prompt_time_; }  // zero before the first prompt
  int64_t decoded() const { return decoded_; }           // sequences of the last pass that decoded

 private:
  absl::Status Compute(const BatchEntry& prompt);
  absl::Status Keep(const BatchEntry& prompt);
  absl::Status Give(const BatchEntry& prompt);

  Decoder& decoder_;
  const DeviceBackend& backend_;
  const CacheLayout& layout_;
  std::byte* const pool_;
  const Options options_;
  const SystemClock clock_;
  std::vector<int32_t> prompt_;  // the first one
  std::vector<std::byte> blocks_;
  std::vector<float> prompt_logits_;
  std::vector<float> logits_;
  std::vector<DrawnToken> drawn_;
  std::vector<Candidate> candidates_;
  Duration prompt_time_ = Duration::zero();
  int64_t decoded_ = 0;
};

}  // namespace plimsoll
