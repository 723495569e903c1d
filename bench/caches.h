// Prefix caches behind one face: ours and those of bench/peers. Prompts are 128 blocks of 16
// tokens.
//
// Each has: Serve, one request from looking its prompt up to keeping it, which returns the blocks
// that it found; Find, which only looks; Admit, which takes 128 blocks for a prompt of which
// nothing is there; and Undo, which gives back, to nobody's use, what the latest `Admit`s took.
// Their blocks are in random order from the start, as in a pool that has served for a while.
//
// Threads: none. Errors: none; a cache that is too small aborts.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "bench/peers/intrusive_list_pool.h"
#include "bench/peers/radix_tree_cache.h"
#include "bench/peers/sorted_vector_pool.h"
#include "kvcache/pool/kv_cache.h"

namespace plimsoll {

inline constexpr int64_t kPromptBlocks = 128;
inline constexpr Tokens kBlockTokens(16);

using Tokens32 = std::span<const int32_t>;

template <Eviction kEviction>
class OurCache {
 public:
  explicit OurCache(int64_t blocks);

  int64_t Serve(Tokens32 tokens);
  int64_t Find(Tokens32 tokens) const { return cache_->Find(PromptOf(tokens)).blocks.value(); }
  void Admit(Tokens32 tokens);
  void Undo();

 private:
  static Prompt PromptOf(Tokens32 tokens) {
    return {.salt = {}, .names = BlockNames::OfTokens(tokens, kBlockTokens)};
  }

  std::unique_ptr<KvCache> cache_;
  std::vector<SequenceId> admitted_;
};

// vLLM's way, with our hash.
class ListCache {
 public:
  explicit ListCache(int64_t blocks);

  int64_t Serve(Tokens32 tokens);
  int64_t Find(Tokens32 tokens);
  void Admit(Tokens32 tokens);
  void Undo();

 private:
  void MakeKeys(Tokens32 tokens);

  const PrefixHasher hasher_{1};
  peers::IntrusiveListPool pool_;
  std::vector<PrefixKey> keys_;
  std::vector<BlockId> blocks_, admitted_;
};

// SGLang's way.
class TreeCache {
 public:
  explicit TreeCache(int64_t blocks);

  int64_t Serve(Tokens32 tokens);
  int64_t Find(Tokens32 tokens);
  void Admit(Tokens32 tokens);
  void Undo();

 private:
  peers::RadixTreeCache tree_;
  std::vector<BlockId> blocks_, admitted_;
};

// Classic TurboMind's way: only its blocks, nothing is looked up.
class SortedCache {
 public:
  explicit SortedCache(int64_t blocks);

  int64_t Serve(Tokens32 tokens);
  void Admit(Tokens32 tokens);
  void Undo();

 private:
  peers::SortedVectorPool pool_;
  std::vector<BlockId> blocks_, admitted_;
};

}  // namespace plimsoll
