#include "tools/bench/filling_decoder.h"

#include <algorithm>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {

FillingDecoder::FillingDecoder(Decoder& decoder, const DeviceBackend& backend,
                               const CacheLayout& layout, std::byte* pool)
    : decoder_(decoder),
      backend_(backend),
      layout_(layout),
      pool_(pool),
      options_({.max_batched_tokens = Tokens(kMaxTokens),
                .max_logit_rows = decoder.options().max_logit_rows}) {}

absl::StatusOr<std::span<const float>> FillingDecoder::Forward(std::span<const BatchEntry> batch) {
  if (batch.front().first_position > 0) {
    decoded_ = std::ssize(batch);
    return decoder_.Forward(batch);
  }
  decoded_ = 0;
  logits_.clear();
  for (const BatchEntry& prompt : batch) {
    PLIMSOLL_CHECK(prompt.first_position == 0 && prompt.want_logits, prompt.first_position);
    if (prompt_.empty()) PLIMSOLL_RETURN_IF_ERROR(Compute(prompt));
    PLIMSOLL_CHECK(
        std::equal(prompt.tokens.begin(), prompt.tokens.end(), prompt_.begin(), prompt_.end()),
        prompt.tokens.size(), prompt_.size());
    PLIMSOLL_RETURN_IF_ERROR(Give(prompt));
    logits_.insert(logits_.end(), prompt_logits_.begin(), prompt_logits_.end());
  }
  return std::span<const float>(logits_);
}

// Of prompts, tokens are drawn here, from logits that are kept here.
absl::StatusOr<Drawn> FillingDecoder::ForwardAndDraw(std::span<const BatchEntry> batch) {
  if (batch.front().first_position > 0) {
    decoded_ = std::ssize(batch);
    return decoder_.ForwardAndDraw(batch);
  }
  const absl::StatusOr<std::span<const float>> logits = Forward(batch);
  if (!logits.ok()) return logits.status();
  drawn_.clear();
  const size_t vocab = prompt_logits_.size();  // a row for each prompt
  for (size_t i = 0; i < batch.size(); ++i) {
    if (!batch[i].draw) continue;
    drawn_.push_back(
        {.token = SampleToken(logits->subspan(i * vocab, vocab), *batch[i].draw, candidates_)});
  }
  return Drawn{drawn_, *logits};
}

absl::Status FillingDecoder::Compute(const BatchEntry& prompt) {
  const Instant start = clock_.Now();
  const size_t rows = static_cast<size_t>(decoder_.options().max_batched_tokens.value());
  for (size_t at = 0; at < prompt.tokens.size(); at += rows) {
    const size_t count = std::min(rows, prompt.tokens.size() - at);
    const BatchEntry chunk{.tokens = prompt.tokens.subspan(at, count),
                           .first_position = static_cast<int64_t>(at),
                           .table = prompt.table,
                           .want_logits = at + count == prompt.tokens.size()};
    const absl::StatusOr<std::span<const float>> logits = decoder_.Forward({&chunk, 1});
    if (!logits.ok()) return logits.status();
    prompt_logits_.assign(logits->begin(), logits->end());
  }
  prompt_time_ = clock_.Now() - start;
  prompt_.assign(prompt.tokens.begin(), prompt.tokens.end());
  return Keep(prompt);
}

absl::Status FillingDecoder::Keep(const BatchEntry& prompt) {
  const Blocks blocks = BlocksForSequence(Tokens(std::ssize(prompt_)), layout_.block_tokens);
  const int64_t bytes = layout_.block_bytes.value();
  blocks_.resize(static_cast<size_t>(blocks.value() * bytes));
  for (int64_t i = 0; i < blocks.value(); ++i) {
    const BlockId block = prompt.table[static_cast<size_t>(i)];
    PLIMSOLL_RETURN_IF_ERROR(backend_.CopyToHost(
        blocks_.data() + i * bytes, pool_ + block.index() * bytes, layout_.block_bytes));
  }
  return absl::OkStatus();
}

absl::Status FillingDecoder::Give(const BatchEntry& prompt) {
  const int64_t bytes = layout_.block_bytes.value();
  for (int64_t i = 0; i * bytes < std::ssize(blocks_); ++i) {
    const BlockId block = prompt.table[static_cast<size_t>(i)];
    PLIMSOLL_RETURN_IF_ERROR(backend_.CopyToDevice(
        pool_ + block.index() * bytes, blocks_.data() + i * bytes, layout_.block_bytes));
  }
  return absl::OkStatus();
}

}  // namespace plimsoll
