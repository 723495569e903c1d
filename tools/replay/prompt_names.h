// The names of a prompt's blocks, from the ids that a trace gives for every 512 tokens of it.
//
// An id stands for its tokens and all before them, so a block is named by the id of its last token
// and its place in that id's stretch. Nothing says whether two different stretches begin alike, so
// what is found by these names is a lower bound where blocks are smaller than 512 tokens.
//
// Threads: pure. Cost: O(blocks). Errors: none; a prompt without ids has no names, and one with too
// few has names as far as they go.
#pragma once

#include <cstdint>
#include <vector>

#include "kvcache/base/units.h"
#include "tools/replay/trace.h"

namespace plimsoll {

inline constexpr Tokens kTokensOfHashId(512);

// Of the first `blocks` blocks, of which the last may be part full.
std::vector<uint64_t> PromptNames(const std::vector<uint64_t>& hash_ids, Tokens prompt,
                                  Tokens block_tokens, Blocks blocks);

}  // namespace plimsoll
