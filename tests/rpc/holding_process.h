// The process of holding_client.cc, for tests that stop and kill it.
//
// Threads: the test's. Errors: one that ends by itself holds nothing.
#pragma once

#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "kvcache/base/check.h"

extern char** environ;

namespace plimsoll {

// A holding_client, from its first word until it is killed.
class HoldingClient {
 public:
  HoldingClient(const std::string& address, int64_t tokens) {
    std::array<int, 2> ends{};
    PLIMSOLL_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, errno);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::string program = std::string(PLIMSOLL_BINARY_DIR) + "/tests/holding_client";
    std::string where = address;
    std::string prompt = std::to_string(tokens);
    std::array<char*, 4> arguments = {program.data(), where.data(), prompt.data(), nullptr};
    const int failed =
        posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments.data(), environ);
    PLIMSOLL_CHECK(failed == 0, program, failed);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    socket_ = ends[0];
  }
  ~HoldingClient() {
    Kill();
    close(socket_);
  }
  HoldingClient(const HoldingClient&) = delete;
  HoldingClient& operator=(const HoldingClient&) = delete;

  // Whether it says that it holds something, before it ends.
  bool Holds() {
    char first = 0;
    return read(socket_, &first, 1) == 1 && first == 'h';
  }
  void AskForMore() { PLIMSOLL_CHECK(write(socket_, "\n", 1) == 1, errno); }
  void Stop() const { kill(pid_, SIGSTOP); }
  void Kill() {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  int socket_ = -1;
};

}  // namespace plimsoll
