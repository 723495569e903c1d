#include "engine/ops/arguments.h"
#include "engine/ops/cpu.h"
#include "kvcache/base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/ops/embed_cpu.cc"
#include "hwy/foreach_target.h"  // before highway.h

#include "hwy/highway.h"

#include "engine/ops/vectors-inl.h"

HWY_BEFORE_NAMESPACE();
namespace plimsoll {
namespace HWY_NAMESPACE {

void EmbedRows(const EmbedArgs& args) {
  const int64_t cols = args.table.cols;
  const FloatVector scale = hn::Set(Floats(), args.scale);
  WithType(args.table.type, args.table.data, [&](const auto* table) HWY_ATTR {
    for (int64_t r = 0; r < args.rows; ++r) {
      TransformFloats(table + args.Id(r) * cols, cols, args.out + r * cols,
                      [&](FloatVector v, int64_t) HWY_ATTR { return hn::Mul(v, scale); });
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace plimsoll
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace plimsoll::cpu {

HWY_EXPORT(EmbedRows);

absl::Status Embed(const EmbedArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  HWY_DYNAMIC_DISPATCH(EmbedRows)(args);
  return absl::OkStatus();
}

}  // namespace plimsoll::cpu
#endif
