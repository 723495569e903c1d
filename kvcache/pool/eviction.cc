#include "kvcache/pool/eviction.h"

#include <array>
#include <string>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/pool/learned_eviction.h"
#include "kvcache/pool/list_eviction.h"

namespace plimsoll {
namespace {

constexpr std::array<std::pair<Eviction, std::string_view>, 4> kNames = {
    {{Eviction::kOff, "off"},
     {Eviction::kFifo, "fifo"},
     {Eviction::kLru, "lru"},
     {Eviction::kLearned, "learned"}}};

template <class Policy>
absl::StatusOr<std::unique_ptr<EvictionPolicy>> Made(std::unique_ptr<Policy> policy) {
  if (policy->HasMemory()) return policy;
  return absl::ResourceExhaustedError("no memory to order the blocks of the cache");
}

}  // namespace

std::string_view NameOf(Eviction eviction) {
  for (const auto& [value, name] : kNames) {
    if (value == eviction) return name;
  }
  PLIMSOLL_CHECK(false, static_cast<int>(eviction));
}

std::optional<Eviction> EvictionFromName(std::string_view name) {
  for (const auto& [value, its_name] : kNames) {
    if (its_name == name) return value;
  }
  return std::nullopt;
}

absl::StatusOr<std::unique_ptr<EvictionPolicy>> CreateEvictionPolicy(Eviction eviction,
                                                                     Blocks capacity,
                                                                     Tokens block_tokens) {
  const auto count = static_cast<size_t>(capacity.value());
  return CreateEvictionPolicy(
      eviction, capacity, block_tokens,
      {.links = BlockColumn<BlockLinks::Links>(count), .kept_at = BlockColumn<uint32_t>(count)});
}

absl::StatusOr<std::unique_ptr<EvictionPolicy>> CreateEvictionPolicy(Eviction eviction,
                                                                     Blocks capacity,
                                                                     Tokens block_tokens,
                                                                     EvictionColumns columns) {
  PLIMSOLL_CHECK(eviction != Eviction::kOff);
  auto& [links, kept_at] = columns;
  if (eviction == Eviction::kLru) return Made(std::make_unique<LruEviction>(std::move(links)));
  if (eviction == Eviction::kFifo) {
    return Made(std::make_unique<FifoEviction>(capacity, std::move(links)));
  }
  return Made(std::make_unique<LearnedEviction>(capacity, block_tokens, std::move(columns)));
}

}  // namespace plimsoll
