#include "rpc/session.h"

#include <algorithm>
#include <utility>

#include "kvcache/admission/reservation_id.h"
#include "kvcache/base/check.h"

namespace plimsoll {

void Session::Releasing(int64_t number) {
  const auto found = held_.find(number);
  if (found != held_.end()) found->second = true;
}

std::vector<int64_t> Session::held() const {
  std::vector<int64_t> numbers;
  for (const auto& [number, releasing] : held_) numbers.push_back(number);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

void Session::Ended(int64_t number, EndCause /*cause*/) {
  const auto found = held_.find(number);
  PLIMSOLL_CHECK(found != held_.end(), number);
  const bool own = found->second;
  held_.erase(found);
  if (stream_ == nullptr) {
    if (!held_.empty()) return;
    --sessions_.counts_.detached;
    sessions_.Forget(token_);  // and this is gone
  } else if (!own) {
    stream_->Revoked(number);
  }
}

Sessions::Opened Sessions::Open(AdmissionController& admission, const std::string& token,
                                Duration ttl, Session::Stream& stream) {
  const auto found = by_token_.find(token);
  const bool resumed = found != by_token_.end();
  Session* session = resumed ? found->second.get() : nullptr;
  if (!resumed) {
    const std::string fresh = RandomEpoch() + RandomEpoch();
    const auto place =
        by_token_.emplace(fresh, std::unique_ptr<Session>(new Session(*this, fresh)));
    session = place.first->second.get();
  }
  if (Session::Stream* const before = std::exchange(session->stream_, &stream)) {
    before->Displaced(admission);
  } else {
    ++counts_.attached;
    if (resumed) --counts_.detached;
  }
  session->ttl_ = ttl;
  for (const int64_t number : session->held()) {
    // One that was released while its sequence runs is held until that ends.
    admission.Keep(ReservationIdOf(admission.options().epoch, number), *session)
        .status()
        .IgnoreError();
  }
  return {.session = session, .resumed = resumed};
}

void Sessions::Leave(AdmissionController& admission, Session& session,
                     const Session::Stream& stream) {
  if (session.stream_ != &stream) return;
  const std::vector<int64_t> held = session.held();
  for (auto& [number, releasing] : session.held_) releasing = false;
  session.stream_ = nullptr;
  --counts_.attached;
  if (held.empty()) return Forget(session.token());
  ++counts_.detached;
  // The last one is still kept while the others are let go of, so the session is there.
  for (const int64_t number : held) admission.LetGo(number, session, session.ttl_);
}

void Sessions::Forsake(AdmissionController& admission) {
  for (const auto& [token, session] : by_token_) {
    for (const int64_t number : session->held()) admission.Forsake(number, *session);
  }
  by_token_.clear();
  counts_.attached = counts_.detached = 0;
}

}  // namespace plimsoll
