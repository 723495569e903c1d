// The replay's own books: who was admitted, who holds how much, and the means over time.
//
// Invariants: every request is counted once, as admitted, refused or lost; what is held at the end
// is nothing. Times count from the first arrival and do not run backwards.
//
// Threads: none; the owner serialises calls. Cost: O(1). Errors: misuse aborts.
#pragma once

#include <optional>
#include <string>

#include "kvcache/admission/reservation.h"
#include "tools/replay/replay_report.h"

namespace plimsoll {

class ReplayTally {
 public:
  explicit ReplayTally(Tokens block_tokens) { report_.block_tokens = block_tokens; }

  void Admitted(Duration now, Tokens prompt, Blocks blocks, bool waited);
  // Of the prompt admitted last, so many blocks were there already.
  void FoundPrefix(Blocks blocks);
  // Where prefixes are shared: what all who run hold together, which is less than the sum.
  void HoldTogether(Blocks blocks) { together_ = blocks; }
  void Refused(Reason reason);
  void Lost(const std::string& error);
  // An admitted request is over after `held`, in which its token slots were filled for `token_time`
  // nanoseconds in all.
  void Ended(Duration now, Blocks blocks, Duration held, double token_time);
  // It did not go as it should: counted besides, in any order.
  void Failed(const std::string& error);

  int64_t running() const { return running_; }
  Blocks held() const { return held_; }
  int64_t answered() const { return report_.requests; }

  // Once nothing runs any more.
  ReplayReport Report() const;

 private:
  void Pass(Duration now);

  ReplayReport report_;
  int64_t running_ = 0;
  Blocks held_ = Blocks(0);
  std::optional<Blocks> together_;
  Duration last_ = Duration::zero();
  Duration last_end_ = Duration::zero();
  double sequence_time_ = 0;  // sequences times nanoseconds
  double slot_time_ = 0;      // token slots promised, times nanoseconds
  double token_time_ = 0;     // of which filled
};

}  // namespace plimsoll
