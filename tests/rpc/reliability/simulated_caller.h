// A client of the simulated service that makes one call at a time: reserves, confirms by extending
// or renewing, holds, now and then grows, and releases, at times twice or not at all; asks again,
// with the same request, where no answer comes. Of a ledger that learns it claims what
// it certainly held when that died.
//
// Threads: none. Cost: none. Errors: what a server never answers aborts.
#pragma once

#include <string>

#include "tests/rpc/reliability/service_simulation.h"

namespace plimsoll {

class SimulatedCaller final : public SimulatedClient {
 public:
  SimulatedCaller(ServiceSimulation& world, int64_t number) : world_(world), number_(number) {}

  void Begin() override;

 private:
  enum class Step { kReserving, kExtending, kRenewing, kClaiming, kReleasing };

  void Reserve();
  void Extend();
  void Renew();
  void Claim();
  void Release();
  // What next with what is held: more signs of life, the end, or nothing for ever.
  void Hold();
  void Pause();

  // The number of a call whose answer is awaited from now on.
  int64_t Ask(Step step, HistoryOperation operation, const std::string& name);
  void Send(int64_t call, const v1::Operation& operation);
  void Send(int64_t call, const v1::RenewReservationsRequest& request);
  void Heard(const HistoryEvent& answer);
  void GiveUp(int64_t call);

  ServiceSimulation& world_;
  const int64_t number_;
  Step step_ = Step::kReserving;
  std::string request_, id_;
  int64_t prompt_ = 0, wanted_ = 0, held_ = 0;  // tokens: asked for at first, in all, and granted
  int64_t call_ = 0;                            // 0: no answer is awaited
  Instant asked_{}, sure_until_{};              // the call's; until when the lease certainly lives
  int requests_ = 0, tries_ = 0;
};

}  // namespace plimsoll
