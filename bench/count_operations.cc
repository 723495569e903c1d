// Does one kind of operation so many times, for a tool that counts instructions: count_instructions
// runs it with two counts and divides the difference. It times nothing.
//
//   count_operations pool|pool_lowest|look_up|serve|grow|snapshot|admit COUNT
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/caches.h"
#include "kvcache/admission/admission_controller.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr int64_t kBlocks = 16 * kPromptBlocks;
constexpr Blocks kChunk(256);

std::vector<int32_t> PromptNumber(int64_t number) {
  std::mt19937 random(static_cast<uint32_t>(number));
  std::vector<int32_t> tokens(static_cast<size_t>(kPromptBlocks * kBlockTokens.value()));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % 128000);
  return tokens;
}

// 128 blocks taken and given back.
void TakeAndGiveBack(BlockPool pool, int64_t count) {
  std::vector<BlockId> taken;
  for (int64_t i = 0; i < count; ++i) {
    taken.clear();
    PLIMSOLL_CHECK(pool.TryAcquire(Blocks(kPromptBlocks), taken));
    pool.Release(taken);
  }
}

void Pool(int64_t count) { TakeAndGiveBack(*BlockPool::Create(Blocks(kBlocks)), count); }

// The lowest first.
void PoolLowest(int64_t count) {
  TakeAndGiveBack(*BlockPool::Create(Blocks(kBlocks), kChunk), count);
}

// A prompt of 128 blocks, all of which are there.
void LookUp(int64_t count) {
  OurCache<Eviction::kLru> cache(kBlocks);
  const auto prompt = PromptNumber(0);
  cache.Serve(prompt);
  for (int64_t i = 0; i < count; ++i) PLIMSOLL_CHECK(cache.Find(prompt) == kPromptBlocks);
}

// A prompt of 128 blocks, none of which is there, in a cache that must evict as many.
void Serve(int64_t count) {
  OurCache<Eviction::kLru> cache(kBlocks);
  std::vector<std::vector<int32_t>> prompts;
  for (int64_t i = 0; i < 32; ++i) prompts.push_back(PromptNumber(i));
  for (int64_t i = 0; i < count + 32; ++i) {
    PLIMSOLL_CHECK(cache.Serve(prompts[static_cast<size_t>(i % 32)]) == 0);
  }
}

// A token more, block by block.
void Grow(int64_t count) {
  const auto cache = *KvCache::Create({.capacity = Blocks(1 + count / kBlockTokens.value())});
  const SequenceId id = cache->Begin(Blocks(0));
  for (int64_t i = 0; i < count; ++i) cache->Commit(*cache->PlanAppend(id, Tokens(1)));
}

void Snapshot(int64_t count) {
  SnapshotPublisher published;
  for (int64_t i = 0; i < count; ++i) PLIMSOLL_CHECK(published.Read().revision == 0);
}

// A reservation and its release, beside a thousand that are held; as many ended ones are known as
// fit the byte cap, so that each new one has an old one forgotten.
void Admit(int64_t count) {
  const SimulatedClock clock;
  const auto cache = *KvCache::Create({.capacity = Blocks(100'000)});
  const auto admission = *AdmissionController::Create(
      {.epoch = "0123456789abcdef", .idempotency_bytes = Bytes(4 << 20)}, *cache, clock);
  int64_t next = 0;
  const auto reserve = [&] {
    const absl::StatusOr<Answer> answer = admission->Reserve(
        {.request_id = "00000001-0000-4000-8000-" + std::to_string(100'000'000'000 + ++next),
         .tenant = "tenant-" + std::to_string(next % 8),
         .prompt_tokens = Tokens(40),
         .max_new_tokens = Tokens(24)});
    return std::get<Reservation>(*answer).id;
  };
  for (int64_t i = 0; i < 1000; ++i) reserve();
  for (int64_t i = 0; i < 10'000 + count; ++i) {
    PLIMSOLL_CHECK(admission->Release(reserve()).ok());
  }
}

int Run(const std::string& operation, int64_t count) {
  const std::map<std::string, void (*)(int64_t)> operations = {
      {"pool", Pool}, {"pool_lowest", PoolLowest}, {"look_up", LookUp}, {"serve", Serve},
      {"grow", Grow}, {"snapshot", Snapshot},      {"admit", Admit}};
  const auto found = operations.find(operation);
  if (found == operations.end() || count <= 0) {
    std::cerr
        << "usage: count_operations pool|pool_lowest|look_up|serve|grow|snapshot|admit COUNT\n";
    return 2;
  }
  found->second(count);
  return 0;
}

}  // namespace
}  // namespace plimsoll

int main(int argc, char** argv) {
  return plimsoll::Run(argc == 3 ? argv[1] : "", argc == 3 ? std::atoll(argv[2]) : 0);
}
