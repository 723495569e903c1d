#include "rpc/capacity_watch.h"

#include <algorithm>
#include <utility>

#include "rpc/convert.h"
#include "rpc/message_bytes.h"

namespace plimsoll {

grpc::ByteBuffer CapacityMessages::Whole(const AdmissionSnapshot& now) {
  absl::MutexLock lock(&mutex_);
  if (now.revision > revision_) {
    v1::WatchCapacityResponse message;
    *message.mutable_capacity() = ToWire(served_.Capacity(now));
    message.set_revision(now.revision);
    bytes_ = BytesOf(message.SerializeAsString());
    revision_ = now.revision;
  }
  return bytes_;
}

grpc::ByteBuffer CapacityMessages::Bare(int64_t revision) {
  v1::WatchCapacityResponse message;
  message.set_revision(revision);
  return BytesOf(message.SerializeAsString());
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* CapacityWatch::Start(const Served& served,
                                                                 WatchCrowd& crowd,
                                                                 const WatchTerms& terms) {
  auto watch = std::make_shared<CapacityWatch>(served, crowd, terms);
  watch->self_ = watch;
  crowd.queue.Watch(watch, terms.min_interval);
  watch->Call(served.admission.published().Read());
  return watch.get();
}

WatchQueue::Called CapacityWatch::Call(const AdmissionSnapshot& now) {
  WatchQueue::Called called;
  {
    absl::MutexLock lock(&mutex_);
    const Instant at = served_.clock.Now();
    called.sent = !over_ && !writing_ && TakeMessageLocked(now, at);
    called.again = UntilNextCallLocked(at);
    if (!called.sent) return called;
    writing_ = true;
  }
  StartWrite(&message_);
  return called;
}

bool CapacityWatch::TakeMessageLocked(const AdmissionSnapshot& now, Instant at) {
  const bool known =
      now.revision <= sent_revision_ || (!greeted_ && now.revision == terms_.known_revision);
  if (!greeted_) due_ = at;
  if (greeted_ && !IsDueLocked(at, known)) return false;
  // What came late does not put off what follows it, or a little each time would add up.
  due_ = std::max(due_, at - kMostLate) + terms_.min_interval;
  message_ = known ? CapacityMessages::Bare(now.revision) : crowd_.messages.Whole(now);
  greeted_ = true;
  sent_revision_ = now.revision;
  last_write_ = at;
  return true;
}

bool CapacityWatch::IsDueLocked(Instant at, bool known) {
  if (at < due_) return false;
  if (!known) return true;
  due_ = at;  // nothing is late while there is nothing to say
  return terms_.heartbeat > Duration::zero() && at >= last_write_ + terms_.heartbeat;
}

Duration CapacityWatch::UntilNextCallLocked(Instant at) const {
  if (at >= due_ || terms_.min_interval < WatchQueue::kTick) return WatchQueue::kTick;
  return std::min(due_ - at, WatchQueue::kLongestRest);
}

void CapacityWatch::OnWriteDone(bool ok) {
  bool end = false;
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    end = (over_ || !ok) && !finished_;
    if (end) over_ = finished_ = true;
  }
  if (end) Finish(grpc::Status::CANCELLED);
}

void CapacityWatch::OnCancel() {
  bool end = false;
  {
    absl::MutexLock lock(&mutex_);
    over_ = true;
    end = !writing_ && !finished_;  // else OnWriteDone ends it
    if (end) finished_ = true;
  }
  if (end) Finish(grpc::Status::CANCELLED);
}

void CapacityWatch::OnDone() {
  crowd_.queue.Unwatch(this);
  const std::shared_ptr<CapacityWatch> last = std::move(self_);
}

}  // namespace plimsoll
