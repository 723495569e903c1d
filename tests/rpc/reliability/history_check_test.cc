// The judge of recorded histories, judged: histories made by hand, right and wrong.
#include "tests/rpc/reliability/history_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr HistoryRules kRules{.total_blocks = 10, .confirm_window = 500, .answer_slack = 100};

HistoryReport Check(const std::vector<std::string>& lines, const HistoryRules& rules = kRules) {
  std::vector<HistoryEvent> events;
  for (const std::string& line : lines) {
    const std::optional<HistoryEvent> event = FromLine(line);
    PLIMSOLL_CHECK(event.has_value(), line);
    EXPECT_EQ(ToLine(*event), line + "\n");
    events.push_back(*event);
  }
  return CheckHistory(std::move(events), rules);
}

// Two clients of a pool of ten blocks: six each, one after the other.
std::vector<std::string> Right() {
  return {"server 1 started",
          "send 10 1 1 reserve r1 1000 0",
          "answer 20 1 1 granted e-1 6",
          "send 30 2 1 reserve r2 1000 0",
          "answer 40 2 1 refused - 0",
          "send 50 1 2 renew e-1 0 0",
          "answer 60 1 2 granted e-1 6",
          "send 70 1 3 release e-1 0 0",
          "send 80 2 2 reserve r2 1000 0",
          "answer 90 1 3 done - 0",
          "answer 91 2 2 granted e-2 6",
          "send 92 2 3 release e-2 0 0",
          "answer 93 2 3 done - 0",
          "capacity 200 10 10 0"};
}

std::vector<std::string> With(std::vector<std::string> lines,
                              const std::vector<std::string>& more) {
  lines.insert(lines.end(), more.begin(), more.end());
  return lines;
}

TEST(HistoryCheck, FindsNothingInWhatIsRight) {
  const HistoryReport report = Check(Right());
  EXPECT_THAT(report.faults, IsEmpty());
  EXPECT_EQ(report.calls, 6);
  EXPECT_EQ(report.answered, 6);
  EXPECT_EQ(report.decisions, 3);
  EXPECT_EQ(report.grants, 2);
  EXPECT_EQ(report.peak_blocks, 6);
  EXPECT_EQ(report.server_lives, 1);
}

TEST(HistoryCheck, FindsMorePromisedThanThereIs) {
  const std::vector<std::string> overlap = {
      "send 10 1 1 reserve r1 1000 0", "answer 20 1 1 granted e-1 6",
      "send 30 2 1 reserve r2 1000 0", "answer 40 2 1 granted e-2 5",
      "send 50 1 2 release e-1 0 0",   "answer 60 1 2 done - 0",
      "send 50 2 2 release e-2 0 0",   "answer 60 2 2 done - 0",
      "capacity 200 10 10 0"};
  EXPECT_THAT(Check(overlap).faults,
              ElementsAre("capacity: at 40 ns 11 blocks of 10 were promised"));
}

TEST(HistoryCheck, FindsAnExtensionBeyondThePool) {
  EXPECT_THAT(
      Check({"send 10 1 1 reserve r1 1000 0", "answer 20 1 1 granted e-1 6",
             "send 30 1 2 extend e-1 0 0", "answer 40 1 2 granted e-1 11",
             "send 50 1 3 release e-1 0 0", "answer 60 1 3 done - 0", "capacity 200 10 10 0"})
          .faults,
      ElementsAre("capacity: at 40 ns 11 blocks of 10 were promised"));
}

// A lease that may be over promises nothing: the grant of a silent client, unconfirmed.
TEST(HistoryCheck, WhatMayHaveEndedIsNotHeldAgainstTheServer) {
  const std::vector<std::string> silent = {"send 10 1 1 reserve r1 1000 0",
                                           "answer 20 1 1 granted e-1 6",
                                           "send 500 2 1 reserve r2 1000 0",
                                           "answer 510 2 1 granted e-2 6",
                                           "send 520 2 2 release e-2 0 0",
                                           "answer 530 2 2 done - 0",
                                           "capacity 900 10 10 0"};
  EXPECT_THAT(Check(silent).faults, IsEmpty()) << "the confirm window of 500 is over at 510";
  const std::vector<std::string> confirmed =
      With(silent, {"send 30 1 2 renew e-1 0 0", "answer 40 1 2 granted e-1 6"});
  EXPECT_THAT(Check(confirmed).faults, ElementsAre(HasSubstr("at 510 ns 12 blocks of 10")));
}

