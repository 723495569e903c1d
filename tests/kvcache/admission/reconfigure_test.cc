// Quotas and policies that change under those who hold and wait, worked by hand; and at random,
// where the controller verifies itself after every step. Ten blocks of 16 tokens.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

TenantQuota Quota(int64_t guaranteed, int64_t most) {
  return {.guaranteed = Blocks(guaranteed), .most = Blocks(most)};
}

class Reconfigure : public AdmissionTest {
 protected:
  Reconfigure() {
    Restart({.epoch = "e1",
             .confirm_window = Duration::zero(),
             .quotas = {.tenants = {{"a", Quota(0, 8)}}, .others = Quota(0, 10)}});
  }

  absl::Status SetQuotas(const Quotas& quotas) {
    const AdmissionOptions& now = admission_->options();
    const absl::Status set = admission_->Reconfigure(quotas, now.policy, now.classes);
    admission_->CheckInvariants();
    return set;
  }
  absl::Status SetClasses(const std::map<std::string, PolicyOptions>& classes,
                          const PolicyOptions& server = {}) {
    const AdmissionOptions& now = admission_->options();
    const absl::Status set = admission_->Reconfigure(now.quotas, server, classes);
    admission_->CheckInvariants();
    return set;
  }
  Answer Ask(const std::string& tenant, int64_t blocks, const std::string& its_class = {}) {
    ReservationRequest request = RequestOf(16, 16 * (blocks - 1), tenant);
    request.request_class = its_class;
    const Answer answer = Must(admission_->Reserve(request));
    admission_->CheckInvariants();
    return answer;
  }
  std::string Hold(const std::string& tenant, int64_t blocks, const std::string& its_class = {}) {
    return std::get<Reservation>(Ask(tenant, blocks, its_class)).id;
  }
  Refusal Refused(const std::string& tenant, int64_t blocks) {
    return std::get<Refusal>(Ask(tenant, blocks));
  }
  void Release(const std::string& id) {
    EXPECT_TRUE(admission_->Release(id).ok());
    admission_->CheckInvariants();
  }
};

TEST_F(Reconfigure, ALowerMaximumTakesEffectAsWhatIsHeldEnds) {
  const std::string first = Hold("a", 4), second = Hold("a", 3);
  ASSERT_TRUE(SetQuotas({.tenants = {{"a", Quota(0, 4)}}}).ok());
  EXPECT_EQ(admission_->Tenants().front().blocks, Blocks(7)) << "nothing is taken away";
  EXPECT_EQ(Refused("a", 1).reason, Reason::kTenantQuota);
  EXPECT_EQ(Refused("a", 5).reason, Reason::kTenantLimit);
  EXPECT_TRUE(IsAdmitted(Ask("b", 3))) << "others have what is there";
  EXPECT_TRUE(admission_->Renew(first).ok());
  Release(first);
  EXPECT_EQ(Refused("a", 2).reason, Reason::kTenantQuota);
  EXPECT_TRUE(IsAdmitted(Ask("a", 1)));
  Release(second);
  Hold("a", 3);
}

TEST_F(Reconfigure, AHigherMaximumServesWhoStoodAside) {
  Hold("a", 8);
  Queue("a", 2, "a");
  EXPECT_THAT(Answered(), ElementsAre());
  ASSERT_TRUE(SetQuotas({.tenants = {{"a", Quota(0, 10)}}}).ok());
  EXPECT_THAT(Answered(), ElementsAre("a"));
}

// Seven are held and three are there: of the six that "b" is to have, three are kept at once.
TEST_F(Reconfigure, AMinimumThatIsNotThereIsGrantedAsBlocksComeBack) {
  const std::string first = Hold("a", 4);
  Hold("a", 3);
  ASSERT_TRUE(SetQuotas({.tenants = {{"b", Quota(6, 10)}}}).ok());
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(0));
  EXPECT_EQ(Refused("c", 1).reason, Reason::kNoFreeBlocks);
  EXPECT_TRUE(IsAdmitted(Ask("b", 3)));
  EXPECT_EQ(Refused("b", 1).missing, Blocks(1));
  Queue("b waits", 2, "b");
  Queue("c waits", 1, "c");
  Release(first);
  EXPECT_THAT(Answered(), ElementsAre("b waits", "c waits"))
      << "four came back: two more for b, one is kept for it, one is anybody's";
  EXPECT_EQ(Refused("c", 1).missing, Blocks(1));
  EXPECT_TRUE(IsAdmitted(Ask("b", 1)));
}

