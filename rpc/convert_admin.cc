#include "rpc/convert_admin.h"

#include <limits>
#include <string>

#include "kvcache/base/errors.h"
#include "rpc/bounds.h"

namespace plimsoll {
namespace {

constexpr int64_t kMostBlocks = std::numeric_limits<int32_t>::max();
constexpr int64_t kMostBytes = int64_t{1} << 62;

absl::StatusOr<Blocks> BlocksOfBytes(int64_t pool_bytes, Bytes block_bytes) {
  if (block_bytes == Bytes(0)) {
    return BadField("pool_bytes", pool_bytes,
                    "total_blocks: no model says how large a block of this pool is");
  }
  Bounds bounds;
  const int64_t bytes = bounds.NumberIn("pool_bytes", pool_bytes, block_bytes.value(), kMostBytes);
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return BlocksFittingIn(Bytes(bytes), block_bytes);
}

}  // namespace

v1::ResizePoolRequest ToWire(const PoolSize& size) {
  v1::ResizePoolRequest out;
  if (const auto* const blocks = std::get_if<Blocks>(&size)) {
    out.set_total_blocks(blocks->value());
  } else {
    out.set_pool_bytes(std::get<Bytes>(size).value());
  }
  return out;
}

absl::StatusOr<Blocks> TotalBlocksFrom(const v1::ResizePoolRequest& in, Bytes block_bytes) {
  switch (in.size_case()) {
    case v1::ResizePoolRequest::kPoolBytes:
      return BlocksOfBytes(in.pool_bytes(), block_bytes);
    case v1::ResizePoolRequest::kTotalBlocks: {
      Bounds bounds;
      const int64_t blocks = bounds.NumberIn("total_blocks", in.total_blocks(), 1, kMostBlocks);
      PLIMSOLL_RETURN_IF_ERROR(bounds.status());
      return Blocks(blocks);
    }
    case v1::ResizePoolRequest::SIZE_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("size: want total_blocks or pool_bytes");
}

v1::ResizePoolResponse ToWire(const PoolResized& resized) {
  v1::ResizePoolResponse out;
  out.set_previous_blocks(resized.before.value());
  out.set_total_blocks(resized.now.value());
  out.set_evicted_blocks(resized.evicted.value());
  out.set_moved_blocks(resized.moved.value());
  return out;
}

absl::StatusOr<PoolResized> FromWire(const v1::ResizePoolResponse& in) {
  Bounds bounds;
  const PoolResized resized{.before = bounds.BlocksIn("previous_blocks", in.previous_blocks()),
                            .now = bounds.BlocksIn("total_blocks", in.total_blocks()),
                            .evicted = bounds.BlocksIn("evicted_blocks", in.evicted_blocks()),
                            .moved = bounds.BlocksIn("moved_blocks", in.moved_blocks())};
  PLIMSOLL_RETURN_IF_ERROR(bounds.status());
  return resized;
}

}  // namespace plimsoll
