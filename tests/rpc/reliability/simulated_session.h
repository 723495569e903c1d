// A client of the simulated service that has a session: several requests at a time over one stream,
// which is the lease. It holds some of them far longer than a lease without a sign of life, queues
// for room, is cut off now and then, connects again with its token, and says what it holds at most
// greetings, so that a ledger that was started again learns of it.
//
// Threads: none. Cost: none. Errors: what a server never answers aborts.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <string>

#include "tests/rpc/reliability/service_simulation.h"

namespace plimsoll {

class SimulatedSession final : public SimulatedClient {
 public:
  SimulatedSession(ServiceSimulation& world, int64_t number);

  void Begin() override { Connect(); }

 private:
  enum class Step { kIdle, kReserving, kHolding, kExtending, kReleasing };
  // One request on its way.
  struct Job {
    Step step = Step::kIdle;
    std::string request, id;                   // the id is empty where nothing is held
    int64_t prompt = 0, wanted = 0, held = 0;  // tokens
    Duration max_wait{};
    int64_t call = 0;  // 0: no answer is awaited
    int64_t turn = 0;  // grows with each step, so that what was planned before is forgotten
  };
  struct Sent {
    Instant at;
    Job* job;
  };
  class Stream;

  void Connect();
  void Break();
  void Leave();
  v1::Hello Greeting();
  void Hear(const v1::SessionResponse& response);
  void Welcomed(const v1::Welcome& welcome);
  void TakeClaimed(const v1::Welcome& welcome);
  void TakeResumed(const v1::Welcome& welcome);
  void Result(const v1::OperationResult& result);
  void Revoked(const std::string& id);
  // The stream ended; calls without an answer never get one.
  void Lost();

  void Start(Job& job);
  void Continue(Job& job);
  void Forget(Job& job);
  void After(Duration rest, Job& job, void (SimulatedSession::*what)(Job&));
  void Reserve(Job& job);
  void Extend(Job& job);
  void Release(Job& job);
  void Hold(Job& job);
  void Next(Job& job);
  void Ask(Job& job, Step step, HistoryOperation operation, v1::Operation message);

  int64_t RecordSend(HistoryOperation operation, const std::string& name, Duration max_wait);
  void RecordAnswer(HistoryEvent answer, int64_t call);
  void RecordLost(const std::string& id);
  // That the stream was there at some time since, and with it all that is held.
  void RecordKept(Instant since);
  std::string tenant() const;

  ServiceSimulation& world_;
  const int64_t number_;
  std::shared_ptr<Stream> stream_;  // null: none
  bool welcomed_ = false;
  bool claims_all_ = true;  // at the next greeting; else its token is to do
  std::string token_;
  Instant greeted_{}, kept_until_{};  // until when it certainly holds all that it holds
  std::array<Job, 3> jobs_;
  std::map<int64_t, Sent> sent_;           // operations without an answer
  std::map<std::string, int64_t> claims_;  // calls of the greeting by what they claim
  int requests_ = 0;
};

}  // namespace plimsoll
