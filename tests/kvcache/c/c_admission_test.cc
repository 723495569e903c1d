// Admission through the C interface, on the caller's clock.
#include <string>
#include <thread>
#include <vector>

#include "tests/kvcache/c/c_pool.h"

namespace plimsoll {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

class CAdmission : public testing::Test {
 protected:
  void MoveTo(int64_t seconds) {
    ASSERT_EQ(plimsoll_set_time(pool_.pool, seconds * kSecond, nullptr), PLIMSOLL_OK);
  }
  int64_t Tick() {
    int64_t next = -2;
    EXPECT_EQ(plimsoll_tick(pool_.pool, &next, nullptr), PLIMSOLL_OK);
    return next;
  }

  const plimsoll_admission_options options_ = OnCallersClock();
  CPool pool_{{}, &options_};
};

// By hand: 100 tokens take 7 blocks of 16, which leaves 3.
TEST_F(CAdmission, ReservesExtendsAndReleases) {
  plimsoll_answer answer;
  ASSERT_EQ(pool_.Reserve(60, 40, answer), PLIMSOLL_OK);
  EXPECT_EQ(answer.decision, PLIMSOLL_ADMITTED);
  EXPECT_STREQ(answer.reservation_id, "e1-1");
  EXPECT_EQ(answer.blocks, 7);
  EXPECT_EQ(answer.remaining_ns, 30 * kSecond);
  EXPECT_EQ(answer.confirmed, 1) << "grants need no confirmation where none is asked for";

  plimsoll_answer no;
  ASSERT_EQ(pool_.Reserve(60, 40, no), PLIMSOLL_OK);
  EXPECT_EQ(no.decision, PLIMSOLL_WAIT);
  EXPECT_EQ(no.reason, PLIMSOLL_NO_FREE_BLOCKS);
  EXPECT_EQ(no.missing_blocks, 4);
  ASSERT_EQ(pool_.Reserve(160, 1, no), PLIMSOLL_OK);
  EXPECT_EQ(no.decision, PLIMSOLL_NEVER);
  EXPECT_EQ(no.reason, PLIMSOLL_NEVER_FITS);
  EXPECT_STREQ(no.binding_term, "pool");
  EXPECT_EQ(no.largest_fit_tokens, 160);

  auto more = Sized<plimsoll_answer>();
  ASSERT_EQ(plimsoll_extend(pool_.pool, "e1-1", 160, &more, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(more.blocks, 10);
  EXPECT_EQ(pool_.Snapshot().headroom_blocks, 0);
  ASSERT_EQ(plimsoll_release(pool_.pool, "e1-1", nullptr), PLIMSOLL_OK);
  ASSERT_EQ(plimsoll_release(pool_.pool, "e1-1", nullptr), PLIMSOLL_OK) << "twice is harmless";
  EXPECT_EQ(pool_.Snapshot().headroom_blocks, 10);
}

TEST_F(CAdmission, ALeaseEndsUnlessItIsRenewed) {
  plimsoll_answer answer;
  ASSERT_EQ(pool_.Reserve(60, 40, answer), PLIMSOLL_OK);
  EXPECT_EQ(Tick(), 30 * kSecond);
  MoveTo(20);
  auto renewed = Sized<plimsoll_answer>();
  ASSERT_EQ(plimsoll_renew(pool_.pool, "e1-1", &renewed, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(renewed.remaining_ns, 30 * kSecond);
  MoveTo(49);
  EXPECT_EQ(Tick(), kSecond);
  MoveTo(50);
  Tick();
  EXPECT_EQ(pool_.Snapshot().reservations, 0);
  EXPECT_EQ(pool_.Snapshot().expired, 1);
  Line why;
  EXPECT_EQ(plimsoll_renew(pool_.pool, "e1-1", &renewed, &why), PLIMSOLL_NOT_FOUND);
  EXPECT_EQ(why.text(), "no reservation e1-1: it has ended");
  EXPECT_EQ(plimsoll_renew(pool_.pool, "e0-1", &renewed, &why), PLIMSOLL_FAILED_PRECONDITION);
  EXPECT_NE(why.text().find("STALE_EPOCH"), std::string::npos) << why.text();
}

TEST(CAdmissionConfirm, AGrantEndsSoonWithoutASignOfLife) {
  plimsoll_admission_options options = OnCallersClock();
  options.confirm_window_ns = 5 * kSecond;
  CPool pool({}, &options);
  plimsoll_answer answer;
  ASSERT_EQ(pool.Reserve(60, 40, answer), PLIMSOLL_OK);
  EXPECT_EQ(answer.confirmed, 0);
  EXPECT_EQ(answer.remaining_ns, 5 * kSecond);
  ASSERT_EQ(plimsoll_set_time(pool.pool, 5 * kSecond, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(plimsoll_renew(pool.pool, "e1-1", &answer, nullptr), PLIMSOLL_NOT_FOUND);
}

TEST_F(CAdmission, WhoWaitsIsServedWhenRoomComesBack) {
  plimsoll_answer first;
  ASSERT_EQ(pool_.Reserve(100, 60, first), PLIMSOLL_OK);
  const auto request =
      Sized<plimsoll_request>({.struct_size = 0, .prompt_tokens = 16, .max_new_tokens = 0});
  int64_t served = 0, gave_up = 0, ticket = 0;
  auto answer = Sized<plimsoll_answer>();
  ASSERT_EQ(plimsoll_reserve_or_wait(pool_.pool, &request, 10 * kSecond, &served, &answer, nullptr),
            PLIMSOLL_OK);
  ASSERT_EQ(
      plimsoll_reserve_or_wait(pool_.pool, &request, 10 * kSecond, &gave_up, &answer, nullptr),
      PLIMSOLL_OK);
  EXPECT_NE(served, 0);
  EXPECT_EQ(pool_.Snapshot().waiting, 2);
  EXPECT_EQ(plimsoll_take_answer(pool_.pool, &ticket, &answer, nullptr), PLIMSOLL_NOT_FOUND);

  ASSERT_EQ(plimsoll_release(pool_.pool, first.reservation_id, nullptr), PLIMSOLL_OK);
  ASSERT_EQ(plimsoll_cancel_wait(pool_.pool, gave_up, nullptr), PLIMSOLL_OK);
  ASSERT_EQ(plimsoll_take_answer(pool_.pool, &ticket, &answer, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(ticket, served);
  EXPECT_EQ(answer.decision, PLIMSOLL_ADMITTED);
  EXPECT_EQ(pool_.Snapshot().reservations, 1) << "what was granted to the other went back";
  EXPECT_EQ(plimsoll_take_answer(pool_.pool, &ticket, &answer, nullptr), PLIMSOLL_NOT_FOUND);
}

TEST_F(CAdmission, AWaitEndsAtItsTime) {
  plimsoll_answer first;
  ASSERT_EQ(pool_.Reserve(100, 60, first), PLIMSOLL_OK);
  const auto request =
      Sized<plimsoll_request>({.struct_size = 0, .prompt_tokens = 16, .max_new_tokens = 0});
  int64_t ticket = 0, told = 0;
  auto answer = Sized<plimsoll_answer>();
  ASSERT_EQ(plimsoll_reserve_or_wait(pool_.pool, &request, 10 * kSecond, &ticket, &answer, nullptr),
            PLIMSOLL_OK);
  MoveTo(10);
  ASSERT_EQ(plimsoll_take_answer(pool_.pool, &told, &answer, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(told, ticket);
  EXPECT_EQ(answer.reason, PLIMSOLL_WAIT_TIMEOUT);
  EXPECT_STREQ(plimsoll_reason_name(answer.reason), "WAIT_TIMEOUT");
}

TEST_F(CAdmission, ASequenceLivesOnItsReservationAndNoLonger) {
  plimsoll_answer answer;
  ASSERT_EQ(pool_.Reserve(30, 2, answer), PLIMSOLL_OK);
  auto sequence = Sized<plimsoll_sequence>();
  ASSERT_EQ(plimsoll_sequence_begin_reserved(pool_.pool, answer.reservation_id, &sequence, nullptr),
            PLIMSOLL_OK);
  ASSERT_EQ(pool_.Append(sequence.id, 32), PLIMSOLL_OK);
  Line why;
  auto copy = Sized<plimsoll_block_copy>();
  EXPECT_EQ(plimsoll_sequence_append(pool_.pool, sequence.id, 1, 0, &copy, &why),
            PLIMSOLL_RESOURCE_EXHAUSTED);
  EXPECT_EQ(why.text(), "sequence 0 needs 1 blocks more than were promised: extend e1-1");
  auto more = Sized<plimsoll_answer>();
  ASSERT_EQ(plimsoll_extend(pool_.pool, "e1-1", 33, &more, nullptr), PLIMSOLL_OK);
  ASSERT_EQ(pool_.Append(sequence.id, 1), PLIMSOLL_OK);

  MoveTo(3600);
  EXPECT_EQ(pool_.Get(sequence.id).stop_requested, 0) << "it runs, so its lease does too";
  ASSERT_EQ(plimsoll_release(pool_.pool, "e1-1", nullptr), PLIMSOLL_OK);
  EXPECT_EQ(pool_.Get(sequence.id).stop_requested, 1);
  ASSERT_EQ(plimsoll_sequence_end(pool_.pool, sequence.id, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(pool_.Snapshot().reservations, 0);
  EXPECT_EQ(pool_.Snapshot().free_blocks, 10);
}

TEST(CAdmissionPrefix, ReservationsFindWhatOthersComputed) {
  const plimsoll_admission_options options = OnCallersClock();
  CPool pool({.eviction = "lru"}, &options);
  const std::vector<uint64_t> hashes = {11, 12};
  auto request = Sized<plimsoll_request>({.struct_size = 0,
                                          .prompt_tokens = 40,
                                          .max_new_tokens = 8,
                                          .prefix_hashes = hashes.data(),
                                          .prefix_hash_count = 2});
  const auto names = Sized<plimsoll_prompt>(
      {.struct_size = 0, .hashes = hashes.data(), .hash_count = hashes.size()});
  auto answer = Sized<plimsoll_answer>();
  auto sequence = Sized<plimsoll_sequence>();
  ASSERT_EQ(plimsoll_reserve(pool.pool, &request, &answer, nullptr), PLIMSOLL_OK);
  ASSERT_EQ(plimsoll_sequence_begin_reserved(pool.pool, answer.reservation_id, &sequence, nullptr),
            PLIMSOLL_OK);
  ASSERT_EQ(pool.Append(sequence.id, 40), PLIMSOLL_OK);
  ASSERT_EQ(plimsoll_sequence_name(pool.pool, sequence.id, &names, nullptr), PLIMSOLL_OK);
  Line why;
  EXPECT_EQ(plimsoll_sequence_truncate(pool.pool, sequence.id, 31, &why),
            PLIMSOLL_FAILED_PRECONDITION);
  EXPECT_EQ(why.text(), "length=31: the first 32 tokens of sequence 0 are named, and stay");
  ASSERT_EQ(plimsoll_reserve(pool.pool, &request, &answer, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(answer.prefix_blocks, 2);
  EXPECT_EQ(answer.blocks, 3);
}

TEST(CAdmissionTenants, HaveTheirQuotasAndClassesTheirPolicies) {
  plimsoll_admission_options options = OnCallersClock();
  const plimsoll_quota quotas[] = {{.tenant = "a", .guaranteed = 4, .most = 0},
                                   {.tenant = nullptr, .guaranteed = 0, .most = 5}};
  const plimsoll_class classes[] = {
      {.name = "batch", .policy = "watermark", .watermark = 0.1, .overflow_goal = 0}};
  options.quotas = quotas;
  options.quota_count = 2;
  options.classes = classes;
  options.class_count = 1;
  CPool pool({}, &options);
  auto request = Sized<plimsoll_request>(
      {.struct_size = 0, .tenant = "b", .prompt_tokens = 96, .max_new_tokens = 0});
  auto answer = Sized<plimsoll_answer>();
  ASSERT_EQ(plimsoll_can_admit(pool.pool, &request, &answer, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(answer.reason, PLIMSOLL_TENANT_LIMIT) << "6 blocks, at most 5";
  request.request_class = "batch";
  request.prompt_tokens = 31;
  request.max_new_tokens = 40;
  ASSERT_EQ(plimsoll_reserve(pool.pool, &request, &answer, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(answer.blocks, 2) << "its prompt and one token";
}

TEST(CAdmissionThreads, ReserveAndReleaseAtOnce) {
  const auto options = Sized<plimsoll_admission_options>();
  CPool pool({}, &options);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        plimsoll_answer answer;
        ASSERT_EQ(pool.Reserve(30, 2, answer), PLIMSOLL_OK);
        if (answer.decision != PLIMSOLL_ADMITTED) continue;
        ASSERT_EQ(plimsoll_release(pool.pool, answer.reservation_id, nullptr), PLIMSOLL_OK);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.Snapshot().free_blocks, 10);
}

}  // namespace
}  // namespace plimsoll