TEST_F(Reconfigure, ATenantMayGetAndLoseAQuotaOfItsOwn) {
  Hold("b", 2);
  ASSERT_TRUE(SetQuotas({.tenants = {{"b", Quota(5, 6)}}, .others = Quota(2, 3)}).ok());
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(10 - 2 - 3 - 2));
  EXPECT_EQ(Refused("a", 4).reason, Reason::kTenantLimit);
  Hold("b", 4);
  ASSERT_TRUE(SetQuotas({}).ok());
  Hold("a", 4);
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(0));
}

TEST_F(Reconfigure, WhatThePoolCannotHonourChangesNothing) {
  Hold("a", 2);
  EXPECT_THAT(SetQuotas({.tenants = {{"b", Quota(11, 11)}}}).message(),
              HasSubstr("quotas.b.guaranteed=11"));
  EXPECT_THAT(SetClasses({{"", {}}}).message(), HasSubstr("classes"));
  EXPECT_THAT(SetClasses({{"x", {.watermark = 2}}}).message(), HasSubstr("classes.x"));
  EXPECT_EQ(Refused("a", 9).reason, Reason::kTenantLimit) << "as before";
}

TEST_F(Reconfigure, AClassThatComesIsTakenAndOneThatGoesIsNot) {
  const PolicyOptions watermark{.policy = Policy::kWatermark, .watermark = 0};
  ReservationRequest chat = RequestOf(16, 64);
  chat.request_class = "chat";
  EXPECT_FALSE(admission_->Reserve(chat).ok());
  ASSERT_TRUE(SetClasses({{"chat", watermark}, {"batch", {}}}).ok());
  const Reservation held = std::get<Reservation>(Must(admission_->Reserve(chat)));
  EXPECT_EQ(held.blocks, Blocks(2)) << "its prompt and one token";
  ASSERT_TRUE(SetClasses({{"chat", {}}}).ok());
  EXPECT_EQ(std::get<Reservation>(Must(admission_->Reserve(chat))).blocks, Blocks(5));
  ASSERT_TRUE(SetClasses({}).ok());
  EXPECT_THAT(admission_->Reserve(chat).status().message(), HasSubstr("no classes"));
  EXPECT_TRUE(IsAdmitted(Must(admission_->Extend(held.id, Tokens(48))))) << "under what it had";
  Release(held.id);
}

TEST_F(Reconfigure, WhoWaitsUnderAClassThatGoesIsServedUnderIt) {
  ASSERT_TRUE(SetClasses({{"chat", {.policy = Policy::kWatermark, .watermark = 0}}}).ok());
  const std::string all = Hold("b", 10);
  ReservationRequest chat = RequestOf(16, 64);
  chat.request_class = "chat";
  Must(admission_->ReserveOrWait(
      chat, seconds(100), [this](const Answer& answer) { answers_.emplace_back("chat", answer); }));
  ASSERT_TRUE(SetClasses({}).ok());
  ASSERT_TRUE(SetClasses({}).ok()) << "twice";
  Release(all);
  ASSERT_THAT(Answered(), ElementsAre("chat"));
  EXPECT_EQ(std::get<Reservation>(answers_.front().second).blocks, Blocks(2));
}

// The same request again is the same reservation, whatever became of its class.
TEST_F(Reconfigure, ARepeatOfWhatWasGrantedUnderAClassThatWentIsTheSame) {
  ASSERT_TRUE(SetClasses({{"chat", {}}}).ok());
  ReservationRequest chat = RequestOf(16, 64);
  chat.request_class = "chat";
  chat.request_id = "r";
  const std::string held = std::get<Reservation>(Must(admission_->Reserve(chat))).id;
  ASSERT_TRUE(SetClasses({}).ok());
  const auto id_of = [](const Answer& answer) { return std::get<Reservation>(answer).id; };
  EXPECT_EQ(id_of(Must(admission_->Reserve(chat))), held);
  const BatchAnswer batch = Must(admission_->ReserveAll(std::vector{chat}));
  EXPECT_EQ(std::get<std::vector<Reservation>>(batch).front().id, held);
  Must(admission_->ReserveOrWait(chat, seconds(1),
                                 [&](const Answer& answer) { EXPECT_EQ(id_of(answer), held); }));
  EXPECT_TRUE(admission_->Validate(chat).ok());
  EXPECT_EQ(std::get<Reservation>(admission_->CanAdmit(chat)).blocks, Blocks(5));
  Release(held);
  ASSERT_TRUE(SetClasses({}).ok()) << "nobody is left of that class";
  EXPECT_EQ(id_of(Must(admission_->Reserve(chat))), held) << "as long as it is remembered";
  EXPECT_TRUE(admission_->Validate(chat).ok());
  EXPECT_TRUE(IsAdmitted(admission_->CanAdmit(chat)));
  chat.request_id.clear();
  EXPECT_TRUE(absl::IsInvalidArgument(admission_->Reserve(chat).status())) << "it repeats nothing";
}

TEST_F(Reconfigure, ARepeatOfWhoWaitsUnderAClassThatWentWaitsWithIt) {
  ASSERT_TRUE(SetClasses({{"chat", {}}}).ok());
  const std::string all = Hold("b", 10);
  ReservationRequest chat = RequestOf(16, 64);
  chat.request_class = "chat";
  chat.request_id = "r";
  const auto wait = [&] {
    return admission_->ReserveOrWait(chat, seconds(100), [this](const Answer& answer) {
      answers_.emplace_back("chat", answer);
    });
  };
  ASSERT_TRUE(wait().ok());
  ASSERT_TRUE(SetClasses({}).ok());
  EXPECT_TRUE(wait().ok());
  Release(all);
  ASSERT_THAT(Answered(), ElementsAre("chat", "chat"));
  EXPECT_EQ(std::get<Reservation>(answers_[0].second).id,
            std::get<Reservation>(answers_[1].second).id);
}

// Its class went with its first, and that ends, or leaves the queue, as the repeat comes.
TEST_F(Reconfigure, ARepeatThatComesTooLateIsOfAClassThatWent) {
  const AdmissionOptions options{
      .epoch = "e1", .classes = {{"chat", {}}}, .idempotency_bytes = Bytes(0)};
  Restart(options);
  ReservationRequest chat = RequestOf(16, 64);
  chat.request_class = "chat";
  chat.request_id = "r";
  Must(admission_->Reserve(chat));
  ASSERT_TRUE(SetClasses({}).ok());
  clock_.Advance(seconds(3600));
  EXPECT_TRUE(absl::IsInvalidArgument(admission_->Reserve(chat).status()));
  admission_->CheckInvariants();
}

TEST_F(Reconfigure, AHolderOfAClassThatWentMayClaimWhatItHolds) {
  ASSERT_TRUE(SetClasses({{"chat", {}}}).ok());
  const std::string held = Hold("a", 3, "chat");
  ASSERT_TRUE(SetClasses({}).ok());
  const ReservationClaim claim{.id = held,
                               .tenant = "a",
                               .prompt_tokens = Tokens(16),
                               .max_new_tokens = Tokens(32),
                               .request_class = "chat"};
  EXPECT_EQ(Must(admission_->Claim(claim)).id, held);
}

// Who waits under a watermark that goes would start under it, beside a forecast that knows nothing
// of that.
TEST_F(Reconfigure, AForecastBeginsOnlyWhenNobodyWaitsUnderAWatermarkThatGoes) {
  const PolicyOptions watermark{.policy = Policy::kWatermark, .watermark = 0};
  const PolicyOptions quantile{.policy = Policy::kQuantile};
  ASSERT_TRUE(SetClasses({{"chat", watermark}, {"batch", {}}}).ok());
  const std::string all = Hold("b", 10);
  const auto wait = [&](const std::string& its_class) {
    ReservationRequest request = RequestOf(16, 64);
    request.request_class = its_class;
    const auto ticket = admission_->ReserveOrWait(request, seconds(100), [](const Answer&) {});
    return Must(ticket).value_or(0);
  };
  wait("batch");
  const int64_t ticket = wait("chat");
  EXPECT_THAT(SetClasses({}, quantile).message(), HasSubstr("1 requests run or wait"));
  ASSERT_TRUE(SetClasses({}).ok());
  EXPECT_THAT(SetClasses({}, quantile).message(), HasSubstr("1 requests run or wait"));
  admission_->CancelWait(ticket);
  EXPECT_TRUE(SetClasses({}, quantile).ok());
}

TEST_F(Reconfigure, AForecastKnowsOfWhoWaitsUnderAWatermarkThatStays) {
  const PolicyOptions watermark{.policy = Policy::kWatermark, .watermark = 0};
  ASSERT_TRUE(SetClasses({{"chat", watermark}}).ok());
  Hold("b", 10);
  ReservationRequest chat = RequestOf(16, 64);
  chat.request_class = "chat";
  Must(admission_->ReserveOrWait(chat, seconds(100), [](const Answer&) {}));
  EXPECT_TRUE(SetClasses({{"chat", watermark}}, {.policy = Policy::kQuantile}).ok());
}