TEST(HistoryCheck, AServerThatDiedPromisesNothing) {
  EXPECT_THAT(
      Check({"server 1 started", "send 10 1 1 reserve r1 1000 0", "answer 20 1 1 granted e-1 6",
             "server 25 killed", "server 28 started", "send 30 2 1 reserve r2 1000 0",
             "answer 40 2 1 granted f-1 6", "send 50 1 2 renew e-1 0 0", "answer 60 1 2 stale - 0",
             "send 70 2 2 release f-1 0 0", "answer 80 2 2 done - 0", "capacity 200 10 10 0"})
          .faults,
      IsEmpty());
}

// A server that learns, and a holder of six blocks of ten who claims them after its death.
constexpr HistoryRules kLearning{
    .total_blocks = 10, .confirm_window = 500, .answer_slack = 100, .learning = true};
std::vector<std::string> Claimed() {
  return {"server 1 started",
          "send 10 1 1 reserve r1 1000 0",
          "answer 20 1 1 granted e-1 6",
          "server 25 killed",
          "server 28 started",
          "send 30 1 2 claim e-1 1000 0",
          "answer 40 1 2 granted f-1 6",
          "send 50 1 3 release f-1 0 0",
          "answer 60 1 3 done - 0",
          "capacity 2000 10 10 0"};
}

TEST(HistoryCheck, APromiseThatIsClaimedIsTheSameInTheNextLife) {
  const HistoryReport report = Check(Claimed(), kLearning);
  EXPECT_THAT(report.faults, IsEmpty());
  EXPECT_EQ(report.claims, 1);
  EXPECT_EQ(report.grants, 1);
  EXPECT_EQ(report.peak_blocks, 6) << "once, whatever it is called";
  std::vector<std::string> again = Claimed();
  again.insert(again.begin() + 7, {"send 42 1 9 claim e-1 1000 0", "answer 44 1 9 granted f-1 6"});
  EXPECT_THAT(Check(again, kLearning).faults, IsEmpty()) << "claiming again is no fault";
}

TEST(HistoryCheck, FindsWhatALearningServerPromisedToOthers) {
  std::vector<std::string> taken = Claimed();
  taken.insert(taken.begin() + 5, {"send 29 2 1 reserve r2 1000 0", "answer 29 2 1 granted f-2 5"});
  taken.insert(taken.end() - 1, {"send 70 2 2 release f-2 0 0", "answer 80 2 2 done - 0"});
  EXPECT_THAT(Check(taken, kLearning).faults, testing::Contains(HasSubstr("at 29 ns 11 blocks")))
      << "before it was claimed";
  taken.erase(taken.begin() + 7, taken.begin() + 11);  // nobody claims
  EXPECT_THAT(Check(taken, kLearning).faults, ElementsAre(HasSubstr("at 29 ns 11 blocks")));
  EXPECT_THAT(Check(taken).faults, IsEmpty()) << "one that forgets may";
}

TEST(HistoryCheck, FindsClaimsThatAreLost) {
  for (const char* const said : {"lost", "stale"}) {
    std::vector<std::string> lost = Claimed();
    lost[6] = std::string("answer 40 1 2 ") + said + " - 0";
    lost.erase(lost.begin() + 7, lost.begin() + 9);
    EXPECT_THAT(Check(lost, kLearning).faults, ElementsAre(HasSubstr("e-1 was claimed in time")));
    EXPECT_THAT(Check(lost).faults, IsEmpty()) << "of one that forgets";
    lost[5] = "send 509 1 2 claim e-1 1000 0";
    lost[6] = std::string("answer 511 1 2 ") + said + " - 0";
    EXPECT_THAT(Check(lost, kLearning).faults, IsEmpty()) << "too late";
  }
}

TEST(HistoryCheck, FindsClaimsThatAreConfused) {
  std::vector<std::string> confused = Claimed();
  confused.insert(confused.begin() + 5,
                  {"send 29 2 1 reserve r2 1000 0", "answer 29 2 1 granted f-1 1"});
  EXPECT_THAT(Check(confused, kLearning).faults,
              ElementsAre(HasSubstr("e-1 is called f-1, which answered the request r2")));
  confused = Claimed();
  confused[5] = "send 30 1 2 claim e-7 1000 0";
  EXPECT_THAT(Check(confused, kLearning).faults,
              testing::Contains(HasSubstr("record: client 1 claimed e-7")));
}

