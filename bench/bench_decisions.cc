// Decisions through the whole controller of a busy server: 10,000 reservations run under the
// quantile policy, 100,000 blocks are cached, and a request asks. The question alone (CanAdmit),
// and a grant with its end (Reserve, Release). What is answered is checked before anything is
// timed, against what the same server says of requests that must, and that cannot, fit.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/admission/admission_controller.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr int64_t kRunning = 10'000;
constexpr int64_t kCached = 100'000;
constexpr int64_t kBlocks = 560'000;  // not enough for all that those who run may ever use

class BusyServer {
 public:
  explicit BusyServer(const Quotas& quotas)
      : cache_(*KvCache::Create({.capacity = Blocks(kBlocks), .eviction = Eviction::kLru})),
        admission_(*AdmissionController::Create({.epoch = "bench",
                                                 .default_ttl = std::chrono::hours(1),
                                                 .confirm_window = Duration::zero(),
                                                 .policy = {.policy = Policy::kQuantile},
                                                 .classes = {{"whole", {}}},
                                                 .quotas = quotas},
                                                *cache_, clock_)) {
    FillCache();
    for (int64_t i = 0; i < kRunning; ++i) PLIMSOLL_CHECK(!Reserve(Next()).empty(), i);
    PLIMSOLL_CHECK(cache_->counts().cached == Blocks(kCached));
  }

  AdmissionController& admission() { return *admission_; }
  std::string Reserve(const ReservationRequest& request) {
    const absl::StatusOr<Answer> answer = admission_->Reserve(request);
    const Reservation* const held = std::get_if<Reservation>(&*answer);
    return held == nullptr ? std::string() : held->id;
  }
  void Tick() { clock_.Advance(std::chrono::microseconds(1)); }
  // Eight tenants, prompts of 16 to 1000 tokens.
  ReservationRequest Next() {
    return {.tenant = "tenant" + std::to_string(random_() % 8),
            .prompt_tokens = Tokens(static_cast<int64_t>(16 + random_() % 985)),
            .max_new_tokens = Tokens(512)};
  }
  bool AnswersRightly() {
    ReservationRequest huge = Next();
    huge.prompt_tokens = Tokens(kBlocks * 16);
    ReservationRequest wide = Next();  // there are blocks for it, but not once all others grew
    wide.prompt_tokens = cache_->available().value() * Tokens(16) - Tokens(2000);
    const bool never = std::get<Refusal>(admission_->CanAdmit(huge)).decision == Decision::kNever;
    const bool fits = std::holds_alternative<Reservation>(admission_->CanAdmit(Next()));
    return never && fits && std::holds_alternative<Refusal>(admission_->CanAdmit(wide));
  }

 private:
  // Blocks of prompts that ended.
  void FillCache() {
    constexpr int64_t kEach = 100;
    uint64_t hash = 0;
    for (int64_t done = 0; done < kCached; done += kEach) {
      std::vector<uint64_t> names(kEach);
      for (uint64_t& name : names) name = ++hash;
      const Prompt prompt{.salt = "tenant0", .names = BlockNames::OfHashes(names)};
      const SequenceId id = *cache_->BeginWith(prompt, Blocks(kEach));
      cache_->Commit(*cache_->PlanAppend(id, Tokens(kEach * 16)));
      cache_->Name(id, prompt.names);
      cache_->End(id);
    }
  }

  SimulatedClock clock_;
  std::mt19937 random_{1};
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<AdmissionController> admission_;
};

Quotas QuotasFor(int64_t tenants) {
  Quotas quotas;
  for (int64_t i = 0; i < tenants; ++i) {
    quotas.tenants["tenant" + std::to_string(i)] = {.guaranteed = Blocks(1000),
                                                    .most = Blocks(kBlocks / 2)};
  }
  return quotas;
}

std::vector<ReservationRequest> Requests(BusyServer& server) {
  std::vector<ReservationRequest> requests;
  for (int i = 0; i < 64; ++i) requests.push_back(server.Next());
  return requests;
}

void BM_CanAdmit(benchmark::State& state) {
  BusyServer server(QuotasFor(state.range(0)));
  if (!server.AnswersRightly()) return state.SkipWithError("wrong answer");
  const std::vector<ReservationRequest> requests = Requests(server);
  size_t next = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(server.admission().CanAdmit(requests[next++ % requests.size()]));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_CanAdmit)->ArgName("quotas")->Arg(0)->Arg(8);

void BM_ReserveAndRelease(benchmark::State& state) {
  BusyServer server(QuotasFor(state.range(0)));
  if (!server.AnswersRightly()) return state.SkipWithError("wrong answer");
  const std::vector<ReservationRequest> requests = Requests(server);
  size_t next = 0;
  for (auto _ : state) {
    server.Tick();
    const std::string id = server.Reserve(requests[next++ % requests.size()]);
    if (id.empty()) return state.SkipWithError("refused");
    benchmark::DoNotOptimize(server.admission().Release(id));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_ReserveAndRelease)->ArgName("quotas")->Arg(0)->Arg(8);

}  // namespace
}  // namespace plimsoll