// What runs under a watermark may need all of the pool yet.
TEST_F(Reconfigure, WhoWasLetStartCanEnd) {
  const PolicyOptions watermark{.policy = Policy::kWatermark, .watermark = 0};
  ASSERT_TRUE(SetClasses({{"chat", watermark}}).ok());
  const std::string held = Hold("a", 8, "chat");
  EXPECT_THAT(SetQuotas({.tenants = {{"b", Quota(3, 10)}}}).message(),
              HasSubstr("e1-1 may need 8 blocks, and others would be guaranteed 3 of 10"));
  ASSERT_TRUE(SetQuotas({.tenants = {{"a", Quota(0, 1)}}}).ok());
  EXPECT_EQ(Refused("a", 2).reason, Reason::kTenantLimit);
  for (int blocks = 3; blocks <= 8; ++blocks) {
    ASSERT_TRUE(IsAdmitted(Must(admission_->Extend(held, Tokens(16 * blocks))))) << blocks;
  }
  EXPECT_THAT(SetClasses({{"chat", {.policy = Policy::kQuantile}}}).message(),
              HasSubstr("1 requests run or wait under a watermark"));
  Release(held);
  EXPECT_TRUE(SetClasses({{"chat", {.policy = Policy::kQuantile}}}).ok());
}

// Random quotas and classes under random requests: everything goes on adding up, and once nothing
// is held any more, every guarantee is there.
TEST_F(Reconfigure, AtRandomEverythingGoesOnAddingUp) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  const auto below = [&](int n) { return static_cast<int64_t>(rng() % static_cast<uint32_t>(n)); };
  const std::vector<std::string> names = {"a", "b", "c", "d"};
  const auto some_name = [&] { return names[static_cast<size_t>(below(4))]; };
  const auto some_quota = [&] {
    const int64_t guaranteed = below(4);
    return Quota(guaranteed, guaranteed + 1 + below(8));
  };
  const std::vector<PolicyOptions> policies = {{.policy = Policy::kNeverEvict},
                                               {.policy = Policy::kWatermark, .watermark = 0.1},
                                               {.policy = Policy::kQuantile}};
  std::vector<std::string> held;
  int taken = 0;
  for (int step = 0; step < 3000; ++step) {
    const int64_t dice = below(10);
    if (dice == 0) {
      Quotas quotas{.others = Quota(below(3), 3 + below(8))};
      for (int i = 0; i < 2; ++i) quotas.tenants[some_name()] = some_quota();
      std::map<std::string, PolicyOptions> classes;
      for (int i = 0; i < 2; ++i) classes[some_name()] = policies[static_cast<size_t>(below(3))];
      taken +=
          admission_->Reconfigure(quotas, policies[static_cast<size_t>(below(3))], classes).ok();
    } else if (dice < 5) {
      ReservationRequest request = RequestOf(1 + below(40), below(80), some_name());
      if (below(2) == 0) request.request_class = some_name();
      const auto note = [&](const Answer& answer) {
        if (IsAdmitted(answer)) held.push_back(std::get<Reservation>(answer).id);
      };
      (void)admission_->ReserveOrWait(request, seconds(below(5)), note).ok();
    } else if (dice < 7 && !held.empty()) {
      const size_t which = static_cast<size_t>(below(static_cast<int>(held.size())));
      (void)admission_->Extend(held[which], Tokens(1 + below(140))).ok();
    } else if (dice < 9 && !held.empty()) {
      const size_t which = static_cast<size_t>(below(static_cast<int>(held.size())));
      const std::string id = held[which];
      held.erase(held.begin() + static_cast<int64_t>(which));
      (void)admission_->Release(id).ok();
    } else {
      clock_.Advance(seconds(below(20)));
      admission_->Advance();
    }
    admission_->CheckInvariants();
  }
  EXPECT_GT(taken, 20);
  After(seconds(4000));
  Blocks guaranteed = admission_->options().quotas.others.guaranteed;
  for (const auto& [tenant, quota] : admission_->options().quotas.tenants) {
    guaranteed += quota.guaranteed;
  }
  EXPECT_EQ(admission_->Snapshot().reservations, 0);
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(10) - guaranteed);
}

}  // namespace
}  // namespace plimsoll
