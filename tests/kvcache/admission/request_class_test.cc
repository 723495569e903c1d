// Classes of requests with policies of their own, and what stops thrash where holders grow: by
// hand, and in a storm.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr PolicyOptions kNoWatermark{.policy = Policy::kWatermark, .watermark = 0};

class RequestClassTest : public AdmissionTest {
 protected:
  RequestClassTest() {
    Use({.epoch = "e1",
         .classes = {{"growing", kNoWatermark}, {"careful", {.policy = Policy::kQuantile}}}});
  }
  void Use(AdmissionOptions options) {
    admission_ = nullptr;
    options.confirm_window = Duration::zero();
    Restart(options);
  }
  static ReservationRequest Of(const std::string& name, int64_t prompt, int64_t max_new) {
    ReservationRequest request = RequestOf(prompt, max_new);
    request.request_class = name;
    return request;
  }
  Answer Ask(const ReservationRequest& request) {
    const Answer answer = Must(admission_->Reserve(request));
    admission_->CheckInvariants();
    return answer;
  }
  Reservation Hold(const ReservationRequest& request) {
    return std::get<Reservation>(Ask(request));
  }
  Answer Grow(const std::string& id, int64_t total) {
    const Answer answer = Must(admission_->Extend(id, Tokens(total)));
    admission_->CheckInvariants();
    return answer;
  }
  void Release(const std::string& id) { EXPECT_TRUE(admission_->Release(id).ok()); }
};

TEST_F(RequestClassTest, EachClassPromisesByItsPolicy) {
  EXPECT_EQ(Hold(Of("", 20, 28)).blocks, Blocks(3)) << "the whole";
  EXPECT_EQ(Hold(Of("growing", 20, 28)).blocks, Blocks(2)) << "twenty tokens and one";
  EXPECT_EQ(Hold(Of("careful", 15, 33)).blocks, Blocks(1));
}

TEST_F(RequestClassTest, AClassThatThereIsNotIsNamed) {
  const absl::Status status = admission_->Reserve(Of("fast", 1, 1)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message(), "request_class=fast: want none or one of careful, growing");
  Use({.epoch = "e1"});
  EXPECT_THAT(std::string(admission_->Reserve(Of("x", 1, 1)).status().message()),
              HasSubstr("this server has no classes"));
}

TEST_F(RequestClassTest, ClassesOutOfRangeAreRefused) {
  const auto message = [&](const std::map<std::string, PolicyOptions>& classes) {
    return std::string(
        AdmissionController::Create({.epoch = "e1", .classes = classes}, *cache_, clock_)
            .status()
            .message());
  };
  EXPECT_THAT(message({{"a", {.policy = Policy::kWatermark, .watermark = 2}}}),
              HasSubstr("classes.a: watermark=2"));
  EXPECT_THAT(message({{"", kNoWatermark}}), HasSubstr("names of 1 to 128 bytes"));
  EXPECT_THAT(message({{std::string(129, 'x'), kNoWatermark}}), HasSubstr("1 to 128 bytes"));
  std::map<std::string, PolicyOptions> many;
  for (int i = 0; i < 17; ++i) many.emplace(std::to_string(i), kNoWatermark);
  EXPECT_EQ(message(many), "classes=17: want at most 16");
}

// Ten blocks, eight of them promised: to the forecast the pool has two.
TEST_F(RequestClassTest, AForecastSeesAPoolWithoutWhatIsPromisedToOthers) {
  const std::string whole = Hold(Of("", 8 * 16, 0)).id;
  Hold(Of("careful", 10, 16));
  EXPECT_FALSE(IsAdmitted(Ask(Of("careful", 10, 16)))) << "there is a block, but both would grow";
  Release(whole);
  EXPECT_TRUE(IsAdmitted(Ask(Of("careful", 10, 16))));
}

TEST_F(RequestClassTest, WhatGrowsUnderAWatermarkIsInTheForecastToo) {
  Hold(Of("growing", 10, 100));
  Hold(Of("growing", 10, 100));
  EXPECT_FALSE(IsAdmitted(Ask(Of("careful", 10, 100)))) << "330 tokens, and room for 160";
  EXPECT_TRUE(IsAdmitted(Ask(Of("growing", 10, 100)))) << "which asks nobody";
}

TEST_F(RequestClassTest, WhatIsPromisedInFullIsThereWhateverGrowsBesideIt) {
  const std::string whole = Hold(Of("", 16, 4 * 16)).id;
  const std::string growing = Hold(Of("growing", 16 * 4, 16 * 4)).id;
  EXPECT_EQ(free(), Blocks(0));
  EXPECT_FALSE(IsAdmitted(Grow(growing, 16 * 6)));
  for (int64_t total = 17; total <= 80; ++total) EXPECT_TRUE(IsAdmitted(Grow(whole, total)));
}

