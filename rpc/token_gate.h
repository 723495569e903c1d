// Who may call what, by the token that comes with a call: "authorization: Bearer TOKEN".
//
// Health is open to all, so that probes need no token. The rest of a service that is not named here
// wants at least `read`: a method that is forgotten is closed, not open.
//
// A peer may present ten wrong tokens at once and ten more a second. Above that, only tokens that
// it used rightly before are looked at, so that a guesser learns nothing and does not lock out an
// honest caller beside him. Peers are told apart by address, or user at a Unix socket, hashed with
// a secret into kPeers: who shares one with a guesser may have to wait with a first call.
//
// Threads: any. Cost: a SHA-256 and a lock or two. Errors: UNAUTHENTICATED, PERMISSION_DENIED,
// RESOURCE_EXHAUSTED, each one line; a token is in none of them, nor in the log.
#pragma once

#include <grpcpp/support/status.h>

#include <array>
#include <atomic>
#include <optional>
#include <set>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/base/clock.h"
#include "rpc/log.h"
#include "rpc/tokens.h"

namespace plimsoll {

// What a call wants: "/package.Service/Method". None: open to all.
std::optional<Role> RoleFor(const std::string& method);

class TokenGate {
 public:
  static constexpr size_t kPeers = 64;
  static constexpr double kFailuresPerSecond = 10;  // and as many at once

  // `clock` and `log` outlive it; `log` may be null.
  TokenGate(TokenTable tokens, const Clock& clock, Log* log);

  void SetTokens(TokenTable tokens) ABSL_LOCKS_EXCLUDED(mutex_);
  // `authorization` is the header's value, empty where there is none; `peer` is below kPeers.
  grpc::Status Check(const std::string& method, const std::string& authorization, size_t peer)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Whose token `authorization` has, for a call that Check let in.
  std::optional<TokenOwner> Find(const std::string& authorization) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether some token acts for one tenant only.
  bool bound_to_tenants() const { return bound_to_tenants_.load(); }

 private:
  struct Peer {
    absl::Mutex mutex;
    double failures_left ABSL_GUARDED_BY(mutex) = kFailuresPerSecond;
    Instant since ABSL_GUARDED_BY(mutex);
    std::set<std::string> known ABSL_GUARDED_BY(mutex);  // whose tokens came from here
  };
  grpc::Status Refuse(const std::string& method, bool has_token, bool too_many, size_t peer);

  const Clock& clock_;
  Log* const log_;
  std::atomic<bool> bound_to_tenants_;
  mutable absl::Mutex mutex_;
  TokenTable tokens_ ABSL_GUARDED_BY(mutex_);
  std::array<Peer, kPeers> peers_;
};

}  // namespace plimsoll
