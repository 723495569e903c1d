// What a client grants by itself while no server answers: so many requests and blocks, no more.
// None by default: without a server, nothing is granted.
//
// Invariant: what is granted and not given back is within the limits.
//
// Threads: none; the owner serialises calls. Cost: a look-up. Errors: no room is nullopt.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "kvcache/admission/reservation.h"

namespace plimsoll {

struct SafeCapacityOptions {
  int64_t requests = 0;              // at one time
  Blocks blocks = Blocks(0);         // of all of them
  Tokens block_tokens = Tokens(16);  // the server's; > 0
};

class SafeCapacity {
 public:
  explicit SafeCapacity(const SafeCapacityOptions& options) : options_(options) {}

  // Reservations that it granted have this epoch, which no server has: it has a '-'.
  static constexpr std::string_view kEpoch = "not-from-a-server";
  static bool Gave(std::string_view id) { return id.starts_with(kEpoch); }

  std::optional<Reservation> Reserve(const ReservationRequest& request, Instant now);
  // The reservation as it is then; nullopt without room, or where there is none of this id.
  std::optional<Reservation> Extend(const std::string& id, Tokens total, Instant now);
  void Release(const std::string& id);  // harmless for an id that it did not give
  bool Has(const std::string& id) const { return held_.contains(id); }
  Blocks used() const { return used_; }
  std::string Limits() const;  // "3 of 4 requests and 20 of 100 blocks are in use"

 private:
  const SafeCapacityOptions options_;
  std::unordered_map<std::string, Reservation> held_;
  Blocks used_;
  int64_t last_ = 0;
};

}  // namespace plimsoll
