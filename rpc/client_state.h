// What a client consists of, for the files that its calls are in.
//
// Threads: any. Cost: that of a call. Errors: those of the call.
#pragma once

#include <atomic>
#include <map>
#include <random>
#include <string>

#include "absl/synchronization/mutex.h"
#include "rpc/attempts.h"
#include "rpc/client.h"
#include "rpc/client_calls.h"

namespace plimsoll {

// What a server should never send is its fault, not the caller's.
template <class Value>
absl::StatusOr<Value> FromServer(absl::StatusOr<Value> value) {
  if (value.ok()) return value;
  return absl::InternalError("bad answer from the server: " +
                             std::string(value.status().message()));
}

struct Client::State {
  explicit State(const ClientOptions& options_in)
      : options(options_in),
        first_seed(options.retry_seed != 0 ? options.retry_seed : std::random_device{}()),
        calls(options_in) {}

  Instant Now() const { return clock.Now(); }
  uint64_t NextSeed() { return first_seed + calls_made.fetch_add(1); }

  void SetDeadline(grpc::ClientContext& context, Duration beyond = Duration::zero()) const {
    context.set_deadline(std::chrono::system_clock::now() +
                         std::chrono::duration_cast<std::chrono::system_clock::duration>(
                             options.call_timeout + beyond));
  }

  // A call's outcome in our words.
  absl::Status Outcome(const grpc::Status& status) const {
    return CallOutcome(status, options.server);
  }

  // A call that blocks: `call` is given the stub's connection and a context. One that may take
  // longer than the others says how much.
  template <class Call>
  absl::Status Blocking(Call call, Duration beyond = Duration::zero()) {
    Attempts attempts(options.retry_for, NextSeed());
    while (true) {
      absl::Status status = Once(call, beyond);
      if (!attempts.Again(status)) return status;
    }
  }
  template <class Call>
  absl::Status Once(Call& call, Duration beyond) {
    CallInFlight flight(calls, /*may_take_long=*/beyond > Duration::zero());
    SetDeadline(*flight.context(), beyond);
    return Outcome(call(flight.connection(), flight.context()));
  }

  void ConfirmAsync(const std::string& id);

  const ClientOptions options;
  const uint64_t first_seed;
  const SystemClock clock;
  ClientCalls calls;
  std::atomic<uint64_t> calls_made = 0;  // that may be made again
  absl::Mutex mutex;
  int64_t last_ticket ABSL_GUARDED_BY(mutex) = 0;
  std::map<int64_t, grpc::ClientContext*> generations ABSL_GUARDED_BY(mutex);
};

}  // namespace plimsoll
