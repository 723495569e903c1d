// A whole service on simulated time: clients that follow a script, a network that delays, loses and
// repeats messages and at times cuts a client off, and a ledger that is killed and begins anew.
// Everything follows from the seed.
//
// Messages are those of the wire, read and answered by the code of the server, calls and streams of
// sessions alike; the network alone is not gRPC's. Clients record what they ask and hear as real
// ones do (history.h), so the same judge decides. After each message the ledger verifies itself.
//
// Threads: none. Cost: some microseconds per message. Errors: a broken invariant aborts.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/admission/shared_admission.h"
#include "rpc/session_dialogue.h"
#include "tests/rpc/reliability/history.h"

namespace plimsoll {

struct SimulationOptions {
  uint32_t seed;
  int64_t blocks = 64;
  int callers = 12;       // one call at a time, under leases that they renew
  int sessions = 0;       // a stream, which is the lease, and several requests over it at a time
  bool crowd = false;     // all sessions but the last are of one tenant, and none holds for long
  bool learning = false;  // the ledger lets nobody new in after a restart, and holders claim
  Duration time = std::chrono::seconds(20);
  int lost_percent = 5, repeated_percent = 5;
  Duration server_life = std::chrono::seconds(7);  // on average
  // A server that is wrong, to see that it is noticed: changes what arrives.
  std::function<void(v1::Operation&)> spoil = [](v1::Operation&) {};
};

// Who is cut off hears nothing and is not heard.
class SimulatedClient {
 public:
  virtual ~SimulatedClient() = default;
  virtual void Begin() = 0;
  Instant cut_off_until() const { return cut_off_until_; }

 protected:
  Instant cut_off_until_{};
};

// A connection that carries a session: messages come in order, each once, until it is cut.
class SimulatedStream {
 public:
  virtual ~SimulatedStream() = default;
  virtual void Hear(const v1::SessionResponse& response) = 0;
  // It is over; what was not heard never will be.
  virtual void Ended() = 0;

 private:
  friend class ServiceSimulation;
  std::unique_ptr<SessionDialogue> dialogue_;  // the server's end; null: there is none (any more)
  bool cut_ = false;                           // nothing gets through
  bool woken_ = false;                         // the server's end is about to speak
  Instant last_up_{}, last_down_{};            // when what was sent last arrives
  int life_ = 0;                               // of the server it leads to
};

class ServiceSimulation {
 public:
  explicit ServiceSimulation(const SimulationOptions& options);
  ~ServiceSimulation();
  ServiceSimulation(const ServiceSimulation&) = delete;
  ServiceSimulation& operator=(const ServiceSimulation&) = delete;

  // Until the time is over, then until nothing can be held any more.
  std::vector<HistoryEvent> Run();

  static constexpr Duration kTtl = std::chrono::milliseconds(1500);
  static constexpr Duration kConfirmWindow = std::chrono::milliseconds(500);
  static constexpr Duration kPatience = std::chrono::milliseconds(150);  // for one answer

  // Requests that one life of the server granted twice.
  int granted_twice() const { return granted_twice_; }

  // For clients.
  const SimulationOptions& options() const { return options_; }
  bool over() const { return clock_.Now() >= Instant(options_.time); }
  Instant Now() const { return clock_.Now(); }
  int64_t Below(int64_t end) { return static_cast<int64_t>(random_()) % end; }
  bool Chance(int percent) { return Below(100) < percent; }
  Duration UpTo(int64_t ms) { return std::chrono::milliseconds(Below(ms)); }
  int64_t NextCall() { return next_call_++; }
  void Later(Duration delay, std::function<void()> what);
  void Record(HistoryEvent event);
  bool IsCutOff(const SimulatedClient& client) const { return Now() < client.cut_off_until(); }

  // One message's way to the server and the answer's way back; either may be lost, or come twice.
  using Hear = std::function<void(const v1::OperationResult&)>;
  void Send(const SimulatedClient& client, const v1::Operation& operation, const Hear& hear);
  using HearRenewal = std::function<void(const v1::RenewReservationsResponse&)>;
  void Send(const SimulatedClient& client, const v1::RenewReservationsRequest& request,
            const HearRenewal& hear);

  // A message on a stream; the first one opens it.
  void Send(const std::shared_ptr<SimulatedStream>& stream, const v1::SessionRequest& request);
  // Both ends notice, each some time later.
  void Cut(const std::shared_ptr<SimulatedStream>& stream);
  // The client closes it.
  void Close(const std::shared_ptr<SimulatedStream>& stream);

 private:
  using Stream = std::shared_ptr<SimulatedStream>;

  void StartLife();
  void Kill();
  void Tick();
  v1::OperationResult Serve(v1::Operation operation);
  void NoteGrant(const std::string& request, const v1::Reservation& granted);
  void Take(const Stream& stream, v1::SessionRequest request);
  void Wake(const Stream& stream);
  void Speak(const Stream& stream);
  void EndAtServer(const Stream& stream, const absl::Status& why);
  void EndAtClient(const Stream& stream);
  void CheckInvariants();
  // When a message on a stream arrives that is sent now.
  Duration InOrder(Instant& last);
  // Nullopt for a message that is lost, else once or twice a delay.
  std::vector<Duration> Deliveries();

  const SimulationOptions options_;
  std::mt19937 random_;
  SimulatedClock clock_;
  std::map<std::pair<Instant, int64_t>, std::function<void()>> agenda_;
  int64_t next_entry_ = 0, next_call_ = 1;
  int lives_ = 0, granted_twice_ = 0;
  std::map<std::pair<int, std::string>, std::string> granted_;  // by life and request
  std::map<uint64_t, std::string> asked_;                       // request by operation of a stream
  SessionCounts counts_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<SharedAdmission> admission_;  // null: no server runs
  std::unique_ptr<Sessions> sessions_;
  std::vector<Stream> streams_;  // that the server has an end of, in order
  std::vector<std::unique_ptr<SimulatedClient>> clients_;
  std::vector<HistoryEvent> history_;
};

// What a result says, as clients record it.
HistoryEvent AnswerOf(int64_t client, int64_t call, const v1::OperationResult& result);

}  // namespace plimsoll