// What a session's stream keeps outlives the lease that it was asked with.
TEST(HistoryCheck, WhatASessionKeepsIsHeld) {
  const std::vector<std::string> kept = {"send 10 1 1 reserve r1 1000 0",
                                         "answer 20 1 1 granted e-1 6",
                                         "send 3500 2 1 reserve r2 1000 0",
                                         "answer 3510 2 1 granted e-2 6",
                                         "send 3520 2 2 release e-2 0 0",
                                         "answer 3530 2 2 done - 0",
                                         "capacity 9000 10 10 0"};
  EXPECT_THAT(Check(kept).faults, IsEmpty()) << "its lease is over";
  const HistoryReport report = Check(With(kept, {"told 3010 1 granted e-1 3000 1000"}));
  EXPECT_THAT(report.faults, ElementsAre(HasSubstr("at 3510 ns 12 blocks of 10")));
  EXPECT_EQ(report.kept, 1);
  EXPECT_THAT(Check(With(kept, {"told 2000 1 granted e-1 1990 1000"})).faults, IsEmpty())
      << "kept for a ttl beyond what was heard last";
}

TEST(HistoryCheck, FindsWhatASessionLostTooEarly) {
  const std::vector<std::string> lost = {
      "send 10 1 1 reserve r1 1000 0", "answer 20 1 1 granted e-1 6",
      "told 20 1 granted e-1 10 1000", "told 900 1 lost e-1 0 0", "capacity 9000 10 10 0"};
  EXPECT_THAT(Check(lost).faults, ElementsAre(HasSubstr("e-1 ended 0.000 s before its lease")));
  std::vector<std::string> late = lost;
  late[3] = "told 1010 1 lost e-1 0 0";
  EXPECT_THAT(Check(late).faults, IsEmpty());
  late[3] = "told 900 1 lost e-7 0 0";
  EXPECT_THAT(Check(late).faults, ElementsAre(HasSubstr("told of e-7, which nobody was granted")));
}

TEST(HistoryCheck, FindsWhoIsOvertakenTooOften) {
  std::vector<std::string> lines = {"send 10 1 1 reserve slow 1000 100"};
  for (int i = 2; i < 6; ++i) {
    const std::string n = std::to_string(i), t = std::to_string(10 * i);
    lines.insert(lines.end(), {"send " + t + " " + n + " 1 reserve r" + n + " 1000 0",
                               "answer " + t + " " + n + " 1 granted e-" + n + " 1",
                               "send " + t + " " + n + " 2 release e-" + n + " 0 0",
                               "answer " + t + " " + n + " 2 done - 0"});
  }
  lines.insert(lines.end(), {"answer 110 1 1 refused - 0", "capacity 9000 10 10 0"});
  HistoryRules rules = kRules;
  EXPECT_THAT(Check(lines, rules).faults, IsEmpty()) << "nobody looks";
  rules.most_overtakes = 4;
  EXPECT_THAT(Check(lines, rules).faults, IsEmpty());
  EXPECT_EQ(Check(lines, rules).most_overtaken, 4);
  rules.most_overtakes = 3;
  EXPECT_THAT(Check(lines, rules).faults, ElementsAre(HasSubstr("request slow waited")));
}

// In seconds 1 and 2 a server runs all the time; in second 2 it decides once.
TEST(HistoryCheck, CountsDecisionsOfSecondsInWhichAServerRan) {
  const HistoryReport report =
      Check({"server 500000000 started", "send 1000000001 1 1 reserve r1 1000 0",
             "answer 1000000002 1 1 refused - 0", "send 1000000003 1 2 reserve r2 1000 0",
             "answer 1000000004 1 2 refused - 0", "send 2000000001 1 3 reserve r3 1000 0",
             "answer 2000000002 1 3 refused - 0", "send 3000000001 1 4 reserve r4 1000 0",
             "answer 3100000000 1 4 refused - 0", "server 3500000000 killed",
             "capacity 4000000000 10 10 0"},
            {.total_blocks = 10});
  EXPECT_EQ(report.slowest_second, 1);
  EXPECT_NEAR(report.seconds_up, 2.6, 1e-9) << "until the last decision";
}

// The call that was granted may be one whose answer nobody heard: its lease began then.
TEST(HistoryCheck, ALeaseBeginsWithTheFirstCallOfARequest) {
  EXPECT_THAT(
      Check({"send 10 1 1 reserve r1 1000 0", "answer 20 1 1 failed - 0",
             "send 480 1 2 reserve r1 1000 0", "answer 490 1 2 granted e-1 6",
             "send 505 2 1 reserve r2 1000 0", "answer 515 2 1 granted e-2 6",
             "send 520 2 2 release e-2 0 0", "answer 530 2 2 done - 0", "capacity 600 10 10 0"})
          .faults,
      IsEmpty());
}

TEST(HistoryCheck, WhatHappensInOneNanosecondHappensInTheOrderOfTheRecord) {
  EXPECT_THAT(
      Check({"send 10 1 1 reserve r1 1000 0", "answer 20 1 1 granted e-1 6",
             "send 20 1 2 release e-1 0 0", "send 20 2 1 reserve r2 1000 0",
             "answer 20 1 2 done - 0", "answer 20 2 1 granted e-2 6", "send 20 2 2 release e-2 0 0",
             "answer 20 2 2 done - 0", "capacity 20 10 10 0"})
          .faults,
      IsEmpty());
}

