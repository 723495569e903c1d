// Eight threads on one controller: six do everything that a server's threads and its loop do, two
// read. Every answer must be true of what the thread holds, every snapshot whole, and at the end
// nothing is held.
#include "kvcache/admission/shared_admission.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kvcache/base/clock.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;

constexpr Blocks kPool(96);
constexpr int kRounds = 2000;

using OnAdmission = AdmissionController&;

// What a queued caller hears, on whatever thread it is said.
struct Heard {
  std::atomic<bool> said = false;
  Answer answer;

  void Say(const Answer& its_answer) {
    answer = its_answer;
    said.store(true, std::memory_order_release);
  }
};

// One of the threads that change something.
class Worker {
 public:
  Worker(SharedAdmission& shared, uint32_t seed, int number)
      : shared_(shared),
        random_(seed + static_cast<uint32_t>(number)),
        tenant_("tenant " + std::to_string(number % 3)) {}

  void Run() {
    for (int round = 0; round < kRounds && !testing::Test::HasFailure(); ++round) {
      const ReservationRequest request = SomeRequest();
      const Answer answer = Upto(2) == 0 ? Wait(request) : Ask(request);
      if (const auto* const held = std::get_if<Reservation>(&answer)) Use(*held, request);
    }
  }

 private:
  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }

  // Half of the prompts begin alike.
  ReservationRequest SomeRequest() {
    ReservationRequest request{.tenant = tenant_,
                               .prompt_tokens = Tokens(64 + Upto(200)),
                               .max_new_tokens = Tokens(Upto(100))};
    if (Upto(1) == 0) request.prefix_hashes = {1, 2, 3, static_cast<uint64_t>(4 + Upto(3))};
    return request;
  }

  Answer Ask(const ReservationRequest& request) {
    return *shared_.With([&](OnAdmission admission) { return admission.Reserve(request); });
  }

  Answer Wait(const ReservationRequest& request) {
    const auto heard = std::make_shared<Heard>();
    const auto ticket = *shared_.With([&](OnAdmission admission) {
      return admission.ReserveOrWait(request, milliseconds(Upto(3)),
                                     [heard](const Answer& answer) { heard->Say(answer); });
    });
    while (ticket && !heard->said.load(std::memory_order_acquire)) {
      std::this_thread::yield();
      shared_.With([](OnAdmission admission) { admission.Advance(); });
    }
    return heard->answer;
  }

  void Use(const Reservation& held, const ReservationRequest& request) {
    EXPECT_EQ(held.tenant, tenant_);
    EXPECT_GE(held.blocks.value() * Tokens(16), held.prompt_tokens + held.max_new_tokens);
    const std::string& id = held.id;
    EXPECT_TRUE(shared_.With([&](OnAdmission a) { return a.Renew(id); }).ok());
    if (Upto(3) == 0) return Generate(held, request.prefix_hashes);
    const Tokens more = held.prompt_tokens + held.max_new_tokens + Tokens(Upto(40));
    EXPECT_TRUE(shared_.With([&](OnAdmission a) { return a.Extend(id, more); }).ok());
    EXPECT_TRUE(shared_.With([&](OnAdmission a) { return a.Release(id); }).ok());
  }

  // The loop's part: each step of it takes the lock anew, as the loop does.
  void Generate(const Reservation& held, const std::vector<uint64_t>& hashes) {
    const std::string& id = held.id;
    const auto begun = shared_.With([&](OnAdmission a) { return a.BeginSequence(id); });
    ASSERT_TRUE(begun.ok()) << begun.status();
    const Tokens total = held.prompt_tokens + held.max_new_tokens;
    Tokens length = shared_.With([&](OnAdmission a) { return a.cache().Length(*begun); });
    while (length < total) {
      const Tokens step(std::min<int64_t>((total - length).value(), 1 + Upto(60)));
      shared_.With([&](OnAdmission a) {
        const auto plan = a.cache().PlanAppend(*begun, step);
        ASSERT_TRUE(plan.has_value()) << "a promise was not kept";
        a.cache().Commit(*plan);
        a.Advance();
      });
      length += step;
    }
    shared_.With([&](OnAdmission a) {
      const BlockNames names = BlockNames::OfHashes(hashes);
      const int64_t found = names.size() > 0 ? a.cache().Found(*begun).value() : 0;
      if (names.size() > found) {
        a.Name(id, names.Subrange(found, names.size() - found));
      }
      a.EndSequence(id);
    });
  }

  SharedAdmission& shared_;
  std::mt19937 random_;
  const std::string tenant_;
};

void ReadUntil(const std::atomic<int>& working, const SnapshotPublisher& published) {
  int64_t revision = 0;
  while (working > 0) {
    const AdmissionSnapshot seen = published.Read();
    ASSERT_TRUE(seen.blocks.Conserved());
    ASSERT_EQ(seen.blocks.total, kPool);
    ASSERT_GE(seen.revision, revision);
    ASSERT_GE(seen.admitted, seen.released);
    revision = seen.revision;
    std::this_thread::yield();
  }
}

TEST(SharedAdmission, EightThreadsKeepEveryPromise) {
  const auto seed = static_cast<uint32_t>(testing::UnitTest::GetInstance()->random_seed());
  SCOPED_TRACE("seed " + std::to_string(seed));
  const SystemClock clock;
  const auto cache = *KvCache::Create({.capacity = kPool, .eviction = Eviction::kLru});
  SharedAdmission shared(*AdmissionController::Create({.epoch = "e"}, *cache, clock));
  std::atomic<int> working = 6;
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&shared, &working, seed, i] {
      Worker(shared, seed, i).Run();
      --working;
    });
  }
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] { ReadUntil(working, shared.published()); });
  }
  for (std::thread& thread : threads) thread.join();
  const AdmissionSnapshot last = shared.published().Read();
  EXPECT_EQ(last.blocks.free + last.blocks.cached, kPool);
  EXPECT_EQ(last.reservations, 0);
  EXPECT_GT(last.admitted, 0);
  shared.With([](OnAdmission admission) { admission.CheckInvariants(); });
}

}  // namespace
}  // namespace plimsoll
