// What the page reads: the state, the past, who holds what, and the events.
#include <gmock/gmock.h>
#include <sys/resource.h>

#include <nlohmann/json.hpp>

#include "rpc/dashboard/live_feed.h"
#include "rpc/dashboard/pool_history.h"
#include "tests/rpc/web_fixture.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

class DashboardTest : public WebTest {
 protected:
  json Read(const std::string& what) { return json::parse(Get("/api/v1/" + what)->body); }
};

// What one who watches hears, until `enough`.
std::string Heard(const HttpEndpoint& http, const httplib::Headers& headers,
                  const std::function<bool(const std::string&)>& enough) {
  httplib::Client viewer("http://" + http.address());
  std::string heard;
  viewer.Get("/api/v1/watch", headers, [&](const char* text, size_t size) {
    heard.append(text, size);
    return !enough(heard);
  });
  return heard;
}

bool HasEvent(const std::string& heard) { return heard.find("\n\n") != std::string::npos; }

TEST_F(DashboardTest, TheStateIsTheSnapshotAndItsSentence) {
  const auto client = server_.Connect();
  Granted(client->Reserve(Blocks(25)));
  Refused(client->Reserve(Blocks(101)));
  ASSERT_TRUE(Eventually([&] {
    const std::string sentence = Read("state").at("sentence");
    return sentence.rfind("room for 3 more requests of the current shape", 0) == 0;
  })) << Read("state");
  const json state = Read("state");
  EXPECT_EQ(state.at("capacity"), Read("capacity"));
  EXPECT_EQ(state.at("capacity").at("reserved_blocks"), 25);
  EXPECT_EQ(state.at("ready"), true);
  EXPECT_EQ(state.at("decisions")[0],
            json({{"outcome", "admitted"}, {"reason", ""}, {"count", 1}}));
  EXPECT_THAT(
      state.at("decisions"),
      testing::Contains(json({{"outcome", "never"}, {"reason", "NEVER_FITS"}, {"count", 1}})));
}

TEST_F(DashboardTest, TheHistoryHasAColumnForEachQuantity) {
  Granted(server_.Connect()->Reserve(Blocks(25)));
  ASSERT_TRUE(Eventually([&] {
    const json past = Read("history");
    return past.at("reserved").size() >= 2 && past.at("reserved").back() == 25;
  }));
  const json past = Read("history");
  for (const auto& [name, column] : past.items()) {
    EXPECT_EQ(column.size(), past.at("total").size()) << name;
  }
  EXPECT_EQ(past.at("total").back(), 100);
}

TEST_F(DashboardTest, HoldersAreSummedAndNamesAreOnlyText) {
  ReservationRequest request = Blocks(5);
  request.tenant = "<img src=x onerror=alert(1)>\xff";
  server_.admission().With(
      [&](AdmissionController& admission) { EXPECT_TRUE(admission.Reserve(request).ok()); });
  ASSERT_TRUE(Eventually([&] { return Read("holders").at("tenants").size() == 1; }));
  const json holders = Read("holders");
  EXPECT_THAT(holders.at("tenants")[0].at("tenant").get<std::string>(),
              StartsWith("<img src=x onerror=alert(1)>"));
  EXPECT_EQ(holders.at("tenants")[0].at("blocks"), 5);
  EXPECT_EQ(holders.at("oldest")[0].at("reservation_id"), "e1-1");
  EXPECT_EQ(holders.at("next").at("promises_whole"), true);
  EXPECT_EQ(Get("/api/v1/holders")->get_header_value("Content-Type"), "application/json");
}

TEST_F(DashboardTest, ThePageAndItsFilesStandAlone) {
  const std::string page = Get("/")->body;
  EXPECT_THAT(page, HasSubstr("<!doctype html>"));
  EXPECT_EQ(page.find("http://"), std::string::npos);
  EXPECT_EQ(page.find("https://"), std::string::npos);
  for (const char* file :
       {"/dashboard.css", "/dashboard.js", "/charts.js", "/chart.min.js", "/icon.svg"}) {
    const auto got = Get(file);
    EXPECT_EQ(got->status, 200) << file;
    EXPECT_THAT(got->get_header_value("Content-Security-Policy"), StartsWith("default-src 'self'"));
    EXPECT_THAT(page, HasSubstr(std::string(file).substr(1)));
  }
}

TEST_F(DashboardTest, EventsBeginWithTheStateAndGoOnWithChanges) {
  bool reserved = false;
  const std::string heard = Heard(*http_, {}, [&](const std::string& so_far) {
    if (HasEvent(so_far) && !std::exchange(reserved, true)) {
      Granted(server_.Connect()->Reserve(Blocks(40)));
    }
    return so_far.find("\"reserved_blocks\":40") != std::string::npos;
  });
  EXPECT_THAT(heard, StartsWith("id: e1-"));
  EXPECT_THAT(heard, HasSubstr("\nevent: state\ndata: {\"capacity\":{\"pool\":\"default\""));
  EXPECT_THAT(heard, HasSubstr("\"reserved_blocks\":0"));
}

TEST_F(DashboardTest, WhoComesBackIsNotToldWhatItKnows) {
  const std::string first = Heard(*http_, {}, HasEvent);
  const std::string id = first.substr(4, first.find('\n') - 4);
  EXPECT_THAT(Heard(*http_, {{"Last-Event-ID", id}}, HasEvent), StartsWith(": as you know\n\n"));
  EXPECT_THAT(Heard(*http_, {{"Last-Event-ID", "e0-7"}}, HasEvent), StartsWith("id: e1-"));
}

