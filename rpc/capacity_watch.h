// One WatchCapacity call, and the messages that all of them send.
//
// A change is sent as the whole state after it, serialised once for all who watch: the bytes are
// shared, not copied. Each tick a watch sends the newest state, unless its reader knows that one,
// the interval is not over or the last write is still on its way; so a slow reader holds up nobody.
//
// Threads: Tick on the housekeeper's, the rest on gRPC's. Cost: a tick of a watch that has nothing
// to say is a lock of its own and a clock. Errors: none; a reader that is gone ends its watch.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "rpc/served.h"

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

class CapacityWatch final : public grpc::ServerWriteReactor<grpc::ByteBuffer>,
                            public Housekeeper::Watcher {
 public:
  CapacityWatch(const Served& served, CapacityMessages& messages, const WatchTerms& terms)
      : served_(served), messages_(messages), terms_(terms) {}

  // The housekeeper keeps the watch alive until the call is over.
  static grpc::ServerWriteReactor<grpc::ByteBuffer>* Start(const Served& served,
                                                           CapacityMessages& messages,
                                                           const WatchTerms& terms);

  void Tick(const AdmissionSnapshot& now) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override;

 private:
  // Whether there is something to send, which then is in message_.
  bool TakeMessageLocked(const AdmissionSnapshot& now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Served& served_;
  CapacityMessages& messages_;
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
};

}  // namespace plimsoll
