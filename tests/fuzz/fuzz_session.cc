// Sessions whose streams open, resume, take over, fall silent, break and close in any order, while
// their clients reserve, wait, extend and release, others revoke and release what they hold, and
// time passes. Each operation of a stream has one result at most, and one for certain where the
// stream ends well; the ledger is conserved; and when all streams are gone, all comes back.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "tests/fuzz/direct_call.h"
#include "tests/fuzz/driven_service.h"
#include "tests/fuzz/judge.h"
#include "tests/fuzz/wire_choices.h"

namespace plimsoll {
namespace {

constexpr size_t kStreams = 3;

// A stream's other end: what it was told, and what it may yet hear.
class Peer {
 public:
  Peer(DrivenService& service, WireChoices& wire)
      : service_(service), wire_(wire), stream_(service.admission(), &AdmissionEndpoint::Session) {}
  ~Peer() { Close(); }

  bool ended() const { return stream_.end().has_value(); }
  const std::string& token() const { return token_; }

  void Send(const v1::SessionRequest& request) {
    std::multiset<uint64_t> asked = asked_;
    for (const v1::Operation& each : request.operations()) {
      asked.insert(each.id());
      if (each.reserve().has_max_wait()) may_wait_.insert(each.id());
    }
    if (stream_.Send(request)) asked_ = std::move(asked);
  }
  void Hear() {
    stream_.EndWrite(true);
    for (const v1::SessionResponse& response : stream_.Take()) Note(response);
  }
  void EndReads() { stream_.EndReads(); }
  // The connection broke.
  void Break() {
    if (!std::exchange(broken_, true)) stream_.Cancel();
  }
  // Whatever is under way ends, as when a connection is closed.
  void Close() {
    for (int i = 0; i < 100 && (!ended() || stream_.busy()); ++i) {
      if (i > 50) Break();
      stream_.EndReads();
      Hear();
      service_.Settle();
    }
    Hear();
    JudgeEnd();
  }

 private:
  void Note(const v1::SessionResponse& response) {
    PLIMSOLL_CHECK(welcomed_ != response.has_welcome());
    if (response.has_welcome()) {
      welcomed_ = true;
      token_ = response.welcome().resume_token();
      PLIMSOLL_CHECK(!token_.empty());
      for (const v1::Reservation& held : response.welcome().reservations()) {
        wire_.Learn(held.reservation_id());
      }
    }
    for (const v1::OperationResult& result : response.results()) Note(result);
  }
  void Note(const v1::OperationResult& result) {
    const auto asked = asked_.find(result.id());
    PLIMSOLL_CHECK(asked != asked_.end(), result.id());
    asked_.erase(asked);
    if (result.has_error()) return JudgeRefusal(absl::InternalError(result.error().message()));
    PLIMSOLL_CHECK(result.outcome_case() != v1::OperationResult::OUTCOME_NOT_SET);
    if (result.has_reservation()) wire_.Learn(result.reservation().reservation_id());
  }
  void JudgeEnd() {
    PLIMSOLL_CHECK(ended());
    const grpc::Status end = *stream_.end();
    if (!end.ok()) return JudgeRefusal(absl::InternalError(end.error_message()));
    for (const uint64_t id : asked_) PLIMSOLL_CHECK(may_wait_.count(id) > 0, id);
  }

  DrivenService& service_;
  WireChoices& wire_;
  DirectStream<v1::SessionRequest, v1::SessionResponse> stream_;
  bool welcomed_ = false, broken_ = false;
  std::string token_;
  std::multiset<uint64_t> asked_;  // without a result so far
  std::set<uint64_t> may_wait_;    // whose wait the end of the stream may end
};

class Clients {
 public:
  Clients(Choices& choices, DrivenService& service)
      : choices_(choices), wire_(choices), service_(service) {}

  void Step() {
    std::unique_ptr<Peer>& peer = peers_[static_cast<size_t>(choices_.Below(kStreams))];
    switch (choices_.Below(12)) {
      case 0:
        return Open(peer);
      case 1:
        return service_.clock.Advance(std::chrono::milliseconds(250) * choices_.Below(256));
      case 2:
        return Revoke();
      case 3:
        return service_.Settle();
      case 4:
        return Break(peer);
      case 5:
        if (peer != nullptr) peer->EndReads();
        return;
      case 6:
      case 7:
        if (peer != nullptr) peer->Hear();
        return;
      default:
        if (peer != nullptr) Operate(*peer);
    }
  }
  void Judge() { service_.Judge(); }
  void End() {
    for (std::unique_ptr<Peer>& peer : peers_) peer.reset();
    service_.Settle();
  }

 private:
  void Open(std::unique_ptr<Peer>& peer) {
    v1::SessionRequest request;
    v1::Hello& hello = *request.mutable_hello();
    hello.set_resume_token(choices_.OneIn(4) ? std::string(choices_.Bytes())
                                             : tokens_[static_cast<size_t>(choices_.Below(3))]);
    *hello.mutable_ttl() = wire_.Time();
    for (int64_t i = choices_.Below(3); i > 0; --i) *hello.add_claims() = wire_.Claim();
    hello = wire_.Spoilt(hello);
    peer.reset();
    peer = std::make_unique<Peer>(service_, wire_);
    if (choices_.OneIn(8)) request.clear_hello();
    AddOperations(request);
    peer->Send(request);
    peer->Hear();
    tokens_[next_token_++ % tokens_.size()] = peer->token();
  }
  void Break(std::unique_ptr<Peer>& peer) {
    if (peer == nullptr) return;
    if (choices_.OneIn(2)) peer->Break();
    peer.reset();
  }
  void Operate(Peer& peer) {
    v1::SessionRequest request;
    AddOperations(request);
    peer.Send(wire_.Spoilt(request));
  }
  void AddOperations(v1::SessionRequest& request) {
    for (int64_t i = choices_.Below(5); i > 0; --i) {
      *request.add_operations() = wire_.Operation(++operations_);
    }
  }
  // By somebody else.
  void Revoke() {
    v1::RevokeReservationRequest in;
    in.set_reservation_id(wire_.Id());
    const DirectCall<v1::RevokeReservationRequest, v1::RevokeReservationResponse> call(
        service_.admin(), &AdminEndpoint::RevokeReservation, in);
    PLIMSOLL_CHECK(call.end().has_value());
    if (!call.end()->ok()) JudgeRefusal(absl::InternalError(call.end()->error_message()));
  }

  Choices& choices_;
  WireChoices wire_;
  DrivenService& service_;
  std::array<std::unique_ptr<Peer>, kStreams> peers_;
  std::array<std::string, 3> tokens_;
  size_t next_token_ = 0;
  uint64_t operations_ = 0;
};

}  // namespace
}  // namespace plimsoll

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  Choices choices(data, size);
  DrivenService service(static_cast<Learning>(choices.Below(3)), {});
  {
    Clients clients(choices, service);
    while (!choices.over()) {
      clients.Step();
      clients.Judge();
    }
    clients.End();
  }
  service.JudgeEnd();
  return 0;
}