TEST_F(DashboardTest, MoreViewersThanThereArePlacesAreToldToAsk) {
  std::atomic<bool> leave = false;
  std::atomic<int> watching = 0;
  std::vector<std::thread> viewers;
  for (int i = 0; i < 48; ++i) {
    viewers.emplace_back([&] {
      bool counted = false;
      Heard(*http_, {}, [&](const std::string&) {
        if (!std::exchange(counted, true)) ++watching;
        return leave.load();
      });
    });
  }
  EXPECT_TRUE(Eventually([&] { return watching == 48; })) << watching;
  const auto refused = Get("/api/v1/watch");
  EXPECT_EQ(refused->status, 503);
  EXPECT_EQ(refused->get_header_value("Retry-After"), "5");
  EXPECT_EQ(Get("/metrics")->status, 200);
  EXPECT_EQ(Get("/api/v1/state")->status, 200);
  leave = true;
  for (std::thread& viewer : viewers) viewer.join();
  EXPECT_TRUE(Eventually([&] { return HasEvent(Heard(*http_, {}, HasEvent)); }));
}

// On a quiet machine the slowest takes a few milliseconds.
TEST_F(DashboardTest, AThousandWhoWantToWatchDoNotHoldUpTheMetrics) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  const std::string ask = "GET /api/v1/watch HTTP/1.1\r\nHost: localhost\r\n\r\n";
  std::vector<int> viewers;
  Duration slowest = Duration::zero();
  for (int i = 0; i < 1000; ++i) {
    viewers.push_back(ConnectTo(http_->address()));
    ASSERT_EQ(send(viewers.back(), ask.data(), ask.size(), MSG_NOSIGNAL), std::ssize(ask));
    if (i % 50 != 49) continue;
    const Instant asked = std::chrono::steady_clock::now();
    const auto metrics = Get("/metrics");
    ASSERT_TRUE(metrics);
    EXPECT_EQ(metrics->status, 200);
    slowest = std::max<Duration>(slowest, std::chrono::steady_clock::now() - asked);
  }
  RecordProperty("slowest_us", static_cast<int>(slowest.count() / 1000));
  EXPECT_LT(slowest, seconds(2));
  const auto turned_away = [&] {
    return std::stoll(Metric(R"(plimsoll_http_turned_away_total{pool="default",what="viewer"})"));
  };
  EXPECT_TRUE(Eventually([&] { return turned_away() == 1000 - 48; })) << turned_away();
  for (const int viewer : viewers) close(viewer);
}

TEST_F(DashboardTest, AServerThatStopsLetsItsViewersGo) {
  std::atomic<bool> heard = false;
  std::thread viewer([&] {
    Heard(*http_, {}, [&](const std::string&) {
      heard = true;
      return false;
    });
  });
  EXPECT_TRUE(Eventually([&] { return heard.load(); }));
  http_.reset();
  viewer.join();
}

TEST(LiveFeed, MakesAtMostFiveEventsASecondAndNoneForNobody) {
  int made = 0;
  LiveFeed feed("e1", 1, [&] { return std::to_string(++made); });
  AdmissionSnapshot now;
  now.revision = 1;
  feed.Tick(now);
  EXPECT_EQ(made, 0);
  EXPECT_TRUE(feed.Join());
  EXPECT_FALSE(feed.Join()) << "there is one place";
  feed.Tick(now);
  now.revision = 2;
  feed.Tick(now);
  EXPECT_EQ(made, 1) << "too soon after the first";
  EXPECT_EQ(feed.Next(0)->id, "e1-1");
  EXPECT_TRUE(Eventually([&] {
    feed.Tick(now);
    return made == 2;
  }));
  EXPECT_EQ(feed.Next(1)->id, "e1-2");
  feed.Leave();
  EXPECT_EQ(feed.watching(), 0);
  feed.Close();
  EXPECT_EQ(feed.Next(2), nullptr);
  EXPECT_FALSE(feed.Join());
}

TEST(PoolHistory, KeepsASampleASecondForTenMinutes) {
  const AdmissionTally tally;
  PoolHistory history(CapacityReport(), tally);
  AdmissionSnapshot now;
  now.blocks.total = now.blocks.free = Blocks(10);
  const Instant start = Instant(std::chrono::hours(1));
  for (int i = 0; i < 700 * 4; ++i) {
    now.revision = i;
    history.TickAt(start + i * milliseconds(250), now);
  }
  const std::vector<TimedSnapshot> samples = history.Samples();
  EXPECT_EQ(samples.size(), 601);
  EXPECT_EQ(samples.back().at - samples.front().at, seconds(600));
  EXPECT_EQ(history.Outlook().now.revision, 700 * 4 - 1);
}

TEST(PoolHistory, WaitsAreThoseOfTheLastFiveMinutes) {
  AdmissionTally tally;
  PoolHistory history(CapacityReport(), tally);
  const AdmissionSnapshot now;
  Instant at = Instant(std::chrono::hours(1));
  tally.Queued(seconds(100));
  for (int i = 0; i < 320; ++i) history.TickAt(at += seconds(1), now);
  EXPECT_EQ(history.RecentWaits().total(), 0) << "before the first look";
  tally.Queued(milliseconds(1));
  EXPECT_EQ(history.RecentWaits().total(), 1);
  EXPECT_EQ(history.RecentWaits().Quantile(0.5), std::chrono::microseconds(1024));
  for (int i = 0; i < 320; ++i) history.TickAt(at += seconds(1), now);
  EXPECT_EQ(history.RecentWaits().total(), 0);
}

}  // namespace
}  // namespace plimsoll
