// plimsoll drain and revoke, as an operator types them.
#include <gtest/gtest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

ServerProcess Ledger() {
  return ServerProcess(
      {"--device", "none", "--listen", "127.0.0.1:0", "--http", "none", "--blocks", "10"});
}

// Commands find the server by PLIMSOLL_ADDR.
class OperatorCli : public testing::Test {
 protected:
  OperatorCli() : server_(Ledger()) {
    EXPECT_NE(server_.address(), "") << server_.output();
    setenv("PLIMSOLL_ADDR", server_.address().c_str(), /*overwrite=*/1);
  }
  ~OperatorCli() override { unsetenv("PLIMSOLL_ADDR"); }

  static ProgramResult Run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), PlimsollProgram());
    return RunProgram(arguments);
  }
  static nlohmann::json Json(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--format", "json"});
    return nlohmann::json::parse(Run(arguments).out, nullptr, false);
  }
  static nlohmann::json Reserve() {
    return Json({"reserve", "--prompt-tokens", "64", "--max-new-tokens", "0"});
  }

  ServerProcess server_;
};

TEST_F(OperatorCli, DrainsAndResumes) {
  EXPECT_EQ(Reserve().at("decision"), "admitted");
  const nlohmann::json drained = Json({"drain"});
  EXPECT_EQ(drained, (nlohmann::json{{"draining", true}, {"reservations", 1}, {"held_blocks", 4}}));
  EXPECT_EQ(Reserve().at("reason"), "DRAINING");
  EXPECT_EQ(Run({"drain"}).out, "draining: 1 reservations hold 4 blocks\n");
  EXPECT_EQ(Run({"drain", "--resume"}).out, "resumed\n");
  EXPECT_EQ(Json({"drain", "--resume"}), (nlohmann::json{{"draining", false}}));
  EXPECT_EQ(Reserve().at("decision"), "admitted");
}

TEST_F(OperatorCli, RevokesAndSaysWhatCameBack) {
  const std::string id = Reserve().at("reservation_id");
  EXPECT_EQ(Json({"revoke", id}),
            (nlohmann::json{{"revoked", true}, {"blocks", 4}, {"stopping", false}}));
  EXPECT_EQ(Json({"capacity"}).at("free_blocks"), 10);
  const ProgramResult again = Run({"revoke", id});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_EQ(again.err, "plimsoll: no reservation " + id + ": it was revoked\n");
  EXPECT_EQ(Run({"revoke", std::string(200, 'x')}).exit_code, 2);
  EXPECT_EQ(Run({"revoke"}).exit_code, 2);
}

TEST_F(OperatorCli, TheCommandLineBeatsTheEnvironment) {
  const ProgramResult elsewhere = Run({"drain", "--server", "127.0.0.1:1"});
  EXPECT_EQ(elsewhere.exit_code, 4);
  EXPECT_EQ(elsewhere.err.find("plimsoll: no server at 127.0.0.1:1"), 0u) << elsewhere.err;
  EXPECT_FALSE(Json({"capacity"}).is_discarded());
  setenv("PLIMSOLL_ADDR", "nonsense", 1);
  EXPECT_EQ(Run({"capacity"}).exit_code, 2);
}

}  // namespace
}  // namespace plimsoll
