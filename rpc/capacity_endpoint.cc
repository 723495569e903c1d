#include "rpc/capacity_endpoint.h"

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "rpc/convert.h"

namespace plimsoll {
namespace {

// One WatchCapacity call. Each tick it writes the newest state, unless that is known already, the
// interval is not over or the last write is still on its way; so a slow reader holds up nobody.
class CapacityWatch final : public grpc::ServerWriteReactor<v1::WatchCapacityResponse>,
                            public Housekeeper::Watcher {
 public:
  CapacityWatch(const Served& served, Duration min_interval)
      : served_(served), min_interval_(min_interval) {}

  // The housekeeper keeps the watch alive until the call is over.
  static grpc::ServerWriteReactor<v1::WatchCapacityResponse>* Start(const Served& served,
                                                                    Duration min_interval) {
    auto watch = std::make_shared<CapacityWatch>(served, min_interval);
    watch->self_ = watch;
    served.housekeeper.Watch(watch);
    watch->Tick(served.admission.published().Read());
    return watch.get();
  }

  void Tick(const AdmissionSnapshot& now) override ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      if (over_ || writing_ || now.revision <= sent_revision_) return;
      if (served_.clock.Now() < next_write_) return;
      writing_ = true;
      sent_revision_ = now.revision;
      next_write_ = served_.clock.Now() + min_interval_;
      *message_.mutable_capacity() = ToWire(served_.Capacity(now));
    }
    StartWrite(&message_);
  }

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    bool end = false;
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      end = (over_ || !ok) && !finished_;
      if (end) over_ = finished_ = true;
    }
    if (end) Finish(grpc::Status::CANCELLED);
  }

  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_) {
    bool end = false;
    {
      absl::MutexLock lock(&mutex_);
      over_ = true;
      end = !writing_ && !finished_;  // else OnWriteDone ends it
      if (end) finished_ = true;
    }
    if (end) Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    served_.housekeeper.Unwatch(this);
    const std::shared_ptr<CapacityWatch> last = std::move(self_);
  }

 private:
  const Served& served_;
  const Duration min_interval_;
  std::shared_ptr<CapacityWatch> self_;
  v1::WatchCapacityResponse message_;  // of the write in flight
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;      // nothing more to write
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called
  int64_t sent_revision_ ABSL_GUARDED_BY(mutex_) = -1;
  Instant next_write_ ABSL_GUARDED_BY(mutex_);
};

// A stream that ends at once.
class FailedWatch final : public grpc::ServerWriteReactor<v1::WatchCapacityResponse> {
 public:
  explicit FailedWatch(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerUnaryReactor* CapacityEndpoint::GetCapacity(grpc::CallbackServerContext* context,
                                                        const v1::GetCapacityRequest*,
                                                        v1::GetCapacityResponse* out) {
  *out->mutable_capacity() = ToWire(served_.Capacity());
  return Finished(context, absl::OkStatus());
}

grpc::ServerWriteReactor<v1::WatchCapacityResponse>* CapacityEndpoint::WatchCapacity(
    grpc::CallbackServerContext*, const v1::WatchCapacityRequest* in) {
  constexpr Duration kLongestInterval = std::chrono::hours(1);
  Bounds bounds;
  const Duration interval = bounds.DurationIn("min_interval", in->min_interval(), kLongestInterval);
  if (!bounds.status().ok()) return new FailedWatch(bounds.status());
  return CapacityWatch::Start(served_, interval);
}

}  // namespace plimsoll
