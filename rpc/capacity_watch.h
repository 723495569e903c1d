// One WatchCapacity call, and the messages that all of them send.
//
// A change is sent as the whole state after it, serialised once for all who watch: the bytes are
// shared, not copied. Whenever a watch is called it sends the newest state, unless its reader knows
// that one, the interval is not over or the last write is still on its way; so a slow reader holds
// up nobody.
//
// Over time there is at most one message in each interval. One may come up to kMostLate early, and
// then the one before it came as much too late.
//
// A change is not sent to a crowd at once: watch_queue.h keeps their messages apart. Each hears of
// it within its interval and a tick.
//
// Threads: Call on that of WatchQueue, and once on gRPC's; the rest on gRPC's. Cost: a call of a
// watch that has nothing to say is a lock of its own and a clock. Errors: none; a reader that is
// gone ends its watch.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "rpc/served.h"
#include "rpc/watch_queue.h"

namespace plimsoll {

// The newest state as bytes.
class CapacityMessages {
 public:
  explicit CapacityMessages(const Served& served) : served_(served) {}

  // Serialises a revision that is newer than the last one asked for; else what it has.
  grpc::ByteBuffer Whole(const AdmissionSnapshot& now) ABSL_LOCKS_EXCLUDED(mutex_);
  static grpc::ByteBuffer Bare(int64_t revision);

 private:
  const Served& served_;
  absl::Mutex mutex_;
  int64_t revision_ ABSL_GUARDED_BY(mutex_) = -1;
  grpc::ByteBuffer bytes_ ABSL_GUARDED_BY(mutex_);
};

struct WatchTerms {
  Duration min_interval = Duration::zero();
  Duration heartbeat = Duration::zero();  // zero: none
  int64_t known_revision = 0;             // of this server life; 0: none
};

// What all who watch share.
struct WatchCrowd {
  explicit WatchCrowd(const Served& served)
      : messages(served), queue(served.admission.published()) {}

  CapacityMessages messages;
  WatchQueue queue;  // the first to go: it calls those who watch
};

class CapacityWatch final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                            public WatchQueue::Watcher {
 public:
  CapacityWatch(const Served& served, WatchCrowd& crowd, const WatchTerms& terms)
      : served_(served), crowd_(crowd), terms_(terms) {}

  // The queue keeps the watch alive until the call is over.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(const Served& served, WatchCrowd& crowd,
                                                           const WatchTerms& terms);

  WatchQueue::Called Call(const AdmissionSnapshot& now) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

 private:
  static constexpr Duration kMostLate = 2 * WatchQueue::kTick;

  // Whether one that was greeted is to be sent something now; `known` says that it knows the state.
  bool IsDueLocked(Instant at, bool known) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether there is something to send, which then is in message_.
  bool TakeMessageLocked(const AdmissionSnapshot& now, Instant at)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Duration UntilNextCallLocked(Instant at) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Served& served_;
  WatchCrowd& crowd_;
  const WatchTerms terms_;
  std::shared_ptr<CapacityWatch> self_;
  grpc::ByteBuffer message_;  // of the write in flight
  absl::Mutex mutex_;
  bool greeted_ ABSL_GUARDED_BY(mutex_) = false;  // the first message was sent
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;      // nothing more to write
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called
  int64_t sent_revision_ ABSL_GUARDED_BY(mutex_) = -1;
  Instant last_write_ ABSL_GUARDED_BY(mutex_);
  Instant due_ ABSL_GUARDED_BY(mutex_);  // when it may be told what is new
};

}  // namespace plimsoll