TEST(HistoryCheck, FindsNamesGivenTwice) {
  EXPECT_THAT(
      Check(With(Right(), {"send 95 3 1 reserve r3 1000 0", "answer 96 3 1 granted e-2 1"})).faults,
      ElementsAre(HasSubstr("reservation e-2 answers the requests r2 and r3")));
  EXPECT_THAT(
      Check(With(Right(), {"send 95 3 1 reserve r2 1000 0", "answer 96 3 1 granted e-3 1"})).faults,
      ElementsAre(HasSubstr("request r2 was granted e-2 and e-3")));
  EXPECT_THAT(
      Check(With(Right(), {"send 95 3 1 reserve r2 1000 0", "answer 96 3 1 granted e-2 6"})).faults,
      IsEmpty())
      << "asking again is no fault";
  EXPECT_THAT(
      Check(With(Right(), {"send 95 1 9 renew e-1 0 0", "answer 96 1 9 granted e-2 6"})).faults,
      ElementsAre(HasSubstr("asked about e-1, client 1 heard about e-2")));
}

TEST(HistoryCheck, FindsLeasesThatEndEarly) {
  const std::vector<std::string> early = {
      "send 10 1 1 reserve r1 1000 0", "answer 20 1 1 granted e-1 6", "send 30 1 2 renew e-1 0 0",
      "answer 40 1 2 lost - 0", "capacity 200 10 10 0"};
  EXPECT_THAT(Check(early).faults, ElementsAre(HasSubstr("leases: e-1 ended")));
  std::vector<std::string> late = early;
  late[2] = "send 600 1 2 renew e-1 0 0";
  late[3] = "answer 601 1 2 lost - 0";
  EXPECT_THAT(Check(late).faults, IsEmpty());
  std::vector<std::string> stale = early;
  stale[3] = "answer 40 1 2 stale - 0";
  EXPECT_THAT(Check(stale).faults, ElementsAre(HasSubstr("called stale by the server that gave")));
}

TEST(HistoryCheck, FindsCallsThatAreNotAnswered) {
  const std::vector<std::string> open = With(Right(), {"send 95 3 1 reserve r3 1000 50"});
  EXPECT_THAT(Check(With(open, {"capacity 400 10 10 0"})).faults,
              ElementsAre("wait: call 1 of client 3 was not answered in 0.0 s"));
  EXPECT_THAT(Check(With(open, {"killed 100 3"})).faults, IsEmpty());
  EXPECT_THAT(Check(With(open, {"killed 300 3"})).faults, ElementsAre(HasSubstr("wait: call 1")));
  EXPECT_THAT(Check(With(open, {"killed 94 3"})).faults, ElementsAre(HasSubstr("wait: call 1")))
      << "another life of that client";
  EXPECT_THAT(Check(With(open, {"answer 300 3 1 refused - 0"})).faults,
              ElementsAre(HasSubstr("wait: client 3 waited")));
}

TEST(HistoryCheck, FindsWhatIsLeftAtTheEnd) {
  std::vector<std::string> left = Right();
  left.back() = "capacity 200 4 10 1";
  EXPECT_THAT(Check(left).faults,
              ElementsAre("leak: at the end 4 of 10 blocks are free beside 1 reservations"));
  left.pop_back();
  EXPECT_THAT(Check(left).faults, ElementsAre(HasSubstr("leak: nobody looked")));
}

TEST(HistoryCheck, FindsARecordThatContradictsItself) {
  EXPECT_THAT(Check(With(Right(), {"answer 100 1 1 granted e-1 6"})).faults,
              ElementsAre(HasSubstr("record: client 1 heard an answer to call 1")));
  EXPECT_THAT(Check(With(Right(), {"send 100 4 1 renew e-1 0 0", "send 101 4 1 renew e-1 0 0",
                                   "answer 102 4 1 failed - 0"}))
                  .faults,
              ElementsAre(HasSubstr("record: call 1 of client 4 was sent twice")));
}

TEST(History, OtherLinesAreNoEvents) {
  for (const char* bad :
       {"", "send", "send 1 1 1 reserve r1 5", "send 1 1 1 borrow r1 5 5", "server 1 asleep",
        "send x 1 1 reserve r1 5 5", "send 1 1 1 reserve r1 5 5 6", "killed -1 3", "capacity 1 2 3",
        "answer 1 1 1 granted e-1 6x", "send 1 1 1 reserve  5 5"}) {
    EXPECT_EQ(FromLine(bad), std::nullopt) << bad;
  }
}

}  // namespace
}  // namespace plimsoll
