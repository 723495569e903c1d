#include "rpc/capacity_watch.h"

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
  crowd.rounds.Watch(watch);
  watch->Tick(served.admission.published().Read());
  return watch.get();
}

void CapacityWatch::Tick(const AdmissionSnapshot& now) {
  {
    absl::MutexLock lock(&mutex_);
    if (over_ || writing_ || !TakeMessageLocked(now)) return;
    writing_ = true;
  }
  StartWrite(&message_);
}

bool CapacityWatch::TakeMessageLocked(const AdmissionSnapshot& now) {
  const Instant at = served_.clock.Now();
  const bool known =
      now.revision <= sent_revision_ || (!greeted_ && now.revision == terms_.known_revision);
  if (greeted_ && !IsTurnLocked(at, known)) return false;
  message_ = known ? CapacityMessages::Bare(now.revision) : crowd_.messages.Whole(now);
  greeted_ = true;
  sent_revision_ = now.revision;
  last_write_ = at;
  news_.reset();
  return true;
}

bool CapacityWatch::IsTurnLocked(Instant at, bool known) {
  if (!known && !news_) news_ = at;
  if (at < last_write_ + terms_.min_interval) return false;
  if (terms_.heartbeat > Duration::zero() && at >= last_write_ + terms_.heartbeat) return true;
  return news_ && at >= *news_ + crowd_.turns.Of(share_, terms_.min_interval);
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
  crowd_.turns.Leave();
  crowd_.rounds.Unwatch(this);
  const std::shared_ptr<CapacityWatch> last = std::move(self_);
}

}  // namespace plimsoll
