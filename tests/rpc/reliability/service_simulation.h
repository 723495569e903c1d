// A whole service on simulated time: clients that follow a script, a network that delays, loses and
// repeats messages and at times cuts a client off, and a ledger that is killed and begins anew.
// Everything follows from the seed.
//
// Messages are those of the wire, read and answered by the code of the server. Clients record what
// they ask and hear as real ones do (history.h), so the same judge decides. After each message the
// ledger verifies itself.
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

#include "kvcache/admission/admission_controller.h"
#include "plimsoll/v1/admission.pb.h"
#include "tests/rpc/reliability/history.h"

namespace plimsoll {

struct SimulationOptions {
  uint32_t seed;
  int64_t blocks = 64;
  int clients = 12;
  Duration time = std::chrono::seconds(20);
  int lost_percent = 5, repeated_percent = 5;
  Duration server_life = std::chrono::seconds(7);  // on average
  // A server that is wrong, to see that it is noticed: changes what arrives.
  std::function<void(v1::Operation&)> spoil = [](v1::Operation&) {};
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

 private:
  class Client;

  void Later(Duration delay, std::function<void()> what);
  void StartLife();
  void KillAndRestart();
  // One message's way to the server and the answer's way back.
  void Send(Client& client, int64_t call, const v1::Operation& operation);
  void Arrive(Client& client, int64_t call, v1::Operation operation);
  v1::OperationResult Serve(const v1::Operation& operation);
  void NoteGrant(const std::string& request, const v1::Reservation& granted);
  bool IsCutOff(const Client& client) const;
  // Nullopt for a message that is lost, else once or twice a delay.
  std::vector<Duration> Deliveries();
  void Record(HistoryEvent event);

  int64_t Below(int64_t end) { return static_cast<int64_t>(random_()) % end; }
  bool Chance(int percent) { return Below(100) < percent; }
  Instant end() const { return Instant(options_.time); }

  const SimulationOptions options_;
  std::mt19937 random_;
  SimulatedClock clock_;
  std::map<std::pair<Instant, int64_t>, std::function<void()>> agenda_;
  int64_t next_entry_ = 0, next_call_ = 0;
  int lives_ = 0, granted_twice_ = 0;
  std::map<std::pair<int, std::string>, std::string> granted_;  // by life and request
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<AdmissionController> admission_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<HistoryEvent> history_;
};

}  // namespace plimsoll
