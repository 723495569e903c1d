// A headless Chromium that a test drives through chromedriver, by the WebDriver protocol.
//
// Threads: the test's. Errors: one that does not start, or a call that fails, ends the test with
// what was said. Whoever uses it asks first whether it is installed.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <httplib.h>
#include <array>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "kvcache/base/check.h"
#include "tests/support/run_program.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {

class Browser {
 public:
  static bool IsInstalled() {
    return RunProgram({"chromium", "--version"}).exit_code == 0 &&
           RunProgram({"chromedriver", "--version"}).exit_code == 0;
  }

  Browser() : driver_("127.0.0.1", StartDriver()) {
    driver_.set_read_timeout(120);
    session_ = "/session/" + Call("/session", Capabilities())["sessionId"].get<std::string>();
  }
  ~Browser() {
    driver_.Delete(session_);
    kill(-pid_, SIGKILL);  // chromedriver, and the browser if it is still there
    waitpid(pid_, nullptr, 0);
    close(pipe_);
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;

  void Open(const std::string& file) { Go("file://" + file); }
  void Go(const std::string& url) { Command("/url", {{"url", url}}); }

  // The window as a device has it.
  void Show(int width, int height, bool dark) {
    Emulate(
        "setDeviceMetricsOverride",
        {{"width", width}, {"height", height}, {"deviceScaleFactor", 1}, {"mobile", width < 600}});
    const nlohmann::json scheme = {{"name", "prefers-color-scheme"},
                                   {"value", dark ? "dark" : "light"}};
    Emulate("setEmulatedMedia", {{"features", {scheme}}});
    // Two frames on, whatever watches the size of the window has drawn itself anew.
    Evaluate(
        "return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
  }

  // What the body of a function returns.
  nlohmann::json Evaluate(const std::string& body) {
    return Command("/execute/sync", {{"script", body}, {"args", nlohmann::json::array()}});
  }

  // Everything that was said on the console since the last call.
  std::vector<std::string> Console() {
    std::vector<std::string> lines;
    for (const auto& entry : Command("/se/log", {{"type", "browser"}})) {
      lines.push_back(entry["message"]);
    }
    return lines;
  }

  // The whole page as a PNG.
  std::string Screenshot() {
    const auto shot = Command("/goog/cdp/execute", {{"cmd", "Page.captureScreenshot"},
                                                    {"params", {{"captureBeyondViewport", true}}}});
    std::string png;
    PLIMSOLL_CHECK(absl::Base64Unescape(shot["data"].get<std::string>(), &png), "base64");
    return png;
  }

 private:
  // Starts chromedriver in a process group of its own; returns the port that it chose.
  int StartDriver() {
    std::array<int, 2> ends{};
    PLIMSOLL_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0, errno);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    std::string name = "chromedriver", port = "--port=0";
    std::array<char*, 3> argv = {name.data(), port.data(), nullptr};
    const int failed = posix_spawnp(&pid_, argv[0], &actions, &attributes, argv.data(), environ);
    PLIMSOLL_CHECK(failed == 0, failed);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    pipe_ = ends[0];
    const std::string before = "successfully on port ";
    std::string said;
    while (said.find(before) == std::string::npos || said.back() != '\n') {
      PLIMSOLL_CHECK(run_program_internal::ReadSome(pipe_, said), said);
    }
    return std::atoi(said.c_str() + said.find(before) + before.size());
  }

  nlohmann::json Capabilities() const {
    const nlohmann::json arguments = {"--headless",
                                      "--no-sandbox",
                                      "--disable-gpu",
                                      "--disable-quic",
                                      "--disable-dev-shm-usage",
                                      "--no-first-run",
                                      "--disable-background-networking",
                                      "--disable-component-update",
                                      "--disable-sync",
                                      "--hide-scrollbars",
                                      "--user-data-dir=" + profile_.path()};
    return {{"capabilities",
             {{"alwaysMatch",
               {{"goog:loggingPrefs", {{"browser", "ALL"}}},
                {"goog:chromeOptions", {{"args", arguments}}}}}}}};
  }

  nlohmann::json Call(const std::string& path, const nlohmann::json& body) {
    const httplib::Result result = driver_.Post(path, body.dump(), "application/json");
    PLIMSOLL_CHECK(result, path);
    PLIMSOLL_CHECK(result->status == 200, path, result->body);
    return nlohmann::json::parse(result->body)["value"];
  }
  nlohmann::json Command(const std::string& path, const nlohmann::json& body) {
    return Call(session_ + path, body);
  }
  void Emulate(const std::string& what, const nlohmann::json& parameters) {
    Command("/goog/cdp/execute", {{"cmd", "Emulation." + what}, {"params", parameters}});
  }

  TempDir profile_;
  pid_t pid_ = 0;
  int pipe_ = -1;
  httplib::Client driver_;
  std::string session_;
};

}  // namespace plimsoll
