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

TEST_F(OperatorCli, ListsReservationsAndTenants) {
  const std::string first = Reserve().at("reservation_id");
  const nlohmann::json second =
      Json({"reserve", "--prompt-tokens", "16", "--max-new-tokens", "16", "--tenant", "team-a"});
  const nlohmann::json all = Json({"reservations"});
  ASSERT_EQ(all.at("reservations").size(), 2);
  EXPECT_EQ(all.at("more"), false);
  EXPECT_EQ(all.at("reservations")[0].at("reservation_id"), first);
  const nlohmann::json& newest = all.at("reservations")[1];
  EXPECT_EQ(newest.at("reservation_id"), second.at("reservation_id"));
  EXPECT_EQ(newest.at("tenant"), "team-a");
  EXPECT_EQ(newest.at("state"), "held");
  EXPECT_EQ(newest.at("blocks"), 2);
  EXPECT_EQ(newest.at("used_blocks"), 1);
  EXPECT_EQ(newest.at("unused_blocks"), 1);
  EXPECT_GT(newest.at("remaining_seconds"), 0);
  const nlohmann::json one = Json({"reservations", "--limit", "1"});
  EXPECT_EQ(one.at("reservations").size(), 1);
  EXPECT_EQ(one.at("more"), true);
  EXPECT_EQ(Json({"reservations", "--tenant", "team-a"}).at("reservations").size(), 1);
  EXPECT_EQ(Json({"reservations", "--tenant", ""}).at("reservations").size(), 1);
  EXPECT_EQ(Run({"reservations", "--state", "running"}).out, "no reservations\n");
  EXPECT_NE(Run({"reservations"}).out.find(first), std::string::npos);
  EXPECT_EQ(Run({"reservations", "--limit", "0"}).exit_code, 2);
  EXPECT_EQ(Run({"reservations", "--state", "idle"}).exit_code, 2);

  const nlohmann::json tenants = Json({"tenants"}).at("tenants");
  ASSERT_EQ(tenants.size(), 3);
  EXPECT_EQ(tenants[1].at("tenant"), "team-a");
  EXPECT_EQ(tenants[1].at("blocks"), 2);
  EXPECT_TRUE(tenants[1].at("most_blocks").is_null());
  EXPECT_EQ(tenants[2].at("departed"), true);
  EXPECT_NE(Run({"tenants"}).out.find("team-a"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll
