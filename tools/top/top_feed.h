// Keeps a TopState up to date: watches the server, comes back when it was gone, and asks who holds
// what once each interval.
//
// A server that says nothing for kStaleAfter, though it was asked for a heartbeat each second, is
// shown as stale, whether its connection broke or not.
//
// Threads: two of its own; State and WaitForFirst from any. Cost: a message at most once each
// interval and a list of some tens. Errors: what went wrong last is in the state.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "kvcache/base/clock.h"
#include "rpc/client.h"
#include "tools/top/top_state.h"

namespace plimsoll {

class TopFeed {
 public:
  static constexpr Duration kStaleAfter = std::chrono::milliseconds(2500);

  // InvalidArgument for an address that is none, or files of certificates and tokens that cannot be
  // used.
  static absl::StatusOr<std::unique_ptr<TopFeed>> Start(const ClientOptions& options,
                                                        Duration interval);
  ~TopFeed();

  // OK once the server was heard of and said who holds what; else why not, after at most `limit`.
  absl::Status WaitForFirst(Duration limit);
  TopState State() const;

 private:
  struct Impl;
  explicit TopFeed(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll
