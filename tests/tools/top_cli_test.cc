// plimsoll top against a real server: on a terminal, in a pipe, once.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "tests/tools/server_process.h"
#include "tests/tools/tmux.h"

namespace plimsoll {
namespace {

class TopCli : public testing::Test {
 protected:
  TopCli() { StartServer("127.0.0.1:0"); }

  void StartServer(const std::string& listen) {
    server_.emplace(std::vector<std::string>{"--device", "none", "--listen", listen, "--http",
                                             "none", "--blocks", "1000"});
    ASSERT_NE(server_->address(), "") << server_->output();
    if (address_.empty()) address_ = server_->address();
  }
  ProgramResult Run(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), PlimsollProgram());
    arguments.insert(arguments.end(), {"--server", address_});
    return RunProgram(arguments);
  }
  nlohmann::json Json(std::vector<std::string> arguments) const {
    arguments.insert(arguments.end(), {"--format", "json"});
    return nlohmann::json::parse(Run(std::move(arguments)).out, nullptr, false);
  }
  std::string Reserve(int64_t prompt, const std::string& tenant = "") const {
    return Json({"reserve", "--prompt-tokens", std::to_string(prompt), "--max-new-tokens", "0",
                 "--tenant", tenant})
        .at("reservation_id");
  }
  std::string TopCommand(const std::string& more = "") const {
    return PlimsollProgram() + " top --interval 100ms --server " + address_ + " " + more;
  }

  std::optional<ServerProcess> server_;
  std::string address_;
};

TEST_F(TopCli, OnceSaysTheSentenceAndTheNumbersOfTheRpc) {
  const std::string id = Reserve(1600, "team-a");
  const nlohmann::json top = Json({"top", "--once"});
  const nlohmann::json capacity = Json({"capacity"});
  for (const auto& [key, value] : capacity.items()) {
    if (key == "revision") continue;
    EXPECT_EQ(top.at(key), value) << key;
  }
  EXPECT_EQ(top.at("sentence"), "room for 9 more requests of the current shape; not filling up");
  EXPECT_EQ(top.at("room_requests"), 9);
  EXPECT_EQ(top.at("shape_blocks"), 100);
  EXPECT_TRUE(top.at("stale_seconds").is_null());
  const std::string text = Run({"top", "--once"}).out;
  EXPECT_EQ(text.find("room for 9 more requests of the current shape"), 0u) << text;
  EXPECT_NE(text.find("= reserved 100"), std::string::npos) << text;
  EXPECT_NE(text.find("team-a"), std::string::npos) << text;
  EXPECT_NE(text.find(id.substr(id.size() - 8)), std::string::npos) << text;
  EXPECT_EQ(text.find('\x1b'), std::string::npos) << "no escapes where there is no terminal";
}

TEST_F(TopCli, SaysWhatIsWrong) {
  EXPECT_EQ(Run({"top", "--once", "--interval", "1ms"}).exit_code, 2);
  const ProgramResult none =
      RunProgram({PlimsollProgram(), "top", "--server", "127.0.0.1:1", "--once"});
  EXPECT_EQ(none.exit_code, 4);
  EXPECT_EQ(none.err.find("plimsoll: no server at 127.0.0.1:1"), 0u) << none.err;
}

TEST_F(TopCli, InAPipeItSaysALineEachInterval) {
  const ProgramResult two = RunProgram({"bash", "-c", TopCommand() + " | head -n 3"});
  std::istringstream in(two.out);
  int lines = 0;
  for (std::string line; std::getline(in, line); ++lines) {
    EXPECT_EQ(line.find("live 0 reserved 0 cached 0 free 1000 of 1000; held 0"), 0u) << line;
  }
  EXPECT_EQ(lines, 3);
  const ProgramResult one =
      RunProgram({"bash", "-c", TopCommand("--format json") + " | head -n 1"});
  std::istringstream objects(one.out);
  std::string line;
  ASSERT_TRUE(std::getline(objects, line));
  EXPECT_EQ(nlohmann::json::parse(line, nullptr, false).at("total_blocks"), 1000);
}

class TopOnATerminal : public TopCli {
 protected:
  void SetUp() override {
    if (!Tmux::IsInstalled()) GTEST_SKIP() << "tmux is not installed";
  }
};

TEST_F(TopOnATerminal, ShowsWhatTheServerSaysAndFollowsIt) {
  Tmux tmux(100, 30);
  tmux.Type(TopCommand());
  ASSERT_TRUE(tmux.Shows("room for 1000 blocks; no request is held yet")) << tmux.Screen();
  Reserve(1600, "team-a");
  ASSERT_TRUE(tmux.Shows("= reserved 100")) << tmux.Screen();
  const nlohmann::json capacity = Json({"capacity"});
  ASSERT_TRUE(tmux.Shows("team-a")) << tmux.Screen();
  const std::string screen = tmux.Screen();
  for (const auto& [label, key] :
       std::vector<std::pair<std::string, std::string>>{{"# live ", "live_blocks"},
                                                        {"- cached ", "cached_blocks"},
                                                        {". free ", "free_blocks"},
                                                        {"headroom ", "headroom_blocks"},
                                                        {"held ", "reservations"},
                                                        {"waiting ", "waiting"}}) {
    EXPECT_NE(screen.find(label + capacity.at(key).dump()), std::string::npos) << label << "\n"
                                                                               << screen;
  }
  EXPECT_NE(tmux.Screen(/*with_escapes=*/true).find("\x1b["), std::string::npos) << "colours";
}

TEST_F(TopOnATerminal, QGivesTheScreenBack) {
  Tmux tmux(80, 24);
  tmux.Type("echo before");
  tmux.Type(TopCommand());
  ASSERT_TRUE(tmux.Shows("room for 1000 blocks"));
  EXPECT_EQ(tmux.Screen().find("before"), std::string::npos);
  tmux.Key("q");
  ASSERT_TRUE(tmux.Shows("before")) << tmux.Screen();
  EXPECT_EQ(tmux.Screen().find("room for"), std::string::npos) << tmux.Screen();
  tmux.Type("echo exit=$? echo=$(stty -a | grep -o ' echo ')");
  EXPECT_TRUE(tmux.Shows("exit=0 echo= echo")) << tmux.Screen();
}

TEST_F(TopOnATerminal, CtrlCGivesTheScreenBack) {
  Tmux tmux(80, 24);
  tmux.Type(TopCommand());
  ASSERT_TRUE(tmux.Shows("room for 1000 blocks"));
  tmux.Key("C-c");
  tmux.Type("echo exit=$? echo=$(stty -a | grep -o ' echo ')");
  EXPECT_TRUE(tmux.Shows("exit=0 echo= echo")) << tmux.Screen();
  EXPECT_EQ(tmux.Screen().find("room for"), std::string::npos);
}

TEST_F(TopOnATerminal, CtrlZGivesItBackUntilItGoesOn) {
  Tmux tmux(80, 24);
  tmux.Type(TopCommand());
  ASSERT_TRUE(tmux.Shows("room for 1000 blocks"));
  tmux.Key("C-z");
  ASSERT_TRUE(tmux.Shows("Stopped")) << tmux.Screen();
  EXPECT_EQ(tmux.Screen().find("room for"), std::string::npos);
  tmux.Type("fg");
  ASSERT_TRUE(tmux.Shows("room for 1000 blocks")) << tmux.Screen();
  tmux.Key("q");
  EXPECT_TRUE(tmux.Shows("Stopped"));
}

TEST_F(TopOnATerminal, FitsFortyColumnsAndFollowsTheWindow) {
  Reserve(1600, "a-tenant-with-a-name");
  Tmux tmux(100, 30);
  tmux.Type(TopCommand());
  ASSERT_TRUE(tmux.Shows("a-tenant-with-"));
  tmux.Resize(40, 20);
  const auto fits = [](const std::string& screen) {
    return screen.find("= reserved 100") != std::string::npos &&
           screen.find("headroom 900") != std::string::npos &&
           screen.find("a-tenant") != std::string::npos &&
           screen.find("a-tenant-w") == std::string::npos;
  };
  ASSERT_TRUE(tmux.Until(fits)) << tmux.Screen();
  std::istringstream in(tmux.Screen());
  std::string first;
  ASSERT_TRUE(std::getline(in, first));
  EXPECT_EQ(first, "room for 9 more requests of the current");
  tmux.Resize(120, 20);
  EXPECT_TRUE(tmux.Shows("current shape; not filling up")) << tmux.Screen();
}

TEST_F(TopOnATerminal, NoColorIsHeeded) {
  Tmux tmux(80, 24);
  tmux.Type("NO_COLOR=1 " + TopCommand());
  ASSERT_TRUE(tmux.Shows("room for 1000 blocks"));
  const std::string screen = tmux.Screen(/*with_escapes=*/true);
  EXPECT_EQ(screen.find("\x1b["), std::string::npos) << screen;
}

TEST_F(TopOnATerminal, AServerThatIsGoneIsShownAsStaleUntilItIsBack) {
  Reserve(1600);
  Tmux tmux(100, 30);
  tmux.Type(TopCommand());
  ASSERT_TRUE(tmux.Shows("= reserved 100"));
  server_->Signal(SIGKILL);
  server_->Wait();
  ASSERT_TRUE(tmux.Shows("STALE")) << tmux.Screen();
  EXPECT_TRUE(tmux.Shows("no server at " + address_)) << tmux.Screen();
  EXPECT_TRUE(tmux.Shows("= reserved 100")) << "what was known stays";
  StartServer(address_);
  ASSERT_TRUE(tmux.Shows("= reserved 0")) << tmux.Screen();
  EXPECT_TRUE(tmux.Until([](const std::string& screen) {
    return screen.find("STALE") == std::string::npos;
  })) << tmux.Screen();
}

// A server that is stopped keeps its connection and says nothing.
TEST_F(TopOnATerminal, AServerThatHangsIsShownAsStale) {
  Tmux tmux(100, 30);
  tmux.Type(TopCommand());
  ASSERT_TRUE(tmux.Shows("room for 1000 blocks"));
  server_->Signal(SIGSTOP);
  EXPECT_TRUE(tmux.Shows("STALE")) << tmux.Screen();
  server_->Signal(SIGCONT);
  EXPECT_TRUE(tmux.Until([](const std::string& screen) {
    return screen.find("STALE") == std::string::npos;
  })) << tmux.Screen();
}

}  // namespace
}  // namespace plimsoll
