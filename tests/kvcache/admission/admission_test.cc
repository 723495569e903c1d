// Decisions, leases, repeats and sequences, worked by hand.
#include <gmock/gmock.h>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::MatchesRegex;

std::string MessageOf(const absl::Status& status) { return std::string(status.message()); }

using Decisions = AdmissionTest;

TEST_F(Decisions, PromisesPromptAndNewTokensTogether) {
  // 20 + 13 = 33 tokens: three blocks of 16.
  const Answer answer = Must(admission_->Reserve(RequestOf(20, 13)));
  const Reservation& held = std::get<Reservation>(answer);
  EXPECT_EQ(held.id, "e1-1");
  EXPECT_EQ(held.epoch, "e1");
  EXPECT_EQ(held.blocks, Blocks(3));
  EXPECT_EQ(cache_->counts().reserved, Blocks(3));
  EXPECT_EQ(free(), Blocks(7));
}

TEST_F(Decisions, WhatCouldFitLaterWaitsWithTheBlocksItIsShort) {
  Hold(8);
  const Refusal refusal = Refused(RequestOf(80, 0));
  EXPECT_EQ(refusal.decision, Decision::kWait);
  EXPECT_EQ(refusal.reason, Reason::kNoFreeBlocks);
  EXPECT_EQ(refusal.needed, Blocks(5));
  EXPECT_EQ(refusal.missing, Blocks(3));
  EXPECT_EQ(refusal.largest_fit, Tokens(160));
}

TEST_F(Decisions, MoreThanThePoolNeverFits) {
  EXPECT_TRUE(IsAdmitted(admission_->CanAdmit(RequestOf(100, 60))));
  const Refusal refusal = Refused(RequestOf(100, 61));
  EXPECT_EQ(refusal.decision, Decision::kNever);
  EXPECT_EQ(refusal.reason, Reason::kNeverFits);
  EXPECT_EQ(refusal.binding_term, "pool");
  EXPECT_EQ(refusal.largest_fit, Tokens(160));
  EXPECT_EQ(refusal.retry_after, Duration::zero());
}

TEST_F(Decisions, MoreThanTheContextNeverFits) {
  Restart({.epoch = "e1", .max_context = Tokens(50)});
  const Refusal refusal = Refused(RequestOf(50, 1));
  EXPECT_EQ(refusal.binding_term, "context");
  EXPECT_EQ(refusal.largest_fit, Tokens(50));
}

TEST_F(Decisions, TheLargestCountsAreAnsweredWithoutOverflow) {
  EXPECT_EQ(Refused(RequestOf(kMaxTokens, kMaxTokens)).reason, Reason::kNeverFits);
  const ReservationRequest huge = RequestOf(INT64_MAX, INT64_MAX);
  EXPECT_FALSE(admission_->Validate(huge).ok());
  EXPECT_FALSE(IsAdmitted(admission_->CanAdmit(huge)));
}

TEST_F(Decisions, TheQuestionChangesNothing) {
  const AdmissionSnapshot before = admission_->Snapshot();
  const Answer answer = admission_->CanAdmit(RequestOf(16, 16));
  EXPECT_EQ(std::get<Reservation>(answer).id, "");
  EXPECT_EQ(std::get<Reservation>(answer).blocks, Blocks(2));
  admission_->CanAdmit(RequestOf(1000, 0));
  EXPECT_EQ(admission_->Snapshot(), before);
}

TEST_F(Decisions, DrainingTakesNothingNewAndKeepsWhatIsHeld) {
  const Reservation held = Hold(2);
  admission_->SetDraining(true);
  EXPECT_EQ(Refused(RequestOf(16, 0)).reason, Reason::kDraining);
  EXPECT_EQ(Refused(RequestOf(1000, 0)).reason, Reason::kNeverFits);
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(0));
  EXPECT_TRUE(IsAdmitted(Must(admission_->Extend(held.id, Tokens(48)))));
  admission_->SetDraining(false);
  Hold(1);
}

TEST_F(Decisions, EveryFieldIsCheckedByName) {
  const auto message = [&](const ReservationRequest& request) {
    const absl::Status status = admission_->Reserve(request).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    return MessageOf(status);
  };
  EXPECT_THAT(message(RequestOf(0, 1)), HasSubstr("prompt_tokens=0: want 1 to 1099511627776"));
  EXPECT_THAT(message(RequestOf(kMaxTokens + 1, 1)), HasSubstr("prompt_tokens=1099511627777"));
  EXPECT_THAT(message(RequestOf(1, kMaxTokens + 1)), HasSubstr("max_new_tokens=1099511627777"));
  ReservationRequest request = RequestOf(1, 1);
  request.ttl = seconds(3601);
  EXPECT_THAT(message(request), HasSubstr("ttl=3601000ms"));
  request.ttl = seconds(-1);
  EXPECT_THAT(message(request), HasSubstr("ttl=-1000ms"));
  request = RequestOf(1, 1, std::string(129, 't'));
  EXPECT_THAT(message(request), HasSubstr("tenant=129 bytes"));
  request = RequestOf(1, 1);
  request.request_id = std::string(129, 'r');
  EXPECT_THAT(message(request), HasSubstr("request_id=129 bytes"));
}

