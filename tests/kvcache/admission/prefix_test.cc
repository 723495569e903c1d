// Reservations that say what their prompt begins with: what is there already needs no room.
#include <gmock/gmock.h>

#include <map>
#include <random>
#include <string>

#include "tests/kvcache/admission/admission_fixture.h"

namespace plimsoll {
namespace {

// 10 blocks of 16 tokens that share prefixes.
class PrefixAdmissionTest : public AdmissionTest {
 protected:
  PrefixAdmissionTest() {
    admission_ = nullptr;
    cache_ = Must(KvCache::Create({.capacity = Blocks(10), .eviction = Eviction::kLru}));
    Restart({.epoch = "e1"});
  }

  static ReservationRequest Named(const std::vector<uint64_t>& hashes, int64_t blocks,
                                  std::string tenant = "t") {
    ReservationRequest request = RequestOf(16 * blocks, 0, std::move(tenant));
    request.prefix_hashes = hashes;
    return request;
  }
  Reservation Reserve(const ReservationRequest& request) {
    return std::get<Reservation>(Must(admission_->Reserve(request)));
  }
  // Computes what the reservation did not find, and names it.
  void Compute(const Reservation& reservation, const std::vector<uint64_t>& hashes) {
    const SequenceId id = Must(admission_->BeginSequence(reservation.id));
    const Tokens more = reservation.prompt_tokens - cache_->Length(id);
    if (more > Tokens(0)) cache_->Commit(*cache_->PlanAppend(id, more));
    if (hashes.empty()) return;
    const int64_t found = cache_->Found(id).value();
    admission_->Name(reservation.id,
                     BlockNames::OfHashes(hashes).Subrange(found, std::ssize(hashes) - found));
  }
  void Serve(const std::vector<uint64_t>& hashes, std::string tenant = "t") {
    const Reservation reservation = Reserve(Named(hashes, std::ssize(hashes), std::move(tenant)));
    Compute(reservation, hashes);
    admission_->EndSequence(reservation.id);
    admission_->CheckInvariants();
  }
};

TEST_F(PrefixAdmissionTest, WhatIsThereIsHeldFromTheGrantAndTheRestPromised) {
  Serve({1, 2, 3});
  EXPECT_EQ(cache_->counts().cached, Blocks(3));
  const Reservation held = Reserve(Named({1, 2, 9}, 6));
  EXPECT_EQ(held.blocks, Blocks(6));
  EXPECT_EQ(held.prefix_blocks, Blocks(2));
  EXPECT_EQ(cache_->counts().live, Blocks(2)) << "no sequence runs yet, and nobody may evict them";
  EXPECT_EQ(cache_->counts().reserved, Blocks(4));
  const SequenceId sequence = Must(admission_->BeginSequence(held.id));
  EXPECT_EQ(cache_->Length(sequence), Tokens(32));
  admission_->EndSequence(held.id);
  EXPECT_EQ(cache_->counts().cached, Blocks(3));
  EXPECT_EQ(cache_->available(), Blocks(10));
}

TEST_F(PrefixAdmissionTest, CachedBlocksMakeRoomForOthers) {
  Serve({1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(admission_->Snapshot().headroom, Blocks(10));
  Hold(9);
  EXPECT_EQ(cache_->counts().cached, Blocks(1));
  EXPECT_EQ(Refused(RequestOf(32, 0)).missing, Blocks(1));
}

// Eight of ten blocks are held; a request for five fits since it shares three of them.
TEST_F(PrefixAdmissionTest, WhatIsSharedNeedsNoRoom) {
  const Reservation first = Reserve(Named({1, 2, 3}, 8));
  Compute(first, {1, 2, 3});
  EXPECT_FALSE(IsAdmitted(admission_->CanAdmit(RequestOf(16 * 5, 0))));
  EXPECT_TRUE(IsAdmitted(admission_->CanAdmit(Named({1, 2, 3}, 5))));
  EXPECT_EQ(Refused(Named({1, 2, 3}, 6)).missing, Blocks(1));
  EXPECT_EQ(Refused(Named({1, 2, 3}, 5, "other")).missing, Blocks(3)) << "another tenant's";
  Reserve(Named({1, 2, 3}, 5));
  EXPECT_EQ(free(), Blocks(0));
}

// They are bounded together with who waits: 2^20 of them.
TEST_F(PrefixAdmissionTest, HashesOfThoseWhoWaitAreBounded) {
  admission_ = nullptr;
  cache_ = Must(KvCache::Create({.capacity = Blocks(600'000), .eviction = Eviction::kLru}));
  Restart({.epoch = "e1"});
  Hold(600'000);
  const auto wait = [&](int64_t hashes) {
    return admission_->ReserveOrWait(
        Named(std::vector<uint64_t>(static_cast<size_t>(hashes)), hashes), std::chrono::seconds(9),
        [](const Answer&) {});
  };
  const int64_t half = 1 << 19;
  const std::optional<int64_t> first = Must(wait(half));
  Must(wait(half));
  EXPECT_TRUE(absl::IsResourceExhausted(wait(1).status()));
  admission_->CancelWait(*first);
  EXPECT_TRUE(wait(1).ok());
}

// Of three blocks that are there, the one with the last token is computed again; and a running
// sequence names what it computed, unless it was suspended.
TEST_F(PrefixAdmissionTest, WhoRunsSequencesComputesTheLastTokenAndNamesTheRest) {
  admission_ = nullptr;
  AdmissionOptions options{.epoch = "e1"};
  options.policy = {.policy = Policy::kWatermark, .watermark = 0};
  options.last_token_is_computed = true;
  Restart(options);
  const auto run = [&](const std::string& tenant, bool suspended) {
    ReservationRequest request = Named({1, 2, 3}, 3, tenant);
    request.max_new_tokens = Tokens(16);
    const Reservation held = Reserve(request);
    const SequenceId id = Must(admission_->BeginSequence(held.id));
    if (suspended) {
      admission_->SuspendSequence(held.id);
      EXPECT_EQ(admission_->ResumeSequence(held.id), Reason::kNone);
    }
    cache_->Commit(*cache_->PlanAppend(id, Tokens(48) - cache_->Length(id)));
    admission_->NamePrefix(held.id);
    admission_->NamePrefix(held.id);
    admission_->EndSequence(held.id);
    admission_->CheckInvariants();
    return held.prefix_blocks;
  };
  EXPECT_EQ(run("t", false), Blocks(0));
  EXPECT_EQ(cache_->counts().cached, Blocks(3));
  EXPECT_EQ(run("t", false), Blocks(2));
  EXPECT_EQ(cache_->counts().cached, Blocks(3)) << "what it computed again was there";
  EXPECT_EQ(run("other", true), Blocks(0));
  EXPECT_EQ(run("other", false), Blocks(0)) << "nobody knows what it found as it resumed";
}

TEST_F(PrefixAdmissionTest, ALeaseThatEndsLetsGoOfThePrefix) {
  Serve({1, 2});
  Reserve(Named({1, 2}, 4));
  After(std::chrono::seconds(6));
  EXPECT_EQ(cache_->counts().cached, Blocks(2));
  EXPECT_EQ(cache_->counts().reserved, Blocks(0));
}

TEST_F(PrefixAdmissionTest, AReservationMayGrowBeforeItsSequenceRuns) {
  Serve({1, 2});
  const Reservation held = Reserve(Named({1, 2}, 4));
  EXPECT_TRUE(IsAdmitted(Must(admission_->Extend(held.id, Tokens(16 * 7)))));
  EXPECT_EQ(cache_->counts().reserved, Blocks(5));
  admission_->CheckInvariants();
  EXPECT_TRUE(admission_->Release(held.id).ok());
  EXPECT_EQ(cache_->available(), Blocks(10));
}

TEST_F(PrefixAdmissionTest, WhoWaitsIsServedOnceItsPrefixIsComputed) {
  const Reservation first = Reserve(Named({1, 2, 3}, 8));
  Must(admission_->ReserveOrWait(
      Named({1, 2, 3}, 5), std::chrono::seconds(100),
      [this](const Answer& answer) { answers_.emplace_back("second", answer); }));
  EXPECT_THAT(Answered(), testing::IsEmpty());
  Compute(first, {1, 2, 3});
  admission_->Advance();
  EXPECT_THAT(Answered(), testing::ElementsAre("second"));
}

TEST_F(PrefixAdmissionTest, MoreHashesThanFullBlocksAreRefusedByName) {
  ReservationRequest request = RequestOf(31, 100);
  request.prefix_hashes = {1, 2};
  const auto answer = admission_->Reserve(request);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(answer.status().message()), testing::HasSubstr("prefix_hashes=2 hashes"));
}

TEST_F(PrefixAdmissionTest, ARepeatWithOtherHashesIsOtherContent) {
  ReservationRequest request = Named({1, 2}, 2);
  request.request_id = "r";
  Reserve(request);
  request.prefix_hashes = {1};
  EXPECT_EQ(admission_->Reserve(request).status().code(), absl::StatusCode::kInvalidArgument);
}

// Clients that come, go, crash and grow, in any order: nothing is lost, and in the end everything
// is free or cached.
TEST_F(PrefixAdmissionTest, WhateverHappensEveryBlockComesBack) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 random(static_cast<uint32_t>(seed));
  struct Client {
    Reservation reservation;
    std::vector<uint64_t> hashes;
    bool runs = false;
  };
  std::map<std::string, Client> clients;
  for (int step = 0; step < 5000; ++step) {
    After(std::chrono::milliseconds(random() % 2000));
    std::erase_if(clients, [&](const auto& c) { return !admission_->Get(c.first).ok(); });
    if (clients.empty() || random() % 3 == 0) {
      std::vector<uint64_t> hashes;
      for (auto n = random() % 5; n > 0; --n) hashes.push_back(10 * hashes.size() + random() % 2);
      const auto blocks = std::ssize(hashes) + static_cast<int64_t>(random() % 4);
      if (blocks == 0) continue;
      const Answer answer = Must(admission_->Reserve(Named(hashes, blocks)));
      if (!IsAdmitted(answer)) continue;
      const auto& reservation = std::get<Reservation>(answer);
      clients[reservation.id] = {reservation, hashes};
      continue;
    }
    auto& [id, client] =
        *std::next(clients.begin(), static_cast<int64_t>(random() % clients.size()));
    if (random() % 4 == 0 && !client.runs) {
      ASSERT_TRUE(admission_->Release(id).ok());
    } else if (!client.runs) {
      Compute(client.reservation, client.hashes);
      client.runs = true;
    } else if (random() % 2 == 0) {
      Must(admission_->Extend(id, client.reservation.prompt_tokens + Tokens(1 + random() % 40)));
    } else {
      admission_->EndSequence(id);
    }
    admission_->CheckInvariants();
  }
  for (const auto& [id, client] : clients) {
    if (client.runs && admission_->Get(id).ok()) admission_->EndSequence(id);
  }
  After(std::chrono::minutes(5));
  EXPECT_EQ(cache_->available(), Blocks(10));
}

}  // namespace
}  // namespace plimsoll
