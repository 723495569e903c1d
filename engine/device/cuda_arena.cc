#include "engine/device/cuda_arena.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "engine/device/cuda_status.h"
#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

class CudaArena final : public Arena {
 public:
  CudaArena(const PlimsollCudaModule& module, PlimsollCudaArena* memory, Bytes chunk_bytes,
            int64_t chunks)
      : module_(module),
        memory_(memory),
        chunk_bytes_(chunk_bytes),
        committed_(static_cast<size_t>(chunks), false) {}
  CudaArena(const CudaArena&) = delete;
  CudaArena& operator=(const CudaArena&) = delete;
  ~CudaArena() override { module_.arena_destroy(memory_); }

  std::string_view kind() const override { return module_.arena_kind(memory_); }
  std::byte* base() const override { return static_cast<std::byte*>(module_.arena_base(memory_)); }
  Bytes chunk_bytes() const override { return chunk_bytes_; }
  int64_t chunks() const override { return std::ssize(committed_); }
  Bytes committed_bytes() const override {
    return chunk_bytes_ * std::count(committed_.begin(), committed_.end(), true);
  }

  absl::Status Commit(ChunkRange range) override;
  absl::Status Decommit(ChunkRange range) override;
  absl::StatusOr<int> Export(int64_t chunk) override;
  absl::Status Import(int64_t chunk, int file, bool writable) override;

 private:
  // OK if every chunk of `range` exists and is committed or not as `committed` says.
  absl::Status CheckState(ChunkRange range, bool committed) const;
  void Mark(ChunkRange range, bool committed) {
    std::fill_n(committed_.begin() + range.first, range.count, committed);
  }

  const PlimsollCudaModule& module_;
  PlimsollCudaArena* const memory_;
  const Bytes chunk_bytes_;
  std::vector<bool> committed_;  // one per chunk
};

absl::Status CudaArena::CheckState(ChunkRange range, bool committed) const {
  if (range.first < 0 || range.count < 1 || range.first > chunks() - range.count) {
    return absl::FailedPreconditionError(
        absl::StrFormat("chunks [%d, +%d): want at least one chunk of [0, %d)", range.first,
                        range.count, chunks()));
  }
  const auto first = committed_.begin() + range.first;
  const auto wrong = std::find(first, first + range.count, !committed);
  if (wrong == first + range.count) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("chunk %d is %s", wrong - committed_.begin(),
                      committed ? "not committed" : "committed already"));
}

absl::Status CudaArena::Commit(ChunkRange range) {
  PLIMSOLL_RETURN_IF_ERROR(CheckState(range, /*committed=*/false));
  PlimsollCudaMessage message = {};
  const int code = module_.arena_commit(memory_, range.first, range.count, &message);
  PLIMSOLL_RETURN_IF_ERROR(CudaStatus(
      code, absl::StrFormat("commit %d bytes", (chunk_bytes_ * range.count).value()), message));
  Mark(range, true);
  return absl::OkStatus();
}

absl::Status CudaArena::Decommit(ChunkRange range) {
  PLIMSOLL_RETURN_IF_ERROR(CheckState(range, /*committed=*/true));
  PlimsollCudaMessage message = {};
  const int code = module_.arena_decommit(memory_, range.first, range.count, &message);
  PLIMSOLL_RETURN_IF_ERROR(CudaStatus(code, "decommit", message));
  Mark(range, false);
  return absl::OkStatus();
}

absl::StatusOr<int> CudaArena::Export(int64_t chunk) {
  if (!module_.arena_can_export(memory_)) {
    return absl::UnimplementedError(
        absl::StrFormat("memory of kind %s has no file descriptors that another process could map",
                        module_.arena_kind(memory_)));
  }
  PLIMSOLL_RETURN_IF_ERROR(CheckState({.first = chunk, .count = 1}, /*committed=*/true));
  PlimsollCudaMessage message = {};
  int file = -1;
  const int code = module_.arena_export(memory_, chunk, &file, &message);
  PLIMSOLL_RETURN_IF_ERROR(CudaStatus(code, "export", message));
  return file;
}

absl::Status CudaArena::Import(int64_t chunk, int file, bool writable) {
  PLIMSOLL_RETURN_IF_ERROR(CheckState({.first = chunk, .count = 1}, /*committed=*/false));
  PlimsollCudaMessage message = {};
  const int code = module_.arena_import(memory_, chunk, file, writable, &message);
  PLIMSOLL_RETURN_IF_ERROR(CudaStatus(code, "import", message));
  Mark({.first = chunk, .count = 1}, true);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Arena>> CreateCudaArena(const PlimsollCudaModule& module,
                                                       Bytes granule, Bytes max_bytes,
                                                       Bytes chunk_bytes) {
  constexpr int64_t kMost = int64_t{1} << 46;  // far above any device; keeps the products in range
  if (chunk_bytes == Bytes(0) || chunk_bytes.value() > kMost ||
      chunk_bytes.value() % granule.value() != 0) {
    return BadField("chunk_bytes", chunk_bytes.value(),
                    "a positive multiple of " + std::to_string(granule.value()));
  }
  if (max_bytes == Bytes(0) || max_bytes.value() > kMost) {
    return BadField("max_bytes", max_bytes.value(), "1 to " + std::to_string(kMost));
  }
  const int64_t chunks = CeilDivide(max_bytes.value(), chunk_bytes.value());
  PlimsollCudaMessage message = {};
  PlimsollCudaArena* memory = nullptr;
  const int code = module.arena_create(chunk_bytes.value(), chunks, &memory, &message);
  PLIMSOLL_RETURN_IF_ERROR(CudaStatus(
      code, absl::StrFormat("arena of %d bytes", (chunk_bytes * chunks).value()), message));
  return std::make_unique<CudaArena>(module, memory, chunk_bytes, chunks);
}

}  // namespace plimsoll
