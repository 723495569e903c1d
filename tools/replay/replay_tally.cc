#include "tools/replay/replay_tally.h"

#include <algorithm>

#include "kvcache/base/check.h"

namespace plimsoll {

void ReplayTally::Pass(Duration now) {
  PLIMSOLL_CHECK(now >= last_, now.count(), last_.count());
  if (now == last_) return;
  // A state between two events of one instant lasted no time, so it is no peak.
  report_.peak_sequences = std::max(report_.peak_sequences, running_);
  report_.peak_blocks = std::max(report_.peak_blocks, together_.value_or(held_));
  sequence_time_ += static_cast<double>(running_) * static_cast<double>((now - last_).count());
  last_ = now;
}

void ReplayTally::Admitted(Duration now, Tokens prompt, Blocks blocks, bool waited) {
  Pass(now);
  ++report_.requests;
  ++report_.admitted;
  if (waited) ++report_.waited;
  report_.prompt_tokens += prompt;
  report_.prompt_blocks += BlocksCovering(prompt, report_.block_tokens);
  held_ += blocks;
  ++running_;
}

void ReplayTally::FoundPrefix(Blocks blocks) {
  report_.prefix_hit_blocks += blocks;
  report_.prefix_hit_tokens += blocks.value() * report_.block_tokens;
}

void ReplayTally::Refused(Reason reason) {
  ++report_.requests;
  ++report_.refused;
  ++report_.refusals[std::string(NameOf(reason))];
}

void ReplayTally::Lost(const std::string& error) {
  ++report_.requests;
  ++report_.lost;
  ++report_.errors[error];
}

void ReplayTally::Ended(Duration now, Blocks blocks, Duration held, double token_time) {
  PLIMSOLL_CHECK(running_ > 0);
  Pass(now);
  --running_;
  held_ -= blocks;
  last_end_ = now;
  const double slots = static_cast<double>((blocks.value() * report_.block_tokens).value());
  slot_time_ += slots * static_cast<double>(held.count());
  token_time_ += token_time;
}

void ReplayTally::Failed(const std::string& error) {
  ++report_.failed;
  ++report_.errors[error];
}

ReplayReport ReplayTally::Report() const {
  PLIMSOLL_CHECK(running_ == 0 && held_ == Blocks(0), running_, held_);
  ReplayReport report = report_;
  const double span = static_cast<double>(last_end_.count());
  report.mean_sequences = span > 0 ? sequence_time_ / span : 0;
  report.useful_fraction = slot_time_ > 0 ? token_time_ / slot_time_ : 0;
  return report;
}

}  // namespace plimsoll
