#include "tests/rpc/reliability/history.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <vector>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr std::array<std::string_view, 6> kKinds = {"send",   "answer", "told",
                                                    "killed", "server", "capacity"};
constexpr std::array<std::string_view, 5> kOperations = {"reserve", "extend", "renew", "release",
                                                         "claim"};
constexpr std::array<std::string_view, 6> kOutcomes = {"granted", "refused", "done",
                                                       "lost",    "stale",   "failed"};

// The words of a line, taken one after the other; a fault stays.
class Words {
 public:
  explicit Words(std::string_view line) : rest_(line) {}

  std::string_view Word() {
    const size_t end = std::min(rest_.find(' '), rest_.size());
    const std::string_view word = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    ok_ = ok_ && !word.empty();
    return word;
  }
  int64_t Number() {
    const std::string_view word = Word();
    int64_t value = 0;
    const char* const end = word.data() + word.size();
    const auto [stopped, error] = std::from_chars(word.data(), end, value);
    ok_ = ok_ && error == std::errc() && stopped == end && value >= 0;
    return value;
  }
  template <class Enum, size_t n>
  Enum OneOf(const std::array<std::string_view, n>& names) {
    const auto found = std::find(names.begin(), names.end(), Word());
    ok_ = ok_ && found != names.end();
    return ok_ ? static_cast<Enum>(found - names.begin()) : Enum{};
  }
  bool over() const { return ok_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

std::string Joined(std::initializer_list<std::string_view> words) {
  std::string line;
  for (const std::string_view word : words) {
    line.append(line.empty() ? "" : " ").append(word);
  }
  return line + "\n";
}

template <class Enum, size_t n>
std::string_view NameIn(const std::array<std::string_view, n>& names, Enum value) {
  return names[static_cast<size_t>(value)];
}

}  // namespace

std::string ToLine(const HistoryEvent& event) {
  const auto text = [](int64_t number) { return std::to_string(number); };
  const std::string_view kind = NameIn(kKinds, event.kind);
  const std::string at = text(event.at), client = text(event.client), call = text(event.call);
  switch (event.kind) {
    case HistoryKind::kSend:
      return Joined({kind, at, client, call, NameIn(kOperations, event.operation), event.name,
                     text(event.ttl), text(event.max_wait)});
    case HistoryKind::kAnswer:
      return Joined({kind, at, client, call, NameIn(kOutcomes, event.outcome), event.name,
                     text(event.blocks)});
    case HistoryKind::kTold:
      return Joined({kind, at, client, NameIn(kOutcomes, event.outcome), event.name,
                     text(event.since), text(event.ttl)});
    case HistoryKind::kClientKilled:
      return Joined({kind, at, client});
    case HistoryKind::kServer:
      return Joined({kind, at, event.started ? "started" : "killed"});
    case HistoryKind::kCapacity:
      return Joined({kind, at, text(event.free), text(event.total), text(event.reservations)});
  }
  return "";
}

std::optional<HistoryEvent> FromLine(std::string_view line) {
  Words words(line);
  HistoryEvent event;
  event.kind = words.OneOf<HistoryKind>(kKinds);
  event.at = words.Number();
  switch (event.kind) {
    case HistoryKind::kSend:
      event.client = words.Number();
      event.call = words.Number();
      event.operation = words.OneOf<HistoryOperation>(kOperations);
      event.name = words.Word();
      event.ttl = words.Number();
      event.max_wait = words.Number();
      break;
    case HistoryKind::kAnswer:
      event.client = words.Number();
      event.call = words.Number();
      event.outcome = words.OneOf<HistoryOutcome>(kOutcomes);
      event.name = words.Word();
      event.blocks = words.Number();
      break;
    case HistoryKind::kTold:
      event.client = words.Number();
      event.outcome = words.OneOf<HistoryOutcome>(kOutcomes);
      event.name = words.Word();
      event.since = words.Number();
      event.ttl = words.Number();
      break;
    case HistoryKind::kClientKilled:
      event.client = words.Number();
      break;
    case HistoryKind::kServer:
      event.started = words.OneOf<int>(std::array<std::string_view, 2>{"killed", "started"}) == 1;
      break;
    case HistoryKind::kCapacity:
      event.free = words.Number();
      event.total = words.Number();
      event.reservations = words.Number();
      break;
  }
  if (!words.over()) return std::nullopt;
  return event;
}

int64_t HistoryNow() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

HistoryLog::HistoryLog(const std::string& path)
    : file_(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  PLIMSOLL_CHECK(file_ >= 0, path, errno);
}

HistoryLog::~HistoryLog() { close(file_); }

void HistoryLog::WriteAll(std::span<const HistoryEvent> events) const {
  std::string lines;
  for (const HistoryEvent& event : events) lines += ToLine(event);
  PLIMSOLL_CHECK(write(file_, lines.data(), lines.size()) == static_cast<ssize_t>(lines.size()),
                 errno);
}

}  // namespace plimsoll
