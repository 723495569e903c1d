// A program that runs beside the test until this goes away; what it says goes to a file.
//
// Threads: the test's. Errors: one that cannot be started aborts the test.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "kvcache/base/check.h"

extern char** environ;

namespace plimsoll {

class BackgroundProgram {
 public:
  // `argv[0]` is a path or a name on PATH.
  BackgroundProgram(std::vector<std::string> argv, const std::string& log) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    std::vector<char*> arguments;
    for (std::string& argument : argv) arguments.push_back(argument.data());
    arguments.push_back(nullptr);
    const int failed =
        posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), environ);
    PLIMSOLL_CHECK(failed == 0, argv[0], failed);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~BackgroundProgram() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  BackgroundProgram(const BackgroundProgram&) = delete;
  BackgroundProgram& operator=(const BackgroundProgram&) = delete;

 private:
  pid_t pid_ = 0;
};

}  // namespace plimsoll
