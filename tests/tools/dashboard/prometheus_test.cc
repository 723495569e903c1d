// The alert rules and the Grafana dashboard: by promtool, and by a Prometheus that scrapes a real
// server, whose series are every name that they use.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <regex>
#include <set>

#include "tests/support/background_program.h"
#include "tests/tools/dashboard/small_engine.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::IsEmpty;

const std::string kRules =
    std::string(PLIMSOLL_SOURCE_DIR) + "/tools/packaging/prometheus/plimsoll.rules.yml";
const std::string kDashboard =
    std::string(PLIMSOLL_SOURCE_DIR) + "/tools/packaging/grafana/plimsoll.json";

// The names of our series that a text speaks of.
std::set<std::string> NamesIn(const std::string& text) {
  static const std::regex kName("plimsoll_[a-z0-9_]+");
  return {std::sregex_token_iterator(text.begin(), text.end(), kName), {}};
}

// One that was free a moment ago.
int FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  EXPECT_EQ(bind(fd, reinterpret_cast<const sockaddr*>(&at), size), 0);
  getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  close(fd);
  return ntohs(at.sin_port);
}

class PrometheusTest : public testing::Test {
 protected:
  void SetUp() override {
    if (RunProgram({"promtool", "--version"}).exit_code != 0 ||
        RunProgram({"prometheus", "--version"}).exit_code != 0) {
      GTEST_SKIP() << "prometheus is not installed";
    }
  }
  TempDir folder_;
};

TEST_F(PrometheusTest, TheRulesAreRulesAndFireWhenTheyShould) {
  const ProgramResult checked = RunProgram({"promtool", "check", "rules", kRules});
  EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err;
  folder_.Write("plimsoll.rules.yml", ReadFile(kRules));
  const std::string tests =
      folder_.Write("tests.yml", ReadFile(std::string(PLIMSOLL_SOURCE_DIR) +
                                          "/tests/packaging/prometheus/plimsoll.rules.test.yml"));
  const ProgramResult tested = RunProgram({"promtool", "test", "rules", tests});
  EXPECT_EQ(tested.exit_code, 0) << tested.out << tested.err;
}

TEST_F(PrometheusTest, TheMetricsAreAsPrometheusWantsThem) {
  SmallEngine server;
  ASSERT_NO_FATAL_FAILURE(server.Start());
  const std::string text = httplib::Client("http://" + server.http()).Get("/metrics")->body;
  const std::string file = folder_.Write("metrics", text);
  // vLLM's names have a colon in them, which promtool remarks on.
  const ProgramResult checked =
      RunProgram({"sh", "-c", "grep -v vllm: " + file + " | promtool check metrics"});
  EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err;
}

// As Prometheus itself sees it.
class Scraped : public PrometheusTest {
 protected:
  json Query(const std::string& path) {
    const auto answer = httplib::Client("http://" + prometheus_).Get("/api/v1/" + path);
    if (!answer) return nullptr;
    return json::parse(answer->body, nullptr, false);
  }
  std::string prometheus_ = "127.0.0.1:" + std::to_string(FreePort());
};

TEST_F(Scraped, EveryNameOfTheRulesAndTheDashboardIsThere) {
  SmallEngine server;
  ASSERT_NO_FATAL_FAILURE(server.Start());
  ASSERT_EQ(server.Replay().exit_code, 0);
  folder_.Write("rules.yml", ReadFile(kRules));
  const std::string config = folder_.Write(
      "prometheus.yml",
      "global: {scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}\n"
      "rule_files: [rules.yml]\n"
      "scrape_configs: [{job_name: plimsoll, static_configs: [{targets: ['" +
          server.http() + "']}]}]\n");
  const BackgroundProgram prometheus(
      {"prometheus", "--config.file=" + config, "--storage.tsdb.path=" + folder_.File("data"),
       "--web.listen-address=" + prometheus_},
      folder_.File("log"));
  std::set<std::string> there;
  ASSERT_TRUE(InTime([&] {
    const json names = Query("label/__name__/values");
    if (names.is_object()) there = names.value("data", json::array()).get<std::set<std::string>>();
    return there.count("plimsoll_ready") > 0;
  })) << ReadFile(folder_.File("log"));
  for (const std::string& text : {ReadFile(kRules), ReadFile(kDashboard)}) {
    EXPECT_GE(NamesIn(text).size(), 10U) << "the test no longer sees the names";
    for (const std::string& name : NamesIn(text)) EXPECT_THAT(there, Contains(name));
  }
  for (const char* name :
       {"vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:kv_cache_usage_perc",
        "vllm:cache_config_info", "vllm:lora_requests_info"}) {
    EXPECT_THAT(there, Contains(name));
  }
  json groups;
  EXPECT_TRUE(InTime([&] {
    groups = Query("rules").at("data").at("groups");
    for (const json& rule : groups.at(0).at("rules")) {
      if (rule.at("health") == "unknown") return false;
    }
    return true;
  }));
  for (const json& rule : groups.at(0).at("rules")) {
    EXPECT_EQ(rule.at("health"), "ok") << rule;
    EXPECT_THAT(rule.at("alerts"), IsEmpty()) << rule;
  }
  const json target = Query("targets").at("data").at("activeTargets").at(0);
  EXPECT_EQ(target.at("health"), "up") << target;
}

TEST(GrafanaDashboard, PanelsHaveTitlesTargetsAndPlacesThatDoNotOverlap) {
  const json dashboard = json::parse(ReadFile(kDashboard));
  std::set<std::pair<int, int>> taken;
  for (const json& panel : dashboard.at("panels")) {
    SCOPED_TRACE(panel.at("title").get<std::string>());
    EXPECT_FALSE(panel.at("targets").empty());
    for (const json& target : panel.at("targets")) {
      EXPECT_FALSE(NamesIn(target.at("expr").get<std::string>()).empty());
    }
    const json& place = panel.at("gridPos");
    EXPECT_LE(place.at("x").get<int>() + place.at("w").get<int>(), 24);
    for (int x = 0; x < place.at("w"); ++x) {
      for (int y = 0; y < place.at("h"); ++y) {
        const bool free =
            taken.emplace(place.at("x").get<int>() + x, place.at("y").get<int>() + y).second;
        EXPECT_TRUE(free);
      }
    }
  }
}

}  // namespace
}  // namespace plimsoll