// Three holders fill the pool and all want to grow.
TEST_F(RequestClassTest, WhatComesBackGoesToWhoCameFirst) {
  const std::string a = Hold(Of("growing", 47, 100)).id;  // three blocks each
  const std::string b = Hold(Of("growing", 47, 100)).id;
  const std::string c = Hold(Of("growing", 47, 100)).id;
  const std::string d = Hold(Of("growing", 10, 100)).id;
  EXPECT_FALSE(std::get<Refusal>(Grow(c, 49)).yield) << "it is the only one so far";
  EXPECT_FALSE(std::get<Refusal>(Grow(b, 49 + 16)).yield) << "and it came before c";
  EXPECT_TRUE(std::get<Refusal>(Grow(c, 49)).yield);
  Queue("newcomer", 1);
  Release(d);
  EXPECT_THAT(Answered(), IsEmpty()) << "one is free, and b lacks two";
  EXPECT_TRUE(std::get<Refusal>(Grow(c, 49)).yield) << "so c does not get it either";
  EXPECT_TRUE(IsAdmitted(Grow(a, 49))) << "who came first may have it";
  Release(c);
  EXPECT_THAT(Answered(), ElementsAre("newcomer")) << "three came back; two are b's";
  EXPECT_TRUE(IsAdmitted(Grow(b, 49 + 16)));
}

TEST_F(RequestClassTest, WhatIsOwedLapsesWhenItsHolderAsksNoMore) {
  const std::string b = Hold(Of("growing", 16 * 4 - 1, 90)).id;
  Hold(Of("", 16 * 5, 0));
  EXPECT_FALSE(IsAdmitted(Grow(b, 16 * 6)));
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(0)) << "one is free, and b lacks two";
  Queue("newcomer", 1);
  EXPECT_EQ(admission_->NextDeadline(), clock_.Now() + seconds(5));
  After(seconds(5) - milliseconds(1));
  EXPECT_THAT(Answered(), IsEmpty());
  After(milliseconds(1));
  EXPECT_THAT(Answered(), ElementsAre("newcomer"));
}

TEST_F(RequestClassTest, WhoGaveWayComesBackBeforeNewcomers) {
  const std::string a = Hold(Of("growing", 16 * 5 - 1, 80)).id;
  const std::string b = Hold(Of("growing", 16 * 5 - 1, 80)).id;
  EXPECT_FALSE(IsAdmitted(Grow(a, 16 * 6)));
  EXPECT_TRUE(std::get<Refusal>(Grow(b, 16 * 6)).yield);
  ReservationRequest urgent = Of("", 16 * 2, 0);
  urgent.priority = 2;
  const auto file = [&](const std::string& name) {
    return [this, name](const Answer& answer) { answers_.emplace_back(name, answer); };
  };
  Must(admission_->ReserveOrWait(urgent, seconds(1000), file("urgent")));
  Release(b);
  EXPECT_THAT(Answered(), ElementsAre("urgent")) << "before b asked again";
  EXPECT_TRUE(IsAdmitted(Grow(a, 16 * 6)));
  Must(admission_->ReserveOrWait(urgent, seconds(1000), file("urgent 2")));
  EXPECT_THAT(Answered(), ElementsAre("urgent", "urgent 2"));
  Must(admission_->ReserveOrWait(urgent, seconds(1000), file("urgent 3")));
  ReservationRequest again = Of("growing", 16 * 5, 80);
  again.resumes = b;
  Must(admission_->ReserveOrWait(again, seconds(1000), file("b")));
  Release(std::get<Reservation>(answers_[0].second).id);
  EXPECT_EQ(Answered().size(), 2u) << "two are free, b is first and needs six";
  Release(std::get<Reservation>(answers_[1].second).id);
  Release(a);
  EXPECT_THAT(Answered(), ElementsAre("urgent", "urgent 2", "b", "urgent 3"));
  EXPECT_EQ(Must(admission_->Reserve(again)).index(), 1u) << "and only once is it first";
}

// It asked before its reservation gave way, so that it queued as a newcomer, and asks again after.
TEST_F(RequestClassTest, WhoQueuesAndComesBackByARepeatGetsTheSameReservation) {
  Hold(Of("", 16 * 3, 0));
  const std::string gave_way = Hold(Of("growing", 16 * 5 - 1, 80)).id;
  const std::optional<int64_t> large = Queue("large", 9);
  ReservationRequest back = Of("growing", 16, 80);
  back.request_id = "back";
  back.resumes = gave_way;
  for (const char* const name : {"first", "second"}) {
    Must(admission_->ReserveOrWait(back, seconds(1000), [this, name](const Answer& answer) {
      answers_.emplace_back(name, answer);
    }));
  }
  EXPECT_FALSE(IsAdmitted(Grow(gave_way, 16 * 9)));
  Release(gave_way);
  EXPECT_THAT(Answered(), IsEmpty()) << "seven are free, and nine are wanted first";
  const std::string id = Hold(back).id;
  EXPECT_THAT(Answered(), IsEmpty());
  admission_->CancelWait(*large);
  EXPECT_THAT(Answered(), ElementsAre("first", "second"));
  for (const auto& [name, answer] : answers_) EXPECT_EQ(std::get<Reservation>(answer).id, id);
  EXPECT_EQ(admission_->Snapshot().waiting, 0);
  EXPECT_EQ(admission_->Snapshot().reservations, 2);
  EXPECT_EQ(admission_->Snapshot().waited, 0) << "what it got was not waited for";
  admission_->CheckInvariants();
}