TEST_F(Decisions, EveryOptionIsCheckedByName) {
  const auto message = [&](const AdmissionOptions& options) {
    return MessageOf(AdmissionController::Create(options, *cache_, clock_).status());
  };
  EXPECT_THAT(message({.epoch = ""}), HasSubstr("epoch="));
  EXPECT_THAT(message({.epoch = "a-b"}), HasSubstr("epoch=a-b"));
  EXPECT_THAT(message({.epoch = "e", .default_ttl = seconds(0)}), HasSubstr("default_ttl="));
  EXPECT_THAT(message({.epoch = "e", .default_ttl = minutes(61)}), HasSubstr("default_ttl="));
  EXPECT_THAT(message({.epoch = "e", .max_ttl = Duration::max()}), HasSubstr("max_ttl="));
  EXPECT_THAT(message({.epoch = "e", .confirm_window = seconds(-1)}), HasSubstr("confirm_window="));
  EXPECT_THAT(message({.epoch = "e", .max_context = Tokens(0)}), HasSubstr("max_context="));
  EXPECT_THAT(message({.epoch = "e", .max_waiting = -1}), HasSubstr("max_waiting="));
}

using Leases = AdmissionTest;

TEST_F(Leases, AnUnconfirmedGrantEndsWithTheConfirmWindow) {
  const Reservation held = Hold(4);
  EXPECT_FALSE(held.confirmed);
  EXPECT_EQ(held.expires, clock_.Now() + seconds(5));
  EXPECT_EQ(admission_->NextDeadline(), held.expires);
  After(seconds(5) - milliseconds(1));
  EXPECT_EQ(free(), Blocks(6));
  After(milliseconds(1));
  EXPECT_EQ(free(), Blocks(10));
  EXPECT_EQ(admission_->Snapshot().expired, 1);
  EXPECT_EQ(admission_->NextDeadline(), std::nullopt);
}

TEST_F(Leases, ATtlShorterThanTheConfirmWindowCounts) {
  ReservationRequest request = RequestOf(16, 0);
  request.ttl = seconds(2);
  const Answer answer = Must(admission_->Reserve(request));
  EXPECT_EQ(std::get<Reservation>(answer).expires, clock_.Now() + seconds(2));
}

TEST_F(Leases, WithoutAConfirmWindowAGrantLivesForItsTtl) {
  Restart({.epoch = "e1", .confirm_window = Duration::zero()});
  const Reservation held = Hold(1);
  EXPECT_TRUE(held.confirmed);
  EXPECT_EQ(held.expires, clock_.Now() + seconds(30));
}

// Somebody sets the calendar while the monotonic clock runs on.
class CalendarClock final : public Clock {
 public:
  Instant Now() const override { return time_.Now(); }
  WallTime WallNow() const override { return time_.WallNow() + set_by; }
  void Advance(Duration by) { time_.Advance(by); }

  Duration set_by{};

 private:
  SimulatedClock time_;
};

TEST(ExpireTime, FollowsACalendarThatIsSet) {
  CalendarClock clock;
  const auto cache = *KvCache::Create({.capacity = Blocks(10)});
  const auto admission = *AdmissionController::Create({.epoch = "e1"}, *cache, clock);
  const Reservation held = std::get<Reservation>(*admission->Reserve(RequestOf(16, 0)));
  EXPECT_EQ(held.expire_time, clock.WallNow() + seconds(5));
  clock.set_by = std::chrono::hours(1);
  clock.Advance(Duration(1));
  EXPECT_EQ(admission->Renew(held.id)->expire_time, clock.WallNow() + seconds(30));
  EXPECT_EQ(admission->Get(held.id)->expire_time, clock.WallNow() + seconds(30));
}

