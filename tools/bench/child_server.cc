#include "tools/bench/child_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "absl/strings/str_split.h"

namespace plimsoll {
namespace {

constexpr char kProgram[] = "/proc/self/exe";
constexpr char kAddresses[] = "gRPC on ";

// In the child: nothing here allocates, since other threads may have held what malloc locks.
[[noreturn]] void BecomeServer(const std::vector<char*>& argv, int out) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  execv(kProgram, argv.data());
  _exit(127);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildServer>> ChildServer::Start(
    std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "plimsoll");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return absl::ErrnoToStatus(errno, "pipe");
  const Instant start = SystemClock().Now();
  std::unique_ptr<ChildServer> child(new ChildServer);
  child->pipe_ = ends[0];
  child->pid_ = fork();
  if (child->pid_ == 0) BecomeServer(argv, ends[1]);
  close(ends[1]);
  if (child->pid_ < 0) return absl::ErrnoToStatus(errno, "fork");
  const absl::Status ready = child->AwaitReady();
  if (!ready.ok()) return ready;
  child->start_time_ = SystemClock().Now() - start;
  return child;
}

absl::Status ChildServer::AwaitReady() {
  std::string said;
  std::array<char, 4096> buffer;
  while (true) {
    const size_t found = said.find(kAddresses);
    if (found != std::string::npos && said.find('\n', found) != std::string::npos) {
      const size_t start = found + std::strlen(kAddresses);
      const std::string list = said.substr(start, said.find_first_of(";\n", start) - start);
      addresses_ = absl::StrSplit(list, ", ");
      return absl::OkStatus();
    }
    const ssize_t n = read(pipe_, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return absl::InternalError("a server did not start: " + said);
    said.append(buffer.data(), static_cast<size_t>(n));
  }
}

ChildServer::~ChildServer() {
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  close(pipe_);
}

Duration ChildServer::CpuTime() const {
  clockid_t clock{};
  timespec used{};
  if (clock_getcpuclockid(pid_, &clock) != 0 || clock_gettime(clock, &used) != 0) {
    return Duration::zero();
  }
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace plimsoll
