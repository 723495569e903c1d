#include "engine/device/pool_memory.h"

#include <utility>
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

// A GPU maps 2 MiB at least. In chunks of 64 MiB a pool of any size has files enough to be exported
// and few enough to be sent.
constexpr int64_t kGranulesPerChunk = 32;

}  // namespace

absl::StatusOr<std::unique_ptr<PoolMemory>> PoolMemory::Create(const DeviceBackend& backend,
                                                               const Options& options) {
  PLIMSOLL_CHECK(options.blocks <= options.most, options.blocks, options.most);
  const bool on_host = backend.ops().device == Device::kCpu;
  const Bytes chunk = on_host ? backend.ChunkGranule() : kGranulesPerChunk * backend.ChunkGranule();
  absl::StatusOr<std::unique_ptr<Arena>> arena =
      backend.CreateArena(options.most.value() * options.block_bytes, chunk);
  if (!arena.ok()) return arena.status();
  std::unique_ptr<PoolMemory> memory(new PoolMemory(backend, options, *std::move(arena)));
  PLIMSOLL_RETURN_IF_ERROR(memory->Prepare(options.blocks, {}));
  return memory;
}

PoolMemory::PoolMemory(const DeviceBackend& backend, const Options& options,
                       std::unique_ptr<Arena> arena)
    : backend_(backend), options_(options), arena_(std::move(arena)) {}

int64_t PoolMemory::ChunksFor(Blocks total) const {
  const Bytes bytes = total.value() * options_.block_bytes;
  return CeilDivide(bytes.value(), arena_->chunk_bytes().value());
}

int64_t PoolMemory::Committed() const {
  return arena_->committed_bytes().value() / arena_->chunk_bytes().value();
}

absl::Status PoolMemory::Prepare(Blocks total, std::span<const BlockMove> moves) {
  const int64_t there = Committed(), wanted = ChunksFor(total);
  if (wanted > there) {
    const ChunkRange more{.first = there, .count = wanted - there};
    PLIMSOLL_RETURN_IF_ERROR(arena_->Commit(more));
    if (options_.poison) PLIMSOLL_RETURN_IF_ERROR(Poison(more));
  }
  if (moves.empty()) return absl::OkStatus();
  std::vector<DeviceCopy> copies;
  const auto at = [&](BlockId block) {
    return arena_->base() + block.index() * options_.block_bytes.value();
  };
  for (const auto& [from, to] : moves) copies.push_back({at(to), at(from), options_.block_bytes});
  return backend_.CopyAll(copies);
}

absl::Status PoolMemory::GiveBackBeyond(Blocks total) {
  const int64_t there = Committed(), wanted = ChunksFor(total);
  if (wanted >= there) return absl::OkStatus();
  return arena_->Decommit({.first = wanted, .count = there - wanted});
}

absl::Status PoolMemory::Poison(ChunkRange range) const {
  const Bytes chunk = arena_->chunk_bytes();
  const std::vector<std::byte> poison(static_cast<size_t>(chunk.value()), std::byte{0xff});
  for (int64_t i = range.first; i < range.first + range.count; ++i) {
    PLIMSOLL_RETURN_IF_ERROR(
        backend_.CopyToDevice(arena_->base() + i * chunk.value(), poison.data(), chunk));
  }
  return absl::OkStatus();
}

}  // namespace plimsoll
