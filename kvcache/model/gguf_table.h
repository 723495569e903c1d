// The tensors of a GGUF file by block and name, and as a model's tensors.
//
// Threads: none. Cost: O(tensors). Errors: InvalidArgument naming the tensor.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/model/gguf_header.h"
#include "kvcache/model/model_config.h"

namespace plimsoll {

class GgufTable {
 public:
  // `header` outlives the table. Refuses a block's number of `blocks` or above.
  static absl::StatusOr<GgufTable> Of(const GgufHeader& header, int64_t blocks);

  // Null where there is none. Names have no "blk.N.": "attn_k.weight".
  const GgufTensor* Find(std::string_view name) const;
  const GgufTensor* FindIn(int64_t block, std::string_view name) const;

  // Adds the tensors to the model: equal tensors of several blocks (name, shape and type) as one
  // family, `active` of those of experts in use. Blocks from `layers` on are a prediction block and
  // left out. Fills model.headers with the totals.
  void AddTo(int64_t layers, int64_t active, ModelConfig& model) const;

 private:
  using Names = std::map<std::string_view, const GgufTensor*>;

  const GgufHeader* header_ = nullptr;
  Names outside_;
  std::vector<Names> blocks_;
};

}  // namespace plimsoll
