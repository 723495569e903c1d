// What all who call from one client process of a soak share: the connection, the record, and how an
// answer is written down.
//
// A call that the server finds wrong is a fault of the client's: it aborts, which the soak sees.
//
// Threads: any. Cost: a system call per message and per answer. Errors: as above.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kvcache/base/check.h"
#include "plimsoll/v1/admission.grpc.pb.h"
#include "tests/rpc/reliability/history.h"

namespace plimsoll {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

inline constexpr milliseconds kSoakTtl{2000};
inline constexpr int64_t kSoakBlockTokens = 16;
inline constexpr milliseconds kSoakCatchUp{500};  // so much work of the past is made up for

struct SoakArguments {
  std::string address, history;
  int64_t client;
  double rate;  // decisions per second, of all callers
  double seconds;
  uint32_t seed;
};

struct SoakProcess {
  const SoakArguments& arguments;
  const HistoryLog log;
  std::atomic<int64_t> calls{0};
  const std::unique_ptr<v1::AdmissionService::Stub> stub;
};

// One reservation of a caller's, as the caller knows it.
struct SoakHeld {
  std::string request;
  std::string id = {};
  int64_t asked_tokens = 0;  // by the request
  int64_t tokens = 0;        // that it covers now
  // When the message left whose answer was the last sign that it is held.
  SteadyClock::time_point signed_at = {};

  // Nobody else can have got its blocks, so it may be claimed.
  bool Certain() const { return SteadyClock::now() < signed_at + kSoakTtl; }
};

class SoakDice {
 public:
  explicit SoakDice(uint32_t seed) : random_(seed) {}
  int64_t Below(int64_t end) { return static_cast<int64_t>(random_()) % end; }
  bool Chance(int percent) { return Below(100) < percent; }

 private:
  std::mt19937 random_;
};

// What of one message is recorded: each of its operations as a call of its own.
class SoakRecord {
 public:
  explicit SoakRecord(SoakProcess& process) : process_(process) {}

  void Ask(HistoryOperation operation, const std::string& name, milliseconds wait = {}) {
    HistoryEvent sent{.kind = HistoryKind::kSend, .operation = operation, .name = name};
    sent.client = process_.arguments.client;
    sent.call = process_.calls.fetch_add(1);
    sent.ttl = std::chrono::nanoseconds(kSoakTtl).count();
    sent.max_wait = std::chrono::nanoseconds(wait).count();
    events_.push_back(std::move(sent));
  }
  // Before the message leaves.
  void Send() {
    const int64_t now = HistoryNow();
    for (HistoryEvent& event : events_) event.at = now;
    process_.log.WriteAll(events_);
  }
  // As many answers as were asked for, after they came.
  void Hear(std::vector<HistoryEvent> answers) {
    PLIMSOLL_CHECK(answers.size() == events_.size(), answers.size(), events_.size());
    const int64_t now = HistoryNow();
    for (size_t i = 0; i < answers.size(); ++i) {
      answers[i].kind = HistoryKind::kAnswer;
      answers[i].client = events_[i].client;
      answers[i].call = events_[i].call;
      answers[i].at = now;
    }
    process_.log.WriteAll(answers);
  }

 private:
  SoakProcess& process_;
  std::vector<HistoryEvent> events_;
};

inline HistoryOutcome SoakOutcomeOf(int code, const std::string& message) {
  switch (static_cast<grpc::StatusCode>(code)) {
    case grpc::StatusCode::OK:
      return HistoryOutcome::kDone;
    case grpc::StatusCode::NOT_FOUND:
      return HistoryOutcome::kLost;
    case grpc::StatusCode::FAILED_PRECONDITION:
      return HistoryOutcome::kStale;
    default:
      PLIMSOLL_CHECK(static_cast<grpc::StatusCode>(code) != grpc::StatusCode::INVALID_ARGUMENT,
                     message);
      return HistoryOutcome::kFailed;
  }
}

inline HistoryEvent SoakGrantOf(const v1::Reservation& reservation) {
  return {.outcome = HistoryOutcome::kGranted,
          .name = reservation.reservation_id(),
          .blocks = reservation.blocks()};
}

// Of a response or result that has a reservation or a rejection.
template <class Outcome>
HistoryEvent SoakEventOf(const Outcome& out) {
  if (out.has_reservation()) return SoakGrantOf(out.reservation());
  return {.outcome = HistoryOutcome::kRefused};
}

inline void SetSoakDeadline(grpc::ClientContext& context, milliseconds wait = {}) {
  context.set_deadline(std::chrono::system_clock::now() + wait + std::chrono::seconds(5));
}

inline v1::ReserveCapacityRequest SoakReserve(const std::string& request, int64_t tokens) {
  v1::ReserveCapacityRequest reserve;
  reserve.set_request_id(request);
  reserve.set_tenant("tenant-" + std::to_string(tokens % 5));
  reserve.set_prompt_tokens(tokens);
  reserve.mutable_ttl()->set_seconds(std::chrono::floor<std::chrono::seconds>(kSoakTtl).count());
  return reserve;
}

// Says of all of them that they are held, to whichever life of the server: from now on they have
// the names that this life gives them. What is lost is taken out; where no answer comes nothing
// changes. False then.
bool ClaimAll(SoakProcess& process, std::vector<SoakHeld>& held);

// One call at a time, each a message of its own, with waits, until the seconds are over.
void RunSoakCaller(SoakProcess& process, int number, double rate);
// Many reservations at once, in one message after another.
void RunSoakBatches(SoakProcess& process, int number, double rate);

}  // namespace plimsoll
