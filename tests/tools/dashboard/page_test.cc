// The page in a browser, against a server under a replay: the numbers of the RPC, the sentence,
// what is said when the server is gone and when it is back. Screenshots are left in
// tests/screenshots of the build.
#include <gmock/gmock.h>

#include <filesystem>

#include "tests/tools/dashboard/small_engine.h"
#include "tests/tools/report/browser.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class DashboardPage : public testing::Test {
 protected:
  void SetUp() override {
    if (!Browser::IsInstalled()) GTEST_SKIP() << "chromium or chromedriver is not installed";
    ASSERT_NO_FATAL_FAILURE(server_.Start());
    browser_ = std::make_unique<Browser>();
  }

  void Open() {
    browser_->Go("http://" + server_.http() + "/");
    EXPECT_TRUE(InTime([&] { return Freshness() == "live"; }));
  }
  std::string Freshness() {
    return browser_->Evaluate("return document.getElementById('freshness').dataset.state");
  }
  std::string TextOf(const std::string& selector) {
    return browser_->Evaluate("return document.querySelector('" + selector + "').textContent");
  }
  // From now on the page takes down, by its own clock in milliseconds, when an event came last,
  // when it called itself stale and live again, and how late it was at most in what it does each 50
  // ms.
  void WatchThePage() {
    browser_->Evaluate(R"(
      const seen = window.seen = {event: 0, stale: 0, live: 0, late: 0};
      new EventSource("api/v1/watch").addEventListener("state", () => {
        if (!seen.stale) seen.event = performance.now();
      });
      new MutationObserver(() => {
        const state = document.getElementById("freshness").dataset.state;
        if (state === "stale" && !seen.stale) seen.stale = performance.now();
        if (state === "live" && seen.stale && !seen.live) seen.live = performance.now();
      }).observe(document.getElementById("freshness"), {attributes: true});
      let last = performance.now();
      setInterval(() => {
        if (!seen.stale) seen.late = Math.max(seen.late, performance.now() - last - 50);
        last = performance.now();
      }, 50);)");
  }
  json Seen() { return browser_->Evaluate("return window.seen"); }
  // The numbers of the table of blocks.
  json Blocks() {
    return browser_->Evaluate(
        "return Object.fromEntries([...document.querySelectorAll('#blocks tr[data-part]')].map("
        "row => [row.dataset.part + '_blocks', Number(row.cells[1].dataset.blocks)]))");
  }
  void Photograph(const std::string& name) {
    const std::string folder = std::string(PLIMSOLL_BINARY_DIR) + "/tests/screenshots";
    std::filesystem::create_directories(folder);
    std::ofstream(folder + "/dashboard-" + name + ".png", std::ios::binary)
        << browser_->Screenshot();
  }

  SmallEngine server_;
  std::unique_ptr<Browser> browser_;
};

TEST_F(DashboardPage, ShowsTheNumbersOfTheRpcOnceItIsQuiet) {
  Open();
  ASSERT_EQ(server_.Replay().exit_code, 0);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(
        server_
            .Ask({"reserve", "--prompt-tokens", "160", "--max-new-tokens", "160", "--ttl", "10m"})
            .exit_code,
        0);
  }
  EXPECT_EQ(server_.Ask({"reserve", "--prompt-tokens", "9999", "--max-new-tokens", "1"}).exit_code,
            3);
  const json capacity = server_.Capacity();
  ASSERT_EQ(capacity.at("reserved_blocks"), 60) << capacity;
  EXPECT_TRUE(InTime([&] { return Blocks().at("reserved_blocks") == 60; }));
  const json seen = Blocks();
  for (const auto& [name, blocks] : seen.items()) EXPECT_EQ(blocks, capacity.at(name)) << name;
  EXPECT_TRUE(InTime([&] { return TextOf("#decisions").find("never fits") != std::string::npos; }));
  EXPECT_THAT(TextOf("#decisions"), HasSubstr("admitted"));
  EXPECT_TRUE(InTime([&] { return TextOf("#tenants").find("60") != std::string::npos; }));
  EXPECT_THAT(TextOf("#sentence"), StartsWith("Room for "));
  EXPECT_THAT(TextOf("#memory"), HasSubstr("weights"));
  EXPECT_THAT(TextOf("#next"), HasSubstr("each was promised all that it may need"));
  EXPECT_THAT(TextOf("#server"), HasSubstr(capacity.at("epoch").get<std::string>()));
  EXPECT_THAT(browser_->Console(), IsEmpty());
}

