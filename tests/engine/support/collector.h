// What a generation told, kept.
//
// Threads: that of the loop writes; others may ask whether it has finished, and read after that.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/loop/generation_loop.h"

namespace plimsoll {

class Collector final : public GenerationListener {
 public:
  explicit Collector(size_t room = 64) { tokens.reserve(room); }
  void OnToken(int32_t token) override {
    EXPECT_FALSE(finished);
    tokens.push_back(token);
  }
  void OnLogits(int64_t position, std::span<const float> row) override {
    EXPECT_EQ(position, std::ssize(positions));
    positions.push_back(position);
    logits.insert(logits.end(), row.begin(), row.end());
  }
  void OnFinished(FinishReason its_reason, const absl::Status& its_status) override {
    EXPECT_FALSE(finished);
    reason = its_reason;
    status = its_status;
    finished = true;
  }

  std::vector<int32_t> tokens;
  std::vector<int64_t> positions;
  std::vector<float> logits;
  std::atomic<bool> finished = false;
  FinishReason reason = FinishReason::kCancelled;
  absl::Status status = absl::UnknownError("not finished");
};

}  // namespace plimsoll
