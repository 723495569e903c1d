// What is said in one stream of a session: what its messages ask, done, and what there is to
// answer. How messages travel is for whoever has it.
//
// What a message asks is done under one lock. What there is to say gathers until Next takes it, so
// results are the larger the busier the stream is.
//
// Invariants: nothing is done for a stream that does not have its session any more. What is not yet
// taken is bounded: with more than kMaxUnanswered operations without an answer that was taken, the
// stream is cut off.
//
// Threads: Take from one at a time; the rest from any. Order of locks: admission, then its own.
// Cost: one admission lock per message. Errors: as the proto says.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/admission/shared_admission.h"
#include "plimsoll/v1/admission.pb.h"
#include "rpc/action.h"
#include "rpc/caller.h"
#include "rpc/session.h"

namespace plimsoll {

inline constexpr int64_t kMaxUnanswered = 4096;

class SessionDialogue final : public Session::Stream {
 public:
  // `admission`, `sessions` and `clock` outlive it. `wake` is called when there is something to say
  // that no message asked for, from inside the admission lock: it must not say it there. Ended
  // before it goes.
  SessionDialogue(SharedAdmission& admission, Sessions& sessions, const Clock& clock, Caller caller,
                  std::function<void()> wake);

  // Does what one message asks; the ids in it are taken out of it. A status that is not OK is for
  // End.
  absl::Status Take(v1::SessionRequest& in) ABSL_LOCKS_EXCLUDED(mutex_);
  // The stream is over, or is to be: what waits is cancelled, and leases run. The first end counts.
  void End(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);

  enum class Turn { kNothing, kMessage, kEnd };
  // What there is to say next, as the bytes of a SessionResponse; the end comes when all else was
  // said. `message` is for kMessage.
  Turn Next(std::string& message) ABSL_LOCKS_EXCLUDED(mutex_);
  // The status to end with, once there is one.
  absl::Status end() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Who does not read is not waited for.
  bool cut_off() const ABSL_LOCKS_EXCLUDED(mutex_);

  void Revoked(int64_t number) override ABSL_LOCKS_EXCLUDED(mutex_);
  void Displaced(AdmissionController& admission) override ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // A reservation that may have to queue. Under the admission lock.
  struct Asked {
    bool queued = false;
    std::optional<Answer> answer = std::nullopt;
  };
  // What the session holds as it opens.
  struct Held {
    std::vector<int64_t> numbers;
    // What the hello called some of them, who may have been claimed under another id before.
    std::unordered_map<int64_t, std::string> claimed_ids;
  };

  absl::Status Greet(const v1::Hello& in) ABSL_LOCKS_EXCLUDED(mutex_);
  // Under the admission lock, as all that is given the controller.
  absl::StatusOr<Held> OpenSession(AdmissionController& admission, const std::string& token,
                                   Duration ttl, const std::vector<ReservationClaim>& claims,
                                   v1::Welcome& welcome);
  std::deque<v1::Welcome> PagesOf(const Held& held, v1::Welcome page);
  void AddHeld(const AdmissionController& admission, int64_t number, const Held& held,
               v1::Welcome& page) const;

  absl::Status Operate(v1::SessionRequest& in) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CheckRoom(int64_t more) ABSL_LOCKS_EXCLUDED(mutex_);
  // Nullopt where it waits.
  std::optional<Outcome> DoOne(AdmissionController& admission, uint64_t id, const Action& action);
  std::optional<Outcome> ReserveOrWait(AdmissionController& admission, uint64_t id,
                                       const ReserveAction& action);
  void Answered(int64_t key, uint64_t id, const Answer& answer) ABSL_LOCKS_EXCLUDED(mutex_);
  void CancelWaits(AdmissionController& admission);
  void NextMessageLocked(std::string& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SharedAdmission& admission_;
  Sessions& sessions_;
  const Clock& clock_;
  const Caller caller_;
  const std::function<void()> wake_;
  bool greeted_ = false;  // of who calls Take
  // Under the admission lock:
  Session* session_ = nullptr;                  // null: not yet, or not any more
  std::string epoch_;                           // since it asked for one
  std::unordered_map<int64_t, int64_t> waits_;  // tickets
  int64_t next_wait_ = 0;
  mutable absl::Mutex mutex_;
  // Not yet taken: results, as bytes and how many; what else there is to say; and what goes before.
  std::string results_ ABSL_GUARDED_BY(mutex_);
  int64_t unread_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::SessionResponse pending_ ABSL_GUARDED_BY(mutex_);
  std::deque<v1::Welcome> pages_ ABSL_GUARDED_BY(mutex_);
  bool welcomed_ ABSL_GUARDED_BY(mutex_) = false;  // the welcome is pending, or was
  int64_t waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace plimsoll
