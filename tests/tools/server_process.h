// A `plimsoll serve` of this build as a process of its own, for tests of the command line.
//
// Threads: the test's. Errors: one that never says "ready" has an empty address(), and what it
// said instead is in output().
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "kvcache/base/check.h"
#include "tests/support/run_program.h"

namespace plimsoll {

class ServerProcess {
 public:
  // `arguments` follow "plimsoll serve"; ports are free ones unless they say otherwise. `before`
  // is what starts it, if it is not to be started as it is: a shell that limits it first.
  explicit ServerProcess(std::vector<std::string> arguments, std::vector<std::string> before = {}) {
    std::vector<std::string> start = std::move(before);
    start.insert(start.end(), {PlimsollProgram(), "serve"});
    arguments.insert(arguments.begin(), start.begin(), start.end());
    std::array<int, 2> ends{};
    PLIMSOLL_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0, errno);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const int failed = posix_spawnp(&pid_, argv[0], &actions, nullptr, argv.data(), environ);
    PLIMSOLL_CHECK(failed == 0, argv[0], failed);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    pipe_ = ends[0];
    while (Said("ready: ").empty() && ReadMore()) {
    }
  }
  ~ServerProcess() {
    if (pid_ != 0) kill(pid_, SIGKILL);
    Wait();
    close(pipe_);
  }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // The first gRPC address, and the HTTP address.
  std::string address() const { return Said("; gRPC on "); }
  std::string http() const { return Said("; HTTP on "); }
  const std::string& output() const { return output_; }
  pid_t pid() const { return pid_; }

  void Signal(int signal) { kill(pid_, signal); }
  // Whether it said this, or says it before it is silent for ten seconds.
  bool Says(const std::string& text) {
    while (output_.find(text) == std::string::npos) {
      pollfd more = {.fd = pipe_, .events = POLLIN, .revents = 0};
      if (poll(&more, 1, 10'000) <= 0 || !ReadMore()) return false;
    }
    return true;
  }
  // Its exit code, or 128 plus the signal that ended it, once it has ended.
  int Wait() {
    if (pid_ == 0) return exit_code_;
    while (ReadMore()) {
    }
    int state = 0;
    waitpid(pid_, &state, 0);
    pid_ = 0;
    return exit_code_ = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  }

 private:
  bool ReadMore() { return run_program_internal::ReadSome(pipe_, output_); }
  // What follows `what` up to a comma, semicolon or end of line; empty before it was said whole.
  std::string Said(const std::string& what) const {
    const size_t found = output_.find(what);
    if (found == std::string::npos) return "";
    const size_t end = output_.find('\n', found);
    if (end == std::string::npos) return "";
    const size_t start = found + what.size();
    return output_.substr(start, output_.find_first_of(",;\n", start) - start);
  }

  pid_t pid_ = 0;
  int pipe_ = -1;
  int exit_code_ = -1;
  std::string output_;
};

}  // namespace plimsoll
