// What clients asked of a server and what they heard, as they saw it, one event to a line:
//
//   send <ns> <client> <call> <operation> <name> <ttl ns> <max wait ns>
//   answer <ns> <client> <call> <outcome> <reservation> <blocks>
//   told <ns> <client> <outcome> <reservation> <since ns> <ttl ns>
//   killed <ns> <client>          the client's process
//   server <ns> started|killed
//   capacity <ns> <free> <total> <reservations>
//
// Nanoseconds are of CLOCK_MONOTONIC, which all processes of a machine share. A send is written
// before its message leaves and an answer after it came, so what the server did lies between. The
// <name> is the request's id where it reserves, else the reservation's; "-" where there is none. A
// claim names what an earlier life of the server called it, and is answered with its name in this.
// What goes in one message is as many sends, and as many answers. A client is told what it did not
// ask: that a session held a reservation at some time after <since>, and keeps it for <ttl> beyond
// its stream (granted), or that it ended (lost).
//
// Threads: any, for one log. Cost: a system call per write, so that a process may be killed at any
// time. Errors: a line that is none of these is nullopt.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace plimsoll {

enum class HistoryKind : uint8_t { kSend, kAnswer, kTold, kClientKilled, kServer, kCapacity };
enum class HistoryOperation : uint8_t { kReserve, kExtend, kRenew, kRelease, kClaim };
enum class HistoryOutcome : uint8_t {
  kGranted,  // a reservation, new or as it is now
  kRefused,  // wait or never
  kDone,     // released
  kLost,     // not found
  kStale,    // of another life of the server
  kFailed,   // nobody knows what the server did
};

struct HistoryEvent {
  HistoryKind kind = HistoryKind::kSend;
  int64_t at = 0;
  int64_t client = 0;
  int64_t call = 0;
  HistoryOperation operation = HistoryOperation::kReserve;
  HistoryOutcome outcome = HistoryOutcome::kFailed;
  std::string name = "-";
  int64_t ttl = 0, max_wait = 0;                  // of a send; what is told has a ttl
  int64_t since = 0;                              // of what is told
  int64_t blocks = 0;                             // of an answer
  bool started = false;                           // of a server
  int64_t free = 0, total = 0, reservations = 0;  // of a capacity

  friend bool operator==(const HistoryEvent&, const HistoryEvent&) = default;
};

std::string ToLine(const HistoryEvent& event);  // with its end of line
std::optional<HistoryEvent> FromLine(std::string_view line);

// Nanoseconds of the clock that all use.
int64_t HistoryNow();

// A file that events are appended to.
class HistoryLog {
 public:
  explicit HistoryLog(const std::string& path);
  ~HistoryLog();
  HistoryLog(const HistoryLog&) = delete;
  HistoryLog& operator=(const HistoryLog&) = delete;

  void Write(const HistoryEvent& event) const { WriteAll({&event, 1}); }
  void WriteAll(std::span<const HistoryEvent> events) const;  // at once

 private:
  const int file_;
};

}  // namespace plimsoll
