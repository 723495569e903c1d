// What a server says while it serves: one line an event, for people (key=value) or machines (JSON).
//
//   2026-11-21T19:00:00.123Z warning connection_shed address=127.0.0.1:8470 open=10000
//
// Each kind of event gets so many lines a second; how many more there were stands in the next line,
// as suppressed=N. Whatever the descriptor is (a full disk, a pipe that nobody reads, closed), a
// line that cannot be written at once is lost and counted, and nobody waits for it.
//
// What comes from outside is quoted, cut at 200 bytes, and printable ASCII or '?'.
//
// Threads: any. Cost: one write per line; a lock. Errors: none; see lost() and suppressed().
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarning, kError };
enum class LogFormat : uint8_t { kText, kJson };

struct LogField {
  std::string key;
  std::string value;
};

struct LogOptions {
  LogLevel level = LogLevel::kInfo;
  LogFormat format = LogFormat::kText;
  int descriptor = 2;       // not closed
  int64_t per_second = 10;  // lines of one kind
};

class Log {
 public:
  // `clock` outlives it.
  Log(const LogOptions& options, const Clock& clock);

  // `event` is one of few words, written in the code.
  void Write(LogLevel level, const std::string& event, const std::vector<LogField>& fields = {})
      ABSL_LOCKS_EXCLUDED(mutex_);
  void SetLevel(LogLevel level) { level_ = level; }
  // Lines that could not be written, and those beyond what their kind may have in a second.
  int64_t lost() const { return lost_.load(); }
  int64_t suppressed() const { return suppressed_.load(); }

 private:
  struct Kind {
    Instant second;  // when its present second began
    int64_t written = 0;
    int64_t suppressed = 0;
  };
  // How many lines of this kind were left out before this one, or -1 to leave it out too.
  int64_t Admit(const std::string& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Send(const std::string& line) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const LogOptions options_;
  const Clock& clock_;
  std::atomic<LogLevel> level_;
  std::atomic<int64_t> lost_{0};
  std::atomic<int64_t> suppressed_{0};
  absl::Mutex mutex_;
  std::map<std::string, Kind> kinds_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace plimsoll
