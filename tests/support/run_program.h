// Runs a program as a shell would and collects what it says: for tests of the command line.
//
// Threads: any. Errors: a program that cannot be started exits with 127; one killed by signal n
// gives 128 + n, as in a shell.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <vector>

#include "kvcache/base/check.h"

extern char** environ;

namespace plimsoll {

struct ProgramResult {
  int exit_code;
  std::string out, err;
};

namespace run_program_internal {

struct Pipe {
  Pipe() { PLIMSOLL_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0, errno); }
  ~Pipe() {
    close(ends[0]);
    if (ends[1] >= 0) close(ends[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void CloseWriter() {
    close(ends[1]);
    ends[1] = -1;
  }
  std::array<int, 2> ends;
};

// Appends what is there; false at the end of the stream.
inline bool ReadSome(int fd, std::string& into) {
  std::array<char, 65536> buffer;
  const ssize_t n = read(fd, buffer.data(), buffer.size());
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;
  into.append(buffer.data(), static_cast<size_t>(n));
  return true;
}

// Reads both streams until both end, so that neither can fill up and block the program.
inline void Drain(int out_fd, int err_fd, ProgramResult& result) {
  std::array<pollfd, 2> fds = {{{out_fd, POLLIN, 0}, {err_fd, POLLIN, 0}}};
  const std::array<std::string*, 2> into = {&result.out, &result.err};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (poll(fds.data(), fds.size(), -1) < 0) continue;
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].fd >= 0 && fds[i].revents != 0 && !ReadSome(fds[i].fd, *into[i])) fds[i].fd = -1;
    }
  }
}

}  // namespace run_program_internal

// `argv[0]` is a path or a name on PATH. Standard input is empty.
inline ProgramResult RunProgram(const std::vector<std::string>& argv) {
  using run_program_internal::Pipe;
  Pipe out, err;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
  std::vector<char*> arguments;
  for (const std::string& argument : argv) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const int failed = posix_spawnp(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  ProgramResult result{.exit_code = 127, .out = {}, .err = {}};
  if (failed != 0) return result;
  out.CloseWriter();
  err.CloseWriter();
  run_program_internal::Drain(out.ends[0], err.ends[0], result);
  int state = 0;
  while (waitpid(pid, &state, 0) < 0 && errno == EINTR) {
  }
  result.exit_code = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
  return result;
}

// The `plimsoll` command of this build.
inline std::string PlimsollProgram() { return std::string(PLIMSOLL_BINARY_DIR) + "/bin/plimsoll"; }

}  // namespace plimsoll
