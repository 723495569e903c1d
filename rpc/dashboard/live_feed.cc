#include "rpc/dashboard/live_feed.h"

#include <utility>

namespace plimsoll {

bool LiveFeed::Join() {
  absl::MutexLock lock(&mutex_);
  if (closed_) return false;
  if (watching_ >= most_) {
    ++turned_away_;
    return false;
  }
  ++watching_;
  return true;
}

void LiveFeed::Leave() {
  absl::MutexLock lock(&mutex_);
  --watching_;
}

int64_t LiveFeed::watching() const {
  absl::MutexLock lock(&mutex_);
  return watching_;
}

std::shared_ptr<const LiveFeed::Event> LiveFeed::Next(int64_t number) {
  absl::MutexLock lock(&mutex_);
  const auto there_is = [this, number]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return closed_ || (event_ != nullptr && event_->number > number);
  };
  mutex_.Await(absl::Condition(&there_is));
  return closed_ ? nullptr : event_;
}

void LiveFeed::Close() {
  absl::MutexLock making(&making_);
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

void LiveFeed::Tick(const AdmissionSnapshot& now) {
  const Instant at = std::chrono::steady_clock::now();
  absl::MutexLock making(&making_);
  int64_t number = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (closed_ || watching_ == 0) return;
    const bool first = event_ == nullptr;
    const Duration since = first ? kMostApart : at - made_;
    if (since < (now.revision == revision_ ? kMostApart : kLeastApart)) return;
    number = first ? 1 : event_->number + 1;
    revision_ = now.revision;
    made_ = at;
  }
  auto event = std::make_shared<Event>(
      Event{.number = number, .id = epoch_ + "-" + std::to_string(now.revision), .text = make_()});
  absl::MutexLock lock(&mutex_);
  event_ = std::move(event);
}

std::string EventText(const LiveFeed::Event& event) {
  return "id: " + event.id + "\nevent: state\ndata: " + event.text + "\n\n";
}

}  // namespace plimsoll
