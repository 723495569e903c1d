// A client for who runs a server: stop taking requests, take them again, take a reservation away.
//
// Threads: any; calls block. Cost: one round trip. Errors: as those of Client.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/admission/reservation.h"
#include "rpc/client.h"

namespace plimsoll {

// What is still held by those who came before a drain.
struct HeldAtDrain {
  int64_t reservations = 0;
  Blocks blocks = Blocks(0);
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

 private:
  struct State;
  explicit OperatorClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