TEST_F(RequestClassTest, WhoComesBackIsAsSeniorAsItWas) {
  const std::string b = Hold(Of("growing", 16 * 5 - 1, 80)).id;
  const std::string c = Hold(Of("growing", 16 * 5 - 1, 80)).id;
  EXPECT_FALSE(IsAdmitted(Grow(b, 16 * 6)));
  Release(b);
  ReservationRequest again = Of("growing", 16 * 4 - 1, 96);
  again.resumes = b;
  const std::string later = Hold(again).id;
  EXPECT_FALSE(std::get<Refusal>(Grow(c, 16 * 7)).yield);
  EXPECT_FALSE(std::get<Refusal>(Grow(later, 16 * 6)).yield) << "it began before c";
  EXPECT_TRUE(std::get<Refusal>(Grow(c, 16 * 7)).yield);
}

TEST_F(RequestClassTest, WhoComesBackLeavesALittleRoomToThoseWhoRun) {
  const std::string a = Hold(Of("growing", 16 * 5 - 1, 80)).id;
  const std::string b = Hold(Of("growing", 16 * 5 - 1, 80)).id;
  EXPECT_FALSE(IsAdmitted(Grow(b, 16 * 6)));
  Release(b);
  ReservationRequest again = Of("growing", 16 * 5 - 1, 80);
  again.resumes = b;
  EXPECT_FALSE(IsAdmitted(Ask(again))) << "it would fit to a block, and a could not grow";
  Release(a);
  EXPECT_TRUE(IsAdmitted(Ask(again))) << "alone it needs no room for others";
}

TEST_F(RequestClassTest, WhoWasNotRefusedResumesNothing) {
  Hold(Of("growing", 16 * 8, 16));
  const std::string released = Hold(Of("growing", 1, 1)).id;
  Release(released);
  Queue("large", 8);
  ReservationRequest again = Of("growing", 1, 1);
  for (const std::string& id : {released, std::string("e0-1"), std::string("nonsense")}) {
    again.resumes = id;
    EXPECT_FALSE(IsAdmitted(Ask(again))) << id << " is a newcomer, and somebody waits";
  }
}

// Clients that all grow into a pool that is far too small: each ends, those who must give way do so
// seldom, and nobody gives way who came first.
TEST_F(RequestClassTest, InAStormOfExtensionsEverybodyEnds) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  struct Client {
    int64_t length, goal;
    std::string id = {};       // while it holds
    std::string resumes = {};  // while it comes back
    bool waits = false;
  };
  std::vector<Client> clients;
  for (int i = 0; i < 60; ++i) {
    clients.push_back({.length = 1 + static_cast<int64_t>(random() % 40),
                       .goal = 60 + static_cast<int64_t>(random() % 90)});
  }
  int64_t ended = 0, stops = 0;
  for (int round = 0; round < 20000 && ended < 60; ++round) {
    for (Client& client : clients) {
      if (client.length >= client.goal || client.waits) continue;
      if (client.id.empty()) {
        ReservationRequest request = Of("growing", client.length, client.goal - client.length);
        request.resumes = client.resumes;
        client.waits = true;
        Must(admission_->ReserveOrWait(request, seconds(100000), [&client](const Answer& answer) {
          client.id = std::get<Reservation>(answer).id;
          client.waits = false;
        }));
        continue;
      }
      const Answer answer = Grow(client.id, client.length + 1);
      if (IsAdmitted(answer)) {
        if (++client.length < client.goal) continue;
        Release(client.id);
        ++ended;
      } else if (std::get<Refusal>(answer).yield) {
        ++stops;
        Release(client.id);
        client.resumes = std::exchange(client.id, {});
      }
    }
    clock_.Advance(milliseconds(10));
    admission_->Advance();
  }
  EXPECT_EQ(ended, 60);
  EXPECT_GT(stops, 0) << "it should be a storm";
  EXPECT_LT(stops, 120) << "twice each would be thrash";
  EXPECT_EQ(free(), Blocks(10));
}

}  // namespace
}  // namespace plimsoll
