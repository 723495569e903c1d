// A client for who runs a server: look at who holds what, watch, plan; stop taking requests, take
// them again, take a reservation away.
//
// Threads: any; calls block. Cost: one round trip. Errors: as those of Client; Cancelled after
// Cancel.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/admission/reservation.h"
#include "rpc/client.h"
#include "rpc/listing.h"
#include "rpc/plan_query.h"

namespace plimsoll {

// What is still held by those who came before a drain.
struct HeldAtDrain {
  int64_t reservations = 0;
  Blocks blocks = Blocks(0);
};

struct WatchWanted {
  Duration min_interval = Duration::zero();
  // A sign of life where nothing was said for so long; zero: none.
  Duration heartbeat = Duration::zero();
  // The state that the caller knows: where it is the newest still, it is not sent again.
  std::string epoch = {};
  int64_t revision = 0;
};

class OperatorClient {
 public:
  // As Client::Create.
  static absl::StatusOr<std::unique_ptr<OperatorClient>> Create(const ClientOptions& options);
  ~OperatorClient();

  // The server takes nothing new until Resume; again is harmless.
  absl::StatusOr<HeldAtDrain> Drain();
  // FailedPrecondition where the server is shutting down.
  absl::Status Resume();
  // Takes a reservation away from its holder. NotFound where it has ended or never was.
  absl::StatusOr<Revocation> Revoke(const std::string& reservation_id);

  // One page of who holds what, the oldest grant first.
  absl::StatusOr<ReservationPage> ListReservations(const PageWanted& page,
                                                   const HoldingFilter& filter = {});
  absl::StatusOr<TenantPage> ListTenants(const PageWanted& page);
  absl::StatusOr<PlanAnswer> Plan(const PlanQuery& query);
  // Hears the state now and after changes, and null where it did not change, until `on_message`
  // returns false (then OK) or the stream ends.
  absl::Status Watch(const WatchWanted& wanted,
                     const std::function<bool(const CapacityReport*)>& on_message);
  // Ends every call, and those that still start. Any thread.
  void Cancel();

 private:
  struct State;
  explicit OperatorClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
