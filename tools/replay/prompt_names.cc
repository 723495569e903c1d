#include "tools/replay/prompt_names.h"

#include <algorithm>

namespace plimsoll {

std::vector<uint64_t> PromptNames(const std::vector<uint64_t>& hash_ids, Tokens prompt,
                                  Tokens block_tokens, Blocks blocks) {
  const int64_t per_id = std::max<int64_t>(1, kTokensOfHashId / block_tokens);
  std::vector<uint64_t> names;
  for (int64_t i = 0; i < blocks.value(); ++i) {
    const int64_t end = std::min((i + 1) * block_tokens.value(), prompt.value());
    const auto id = static_cast<size_t>((end - 1) / kTokensOfHashId.value());
    if (id >= hash_ids.size()) break;
    names.push_back(hash_ids[id] * static_cast<uint64_t>(per_id) +
                    static_cast<uint64_t>(i % per_id));
  }
  return names;
}

}  // namespace plimsoll
