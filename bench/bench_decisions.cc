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
    for (int64_t i = 0; i < kRunning; ++i) {
      const ReservationRequest request = Next();
      const std::string id = Reserve(request);
      PLIMSOLL_CHECK(!id.empty(), i);
      held_.push_back({id, request.prompt_tokens, request.prompt_tokens + Tokens(200)});
    }
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
  // There are blocks for it, but not once those who run have grown.
  ReservationRequest Wide() {
    ReservationRequest wide = Next();
    wide.prompt_tokens = cache_->available().value() * Tokens(16) - Tokens(2000);
    return wide;
  }
  // One holder reports a token more; they take turns.
  void GrowNext() {
    Held& held = held_[next_held_++ % held_.size()];
    if (held.tokens < held.most) held.tokens += Tokens(1);
    clock_.Advance(std::chrono::microseconds(3));
    const absl::StatusOr<Answer> answer = admission_->Extend(held.id, held.tokens);
    PLIMSOLL_CHECK(answer.ok() && std::holds_alternative<Reservation>(*answer), held.id);
  }
  void GrowAll() {
    for (int64_t i = 0; i < 2 * kRunning; ++i) GrowNext();
  }
  bool AnswersRightly() {
    ReservationRequest huge = Next();
    huge.prompt_tokens = Tokens(kBlocks * 16);
    const bool never = std::get<Refusal>(admission_->CanAdmit(huge)).decision == Decision::kNever;
    const bool fits = std::holds_alternative<Reservation>(admission_->CanAdmit(Next()));
    return never && fits && std::holds_alternative<Refusal>(admission_->CanAdmit(Wide()));
  }

 private:
  struct Held {
    std::string id;
    Tokens tokens, most;
  };

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

  std::vector<Held> held_;
  size_t next_held_ = 0;
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

// Holders report how far they are, so a refusal comes with an estimated wait.
void BM_Refuse(benchmark::State& state) {
  BusyServer server({});
  server.GrowAll();
  ReservationRequest all = server.Next();  // the whole pool, which many would have to leave
  all.prompt_tokens = Tokens(kBlocks * 16) - all.max_new_tokens;
  const Answer answer = server.admission().CanAdmit(all);
  const Refusal* const refusal = std::get_if<Refusal>(&answer);
  if (refusal == nullptr || refusal->decision != Decision::kWait) {
    return state.SkipWithError("wrong answer");
  }
  for (auto _ : state) benchmark::DoNotOptimize(server.admission().CanAdmit(all));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Refuse);

// What a holder's report costs: an extension by one token, of one after the other.
void BM_Extend(benchmark::State& state) {
  BusyServer server({});
  for (auto _ : state) server.GrowNext();
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_Extend);

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
