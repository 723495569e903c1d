#include "engine/ops/arguments.h"
#include "engine/ops/float16.h"
#include "engine/ops/reference.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {

absl::Status Embed(const EmbedArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  const WeightView& table = args.table;
  for (int64_t r = 0; r < args.rows; ++r) {
    for (int64_t c = 0; c < table.cols; ++c) {
      const float element = ReadElement(table.data, table.type, args.Id(r) * table.cols + c);
      args.out[r * table.cols + c] = args.scale * element;
    }
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
