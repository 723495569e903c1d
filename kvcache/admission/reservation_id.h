// Reservation ids: "<epoch>-<number>", so that an id says which server life gave it.
//
// Threads: pure. Cost: O(length). Errors: as ParseReservationId says; messages show at most 80
// printable characters of what came from outside.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace plimsoll {

std::string ReservationIdOf(std::string_view epoch, int64_t number);

// The number in `id`. FailedPrecondition, STALE_EPOCH, for an id that another epoch gave; NotFound
// for what no epoch could have given.
absl::StatusOr<int64_t> ParseReservationId(std::string_view id, std::string_view epoch);

// "no reservation <id>", and why where `why` is not empty.
absl::Status NoReservation(std::string_view id, std::string_view why);

}  // namespace plimsoll