TEST_F(DashboardPage, IsReadableOnAPhoneAndOnAWall) {
  Open();
  ASSERT_EQ(server_.Replay().exit_code, 0);
  for (const int width : {360, 1280, 1920, 3840}) {
    for (const bool dark : {false, true}) {
      SCOPED_TRACE(testing::Message() << width << (dark ? " dark" : " light"));
      browser_->Show(width, 800, dark);
      EXPECT_LE(browser_->Evaluate("return document.documentElement.scrollWidth"), width);
      Photograph(std::to_string(width) + (dark ? "-dark" : ""));
    }
  }
  EXPECT_THAT(browser_->Console(), IsEmpty());
}

TEST_F(DashboardPage, SaysWhenTheServerIsGoneAndRecovers) {
  Open();
  const std::string epoch = server_.Capacity().at("epoch");
  server_.Signal(SIGSTOP);
  EXPECT_TRUE(InTime([&] { return Freshness() == "stale"; }));
  EXPECT_THAT(TextOf("#freshness"), HasSubstr("numbers are old"));
  server_.Signal(SIGCONT);
  EXPECT_TRUE(InTime([&] { return Freshness() == "live"; }));

  WatchThePage();
  ASSERT_TRUE(InTime([&] { return Seen().at("event") > 0; }));
  server_.Kill();
  ASSERT_TRUE(InTime([&] { return Seen().at("stale") > 0; }));
  const json seen = Seen();
  // The server lived when the last event came, so it was gone for less.
  const double noticed = seen.at("stale").get<double>() - seen.at("event").get<double>();
  EXPECT_LE(noticed, 3000 + seen.at("late").get<double>()) << seen;
  RecordProperty("noticed_ms", static_cast<int>(noticed));
  EXPECT_THAT(TextOf("#spoken"), HasSubstr("does not answer"));
  Photograph("stale");
  ASSERT_NO_FATAL_FAILURE(server_.Start());
  EXPECT_TRUE(InTime([&] { return Freshness() == "live" && Seen().at("live") > 0; }));
  const std::string next = server_.Capacity().at("epoch");
  EXPECT_NE(next, epoch);
  EXPECT_TRUE(InTime([&] { return TextOf("#server").find(next) != std::string::npos; }));
}

TEST_F(DashboardPage, ReadersWithoutEyesOrAMouseGetTheSame) {
  Open();
  EXPECT_TRUE(InTime([&] { return TextOf("#spoken").find("oom for") != std::string::npos; }));
  const json missing = browser_->Evaluate(R"(
    const wrong = [];
    for (const name of ["header", "main", "footer", "h1"]) {
      if (document.querySelectorAll(name).length !== 1) wrong.push(name);
    }
    for (const canvas of document.querySelectorAll("canvas, #bar")) {
      if (canvas.getAttribute("role") !== "img" || !canvas.getAttribute("aria-label")) wrong.push(canvas.id);
    }
    for (const section of document.querySelectorAll("section")) {
      if (!document.getElementById(section.getAttribute("aria-labelledby"))) wrong.push(section.id);
    }
    for (const head of document.querySelectorAll("th")) if (!head.scope) wrong.push(head.textContent);
    return wrong;)");
  EXPECT_THAT(missing, IsEmpty());
  const std::string bar = browser_->Evaluate("return document.getElementById('bar').ariaLabel");
  EXPECT_THAT(bar, HasSubstr("100.0% free"));
  EXPECT_EQ(
      browser_->Evaluate("document.querySelector('details').open = true; return "
                         "document.querySelector('#usage-table').tBodies[0].rows.length > 0 || "
                         "new Promise(done => setTimeout(() => done(document.querySelector("
                         "'#usage-table').tBodies[0].rows.length > 0), 1500))"),
      true);
}

}  // namespace
}  // namespace plimsoll
