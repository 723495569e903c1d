#include "tools/top/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace plimsoll {
namespace {

constexpr std::string_view kEnter = "\x1b[?1049h\x1b[?25l";  // alternate screen, no cursor
constexpr std::string_view kLeave = "\x1b[?25h\x1b[?1049l";
constexpr std::string_view kClear = "\x1b[H\x1b[2J";

void Write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;  // gone; the next Wait says so
    text.remove_prefix(static_cast<size_t>(n));
  }
}

absl::Status Failed(const char* call) {
  return absl::InternalError(std::string("terminal: ") + call + ": " + std::strerror(errno));
}

int Milliseconds(Duration time) {
  return static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(time).count());
}

}  // namespace

absl::StatusOr<std::unique_ptr<TerminalSignals>> TerminalSignals::Create() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGWINCH}) sigaddset(&set, signal);
  if (pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return Failed("sigmask");
  const int descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor < 0) return Failed("signalfd");
  return std::unique_ptr<TerminalSignals>(new TerminalSignals(descriptor));
}

TerminalSignals::~TerminalSignals() { close(descriptor_); }

int TerminalSignals::Take() const {
  signalfd_siginfo info{};
  const ssize_t n = read(descriptor_, &info, sizeof(info));
  return n == sizeof(info) ? static_cast<int>(info.ssi_signo) : 0;
}

bool TerminalSignals::StopWithin(Duration time) const {
  const SystemClock clock;
  const Instant until = clock.Now() + time;
  while (true) {
    pollfd wait = {.fd = descriptor_, .events = POLLIN, .revents = 0};
    poll(&wait, 1, std::max(0, Milliseconds(until - clock.Now())));
    const int signal = Take();
    if (signal == SIGTSTP) kill(getpid(), SIGSTOP);
    if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP) return true;
    if (clock.Now() >= until) return false;
  }
}

bool Terminal::IsOne() {
  const char* const kind = std::getenv("TERM");
  return isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 && kind != nullptr &&
         *kind != '\0' && std::strcmp(kind, "dumb") != 0;
}

absl::StatusOr<std::unique_ptr<Terminal>> Terminal::Open(const TerminalSignals& signals) {
  termios before{};
  if (tcgetattr(STDIN_FILENO, &before) != 0) return Failed("tcgetattr");
  return std::unique_ptr<Terminal>(new Terminal(signals, before));
}

Terminal::Terminal(const TerminalSignals& signals, const termios& before)
    : signals_(signals), before_(before) {
  TakeOver();
}

Terminal::~Terminal() { GiveBack(); }

// Keys come one by one and unseen; those that make signals still do.
void Terminal::TakeOver() {
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  Write(kEnter);
  Measure();
}

void Terminal::GiveBack() {
  Write(kLeave);
  tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

void Terminal::Measure() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
    width_ = size.ws_col;
    height_ = size.ws_row;
  }
  shown_.clear();
  Write(kClear);
}

void Terminal::Draw(const std::vector<std::string>& lines) {
  std::string frame;
  const size_t rows = std::min(height_, std::max(lines.size(), shown_.size()));
  shown_.resize(std::max(shown_.size(), rows));
  for (size_t row = 0; row < rows; ++row) {
    const std::string line = row < lines.size() ? lines[row] : "";
    if (line == shown_[row]) continue;
    frame += "\x1b[" + std::to_string(row + 1) + ";1H\x1b[2K" + line;
    shown_[row] = line;
  }
  Write(frame);
}

Terminal::Event Terminal::Wait(Duration time) {
  std::array<pollfd, 2> wait = {{{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0},
                                 {.fd = signals_.descriptor(), .events = POLLIN, .revents = 0}}};
  if (poll(wait.data(), wait.size(), Milliseconds(time)) <= 0) return Event::kNothing;
  if (wait[1].revents != 0) return HearSignal();
  return HearKeys();
}

Terminal::Event Terminal::HearSignal() {
  const int signal = signals_.Take();
  if (signal == SIGWINCH) {
    Measure();
    return Event::kResized;
  }
  if (signal == SIGTSTP) {
    GiveBack();
    kill(getpid(), SIGSTOP);
    TakeOver();  // goes on here
    return Event::kResized;
  }
  return signal == 0 ? Event::kNothing : Event::kStop;
}

Terminal::Event Terminal::HearKeys() {
  constexpr char kEndOfInput = '\x04';
  std::array<char, 64> keys{};
  const ssize_t n = read(STDIN_FILENO, keys.data(), keys.size());
  if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) return Event::kStop;
  for (ssize_t i = 0; i < n; ++i) {
    const char key = keys[static_cast<size_t>(i)];
    if (key == 'q' || key == 'Q' || key == kEndOfInput) return Event::kStop;
  }
  return Event::kNothing;
}

}  // namespace plimsoll
