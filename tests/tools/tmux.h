// A program on a real terminal: tmux keeps the screen, the test reads it and types.
//
// Threads: the test's. Errors: whoever uses it asks first whether it is installed.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {

class Tmux {
 public:
  static bool IsInstalled() { return RunProgram({"tmux", "-V"}).exit_code == 0; }

  // A shell of its own, on a server of its own, that `command` is typed into.
  Tmux(int columns, int rows) {
    Call({"-f", "/dev/null", "new-session", "-d", "-x", std::to_string(columns), "-y",
          std::to_string(rows), "env PS1='ready$ ' LC_ALL=C.UTF-8 bash --norc --noprofile"});
    Shows("ready$");
  }
  ~Tmux() { Call({"kill-server"}); }
  Tmux(const Tmux&) = delete;
  Tmux& operator=(const Tmux&) = delete;

  void Type(const std::string& line) {
    Call({"send-keys", "-l", line});
    Key("Enter");
  }
  void Key(const std::string& name) { Call({"send-keys", name}); }
  void Resize(int columns, int rows) {
    Call({"resize-window", "-x", std::to_string(columns), "-y", std::to_string(rows)});
  }
  // What is on the screen, with escape sequences where they are asked for.
  std::string Screen(bool with_escapes = false) {
    std::vector<std::string> arguments = {"capture-pane", "-p"};
    if (with_escapes) arguments.push_back("-e");
    return Call(arguments).out;
  }
  // Whether the screen comes to hold that within ten seconds.
  bool Until(const std::function<bool(const std::string&)>& holds) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!holds(Screen())) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
    return true;
  }
  bool Shows(const std::string& text) {
    return Until([&](const std::string& s) { return s.find(text) != std::string::npos; });
  }

 private:
  ProgramResult Call(std::vector<std::string> arguments) {
    const std::vector<std::string> start = {"tmux", "-S", folder_.File("tmux")};
    arguments.insert(arguments.begin(), start.begin(), start.end());
    return RunProgram(arguments);
  }

  TempDir folder_;
};

}  // namespace plimsoll
