#include "rpc/log.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_format.h"

namespace plimsoll {
namespace {

constexpr size_t kLongestValue = 200;
// A pipe that is ready takes so much without blocking (PIPE_BUF).
constexpr size_t kLongestLine = 4096;

const char* NameOf(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "error";
}

std::string TimeText(WallTime time) {
  const int64_t ms = std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count();
  const std::time_t seconds = ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", utc.tm_year + 1900, utc.tm_mon + 1,
                         utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, ms % 1000);
}

std::string Printable(const std::string& value) {
  std::string out = value.substr(0, kLongestValue);
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

std::string Quoted(const std::string& value) {
  const std::string text = Printable(value);
  if (!text.empty() && text.find_first_of(" \"=\\") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string TextLine(const std::string& time, LogLevel level, const std::string& event,
                     const std::vector<LogField>& fields) {
  std::string line = time + " " + NameOf(level) + " " + event;
  for (const LogField& field : fields) line += " " + field.key + "=" + Quoted(field.value);
  return line;
}

std::string JsonLine(const std::string& time, LogLevel level, const std::string& event,
                     const std::vector<LogField>& fields) {
  nlohmann::ordered_json json = {{"time", time}, {"level", NameOf(level)}, {"event", event}};
  for (const LogField& field : fields) json[field.key] = Printable(field.value);
  return json.dump();
}

// Whether all of it was written without waiting.
bool WriteAtOnce(int descriptor, const std::string& line) {
  const auto all = static_cast<ssize_t>(line.size());
  const ssize_t sent = send(descriptor, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0 || errno != ENOTSOCK) return sent == all;
  pollfd ready = {.fd = descriptor, .events = POLLOUT, .revents = 0};
  if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return false;
  return write(descriptor, line.data(), line.size()) == all;
}

}  // namespace

Log::Log(const LogOptions& options, const Clock& clock)
    : options_(options), clock_(clock), level_(options.level) {}

void Log::Write(LogLevel level, const std::string& event, const std::vector<LogField>& fields) {
  if (level < level_.load()) return;
  absl::MutexLock lock(&mutex_);
  const int64_t suppressed = Admit(event);
  if (suppressed < 0) return;
  std::vector<LogField> all = fields;
  if (suppressed > 0) all.push_back({"suppressed", std::to_string(suppressed)});
  const auto make = options_.format == LogFormat::kJson ? JsonLine : TextLine;
  std::string line = make(TimeText(clock_.WallNow()), level, event, all);
  line.resize(std::min(line.size(), kLongestLine - 1));
  Send(line + "\n");
}

int64_t Log::Admit(const std::string& event) {
  const Instant now = clock_.Now();
  Kind& kind = kinds_.try_emplace(event, Kind{.second = now}).first->second;
  if (now - kind.second >= std::chrono::seconds(1)) {
    kind.second = now;
    kind.written = 0;
  }
  if (kind.written == options_.per_second) {
    ++kind.suppressed;
    ++suppressed_;
    return -1;
  }
  ++kind.written;
  return std::exchange(kind.suppressed, 0);
}

void Log::Send(const std::string& line) {
  if (!WriteAtOnce(options_.descriptor, line)) ++lost_;
}

}  // namespace plimsoll
