// Small models of several groups, and prompts for them: what tests of sharing write alike.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/pool/group_cache.h"
#include "tests/kvcache/pool/group_engine.h"

namespace plimsoll {

// Blocks of four tokens. Slabs hold six blocks of the first size, two of the second, one state.
inline constexpr LayerGroup kFull{Retention::All(), Bytes(160)};
inline constexpr LayerGroup kWindow{Retention::Window(Tokens(16)), Bytes(400)};
inline constexpr LayerGroup kLatent{Retention::All(), Bytes(33)};
inline constexpr LayerGroup kState{Retention::State(), Bytes(700)};

inline GroupCacheOptions Options(std::vector<LayerGroup> groups, int64_t slabs, int64_t every = 0) {
  return {.slab_bytes = Bytes(1000),
          .slabs = slabs,
          .block_tokens = Tokens(4),
          .step = Tokens(4),
          .groups = std::move(groups),
          .sharing = GroupSharing{.checkpoint_every = Tokens(every), .nodes = 100}};
}

inline std::vector<int32_t> CountUp(int64_t n, int32_t from = 0) {
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  std::iota(tokens.begin(), tokens.end(), from);
  return tokens;
}

// The first `same` tokens, then others.
inline std::vector<int32_t> Branch(int64_t same, int64_t n) {
  std::vector<int32_t> tokens = CountUp(n);
  for (size_t i = static_cast<size_t>(same); i < tokens.size(); ++i) tokens[i] += 10000;
  return tokens;
}

inline int64_t Found(GroupEngine& engine, const std::vector<int32_t>& tokens,
                     const std::string& salt = "a") {
  return engine.cache().Find({salt, engine.Names(tokens, 0, std::ssize(tokens))}).value();
}

}  // namespace plimsoll