TEST_F(Leases, EachRenewalRunsTheTtlFromThen) {
  const Reservation held = Hold(4);
  After(seconds(4));
  const Reservation renewed = Must(admission_->Renew(held.id));
  EXPECT_TRUE(renewed.confirmed);
  EXPECT_EQ(renewed.expires, clock_.Now() + seconds(30));
  EXPECT_EQ(renewed.expire_time, clock_.WallNow() + seconds(30));
  After(seconds(29));
  EXPECT_EQ(free(), Blocks(6));
  After(seconds(1));
  EXPECT_EQ(free(), Blocks(10));
  EXPECT_EQ(admission_->Renew(held.id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(Leases, ALeaseThatIsOverIsNotRenewedEvenBeforeAdvance) {
  const Reservation held = Hold(4);
  clock_.Advance(seconds(5));
  EXPECT_EQ(admission_->Renew(held.id).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(admission_->published().Read().expired, 1) << "published though the call failed";
}

TEST_F(Leases, ReleaseGivesEverythingBackAndTwiceIsHarmless) {
  const Reservation held = Hold(4);
  EXPECT_TRUE(admission_->Release(held.id).ok());
  EXPECT_EQ(free(), Blocks(10));
  EXPECT_TRUE(admission_->Release(held.id).ok());
  EXPECT_EQ(admission_->Snapshot().released, 1);
  EXPECT_EQ(admission_->Get(held.id).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(Leases, AnEndedIdIsKnownForAMinute) {
  const Reservation held = Hold(4);
  ASSERT_TRUE(admission_->Release(held.id).ok());
  After(seconds(59));
  EXPECT_TRUE(admission_->Release(held.id).ok());
  After(seconds(1));
  EXPECT_EQ(admission_->Release(held.id).code(), absl::StatusCode::kNotFound);
}

TEST_F(Leases, IdsOfOtherLivesAndUnknownIdsAreToldApart) {
  Hold(1);
  const auto release = [&](std::string_view id) { return admission_->Release(id); };
  EXPECT_EQ(release("e0-1").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(release("e0-1")), HasSubstr("STALE_EPOCH"));
  for (const std::string_view id : {"e1-2", "e1-0", "e1-01", "e1-", "e1", "", "-1", "e1-1x",
                                    "e1--1", "e1-99999999999999999999", "e0-x"}) {
    EXPECT_EQ(release(id).code(), absl::StatusCode::kNotFound) << id;
  }
  EXPECT_EQ(MessageOf(release(std::string(200, '\n'))),
            "no reservation " + std::string(80, '?') + "...");
}

TEST_F(Leases, ExtendingToAnAbsoluteTargetIsRepeatable) {
  const Answer first = Must(admission_->Reserve(RequestOf(16, 4)));
  const std::string id = std::get<Reservation>(first).id;
  for (int i = 0; i < 2; ++i) {
    const Answer answer = Must(admission_->Extend(id, Tokens(50)));
    const Reservation& held = std::get<Reservation>(answer);
    EXPECT_EQ(held.blocks, Blocks(4));
    EXPECT_EQ(held.max_new_tokens, Tokens(34));
    EXPECT_TRUE(held.confirmed);
    EXPECT_EQ(free(), Blocks(6));
  }
  EXPECT_EQ(std::get<Reservation>(Must(admission_->Extend(id, Tokens(1)))).blocks, Blocks(4));
}

TEST_F(Leases, ARefusedExtensionLeavesTheReservationAsItWas) {
  const Reservation held = Hold(4);
  Hold(5);
  const Refusal wait = std::get<Refusal>(Must(admission_->Extend(held.id, Tokens(96))));
  EXPECT_EQ(wait.decision, Decision::kWait);
  EXPECT_EQ(wait.missing, Blocks(1));
  const Refusal never = std::get<Refusal>(Must(admission_->Extend(held.id, Tokens(161))));
  EXPECT_EQ(never.reason, Reason::kNeverFits);
  EXPECT_EQ(admission_->Extend(held.id, Tokens(0)).status().code(),
            absl::StatusCode::kInvalidArgument);
  const Reservation after = Must(admission_->Get(held.id));
  EXPECT_EQ(after.blocks, Blocks(4));
  EXPECT_FALSE(after.confirmed);
  EXPECT_EQ(after.expires, held.expires);
}

using Repeats = AdmissionTest;

ReservationRequest Named(const std::string& id, int64_t tokens, const std::string& tenant = {}) {
  ReservationRequest request = RequestOf(tokens, 0, tenant);
  request.request_id = id;
  return request;
}

TEST_F(Repeats, TheSameRequestGetsTheSameReservationUntilAMinuteAfterItsEnd) {
  const auto ask = [&] { return std::get<Reservation>(Must(admission_->Reserve(Named("r", 16)))); };
  const std::string id = ask().id;
  EXPECT_EQ(ask().id, id);
  EXPECT_EQ(free(), Blocks(9));
  EXPECT_EQ(admission_->Snapshot().admitted, 1);
  ASSERT_TRUE(admission_->Release(id).ok());
  After(seconds(59));
  EXPECT_EQ(ask().id, id);
  EXPECT_TRUE(ask().ended);
  EXPECT_EQ(free(), Blocks(10));
  After(seconds(1));
  EXPECT_NE(ask().id, id);
  EXPECT_FALSE(ask().ended);
}

TEST_F(Repeats, OtherContentUnderAKnownIdIsRefused) {
  Must(admission_->Reserve(Named("r", 16)));
  const absl::Status status = admission_->Reserve(Named("r", 17)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(MessageOf(status), HasSubstr("request_id"));
  ReservationRequest other_ttl = Named("r", 16);
  other_ttl.ttl = seconds(7);
  EXPECT_EQ(admission_->Reserve(other_ttl).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(Repeats, TenantsDoNotShareRequestIds) {
  const Answer a = Must(admission_->Reserve(Named("r", 16, "a")));
  const Answer b = Must(admission_->Reserve(Named("r", 32, "b")));
  EXPECT_NE(std::get<Reservation>(a).id, std::get<Reservation>(b).id);
}

TEST_F(Repeats, RefusalsAreNotKept) {
  const Reservation held = Hold(10);
  EXPECT_EQ(Refused(Named("r", 16)).reason, Reason::kNoFreeBlocks);
  ASSERT_TRUE(admission_->Release(held.id).ok());
  EXPECT_TRUE(IsAdmitted(Must(admission_->Reserve(Named("r", 17)))));
}

TEST_F(Repeats, TheByteCapForgetsTheOldestEndsFirst) {
  Restart({.epoch = "e1", .idempotency_bytes = Bytes(2000)});  // room for a few records
  const std::string first = Hold(1).id;
  ASSERT_TRUE(admission_->Release(first).ok());
  const std::string held = Hold(1).id;
  std::string latest;
  for (int i = 0; i < 20; ++i) {
    latest = Hold(1).id;
    ASSERT_TRUE(admission_->Release(latest).ok());
  }
  EXPECT_EQ(admission_->Release(first).code(), absl::StatusCode::kNotFound);
  EXPECT_TRUE(admission_->Release(latest).ok());
  EXPECT_TRUE(admission_->Get(held).ok()) << "what is held is never forgotten";
}

using Sequences = AdmissionTest;

TEST_F(Sequences, ASequenceLivesOnThePromiseAndEndsWithIt) {
  const Reservation held = Hold(3);
  const SequenceId sequence = Must(admission_->BeginSequence(held.id));
  cache_->Commit(*cache_->PlanAppend(sequence, Tokens(20)));
  EXPECT_EQ(cache_->counts().live, Blocks(2));
  EXPECT_EQ(cache_->counts().reserved, Blocks(1));
  EXPECT_EQ(admission_->BeginSequence(held.id).status().code(),
            absl::StatusCode::kFailedPrecondition);
  After(minutes(10));
  EXPECT_EQ(Must(admission_->Get(held.id)).expires, clock_.Now() + seconds(30))
      << "running is the sign of life";
  admission_->EndSequence(held.id);
  EXPECT_EQ(free(), Blocks(10));
  EXPECT_EQ(admission_->Snapshot().released, 1);
}

TEST_F(Sequences, AReleaseWhileOneRunsAsksItToStop) {
  const Reservation held = Hold(3);
  Must(admission_->BeginSequence(held.id));
  EXPECT_FALSE(admission_->StopRequested(held.id));
  EXPECT_TRUE(admission_->Release(held.id).ok());
  EXPECT_TRUE(admission_->StopRequested(held.id));
  EXPECT_EQ(free(), Blocks(7)) << "its blocks may still be read";
  EXPECT_EQ(admission_->Renew(held.id).status().code(), absl::StatusCode::kNotFound);
  admission_->EndSequence(held.id);
  EXPECT_EQ(free(), Blocks(10));
  EXPECT_FALSE(admission_->StopRequested(held.id));
}

TEST_F(Sequences, AnExtensionReachesTheSequenceThatRuns) {
  const Reservation held = Hold(1);
  const SequenceId sequence = Must(admission_->BeginSequence(held.id));
  EXPECT_TRUE(IsAdmitted(Must(admission_->Extend(held.id, Tokens(40)))));
  EXPECT_EQ(cache_->PromiseLeft(sequence), Blocks(3));
  admission_->CheckInvariants();
}

TEST_F(Sequences, EndingWhatDoesNotRunAborts) {
  const Reservation held = Hold(1);
  EXPECT_DEATH(admission_->EndSequence(held.id), "no sequence runs on it");
}

TEST(RandomEpoch, IsFifteenHexDigitsAndNotTheSameTwice) {
  EXPECT_THAT(RandomEpoch(), MatchesRegex("[0-9a-f]+"));
  EXPECT_EQ(RandomEpoch().size(), 15u);
  EXPECT_NE(RandomEpoch(), RandomEpoch());
}

}  // namespace
}  // namespace plimsoll
