// The whole terminal as a screen: takes it over, draws what changed, hears keys and signals, and
// leaves everything as it was, however it ends.
//
// SIGINT, SIGTERM, SIGHUP, SIGTSTP and SIGWINCH are heard here from construction on: make one
// before any thread. Ctrl-Z gives the terminal back until the program goes on.
//
// Threads: one. Cost: a frame is one write of the lines that differ. Errors: InternalError naming
// the call; a terminal that vanishes says kStop.
#pragma once

#include <signal.h>
#include <termios.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

// Signals that end a run, for programs that draw no screen too: blocked, and read from a
// descriptor.
class TerminalSignals {
 public:
  static absl::StatusOr<std::unique_ptr<TerminalSignals>> Create();
  ~TerminalSignals();
  TerminalSignals(const TerminalSignals&) = delete;
  TerminalSignals& operator=(const TerminalSignals&) = delete;

  // The next one that is there; zero: none.
  int Take() const;
  int descriptor() const { return descriptor_; }
  // Whether one that ends the run came within this time.
  bool StopWithin(Duration time) const;

 private:
  explicit TerminalSignals(int descriptor) : descriptor_(descriptor) {}
  const int descriptor_;
};

class Terminal {
 public:
  enum class Event { kNothing, kResized, kStop };

  // Whether standard input and output are a terminal that can do this.
  static bool IsOne();
  static absl::StatusOr<std::unique_ptr<Terminal>> Open(const TerminalSignals& signals);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  size_t width() const { return width_; }
  size_t height() const { return height_; }
  // Shows these lines from the top; each is at most width() columns.
  void Draw(const std::vector<std::string>& lines);
  // Waits for a key, a signal or the end of the time. q, Q, Ctrl-C and Ctrl-D are kStop.
  Event Wait(Duration time);

 private:
  Terminal(const TerminalSignals& signals, const termios& before);
  void TakeOver();
  void GiveBack();
  void Measure();
  Event HearSignal();
  static Event HearKeys();

  const TerminalSignals& signals_;
  const termios before_;
  size_t width_ = 80;
  size_t height_ = 24;
  std::vector<std::string> shown_;
};

}  // namespace plimsoll
