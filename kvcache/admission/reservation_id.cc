#include "kvcache/admission/reservation_id.h"

#include <array>
#include <charconv>
#include <optional>

namespace plimsoll {
namespace {

std::string Printable(std::string_view text) {
  constexpr size_t kMost = 80;
  std::string out(text.substr(0, kMost));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return text.size() > kMost ? out + "..." : out;
}

// A positive decimal number as ReservationIdOf writes it: digits only, no leading zero.
std::optional<int64_t> ParseNumber(std::string_view text) {
  if (text.empty() || text.front() < '1' || text.front() > '9') return std::nullopt;
  int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end) return std::nullopt;
  return number;
}

}  // namespace

std::string ReservationIdOf(std::string_view epoch, int64_t number) {
  std::array<char, 20> digits{};
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  std::string id;
  id.reserve(epoch.size() + 1 + digits.size());  // one allocation
  id += epoch;
  id += '-';
  id.append(digits.data(), static_cast<size_t>(end - digits.data()));
  return id;
}

absl::Status NoReservation(std::string_view id, std::string_view why) {
  std::string message = "no reservation " + Printable(id);
  if (!why.empty()) message += ": " + std::string(why);
  return absl::NotFoundError(message);
}

absl::StatusOr<int64_t> ParseReservationId(std::string_view id, std::string_view epoch) {
  const size_t dash = id.find('-');
  if (dash == 0 || dash == std::string_view::npos) return NoReservation(id, {});
  const std::optional<int64_t> number = ParseNumber(id.substr(dash + 1));
  if (!number) return NoReservation(id, {});
  if (id.substr(0, dash) == epoch) return *number;
  return absl::FailedPreconditionError("STALE_EPOCH: " + Printable(id) +
                                       " is of another server life; this one is " +
                                       std::string(epoch));
}

}  // namespace plimsoll
