// Watchers of a ledger's capacity, who only listen.
//
// Threads: the maker's; updates arrive on gRPC's. Cost: a stream each, 64 to a connection.
// Errors: Internal where not all heard the first state within ten seconds.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

class WatchLoad {
 public:
  static absl::StatusOr<std::unique_ptr<WatchLoad>> Open(const std::string& address, int watchers,
                                                         Duration min_interval);
  ~WatchLoad();  // ends them all

  // That all of them heard so far.
  int64_t updates() const { return updates_.load(); }

 private:
  class Stream;
  WatchLoad() = default;

  std::atomic<int64_t> updates_{0};
  std::atomic<int64_t> began_{0};  // watchers that heard a first state
  std::vector<std::unique_ptr<Stream>> streams_;
};

}  // namespace plimsoll
