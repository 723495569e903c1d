// The host's arena: a memfd for the memory, one PROT_NONE mapping for the addresses.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/base/errors.h"
#include "kvcache/pool/arena.h"

namespace plimsoll {
namespace {

// Running out is told apart from other failures. EFBIG is a limit on the size of files, which a
// memfd is.
absl::Status CallFailed(std::string_view call, int error) {
  const absl::Status status = SystemError(call, error);
  const bool no_memory =
      error == ENOMEM || error == ENOSPC || error == EFBIG || error == EMFILE || error == ENFILE;
  return no_memory ? absl::ResourceExhaustedError(status.message()) : status;
}

int Allocate(int file, int mode, off_t offset, off_t bytes) {
  int result = 0;
  do {
    result = fallocate(file, mode, offset, bytes);
  } while (result != 0 && errno == EINTR);
  return result;
}

constexpr int kPunchHole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

class HostArena final : public Arena {
 public:
  HostArena(int file, std::byte* base, int64_t chunk_bytes, int64_t chunks)
      : file_(file),
        base_(base),
        chunk_bytes_(chunk_bytes),
        committed_(static_cast<size_t>(chunks), false) {}
  HostArena(const HostArena&) = delete;
  HostArena& operator=(const HostArena&) = delete;
  ~HostArena() override {
    munmap(base_, static_cast<size_t>(chunks() * chunk_bytes_));
    close(file_);
  }

  std::string_view kind() const override { return "host"; }
  std::byte* base() const override { return base_; }
  Bytes chunk_bytes() const override { return Bytes(chunk_bytes_); }
  int64_t chunks() const override { return std::ssize(committed_); }
  Bytes committed_bytes() const override { return committed_count_ * Bytes(chunk_bytes_); }

  absl::Status Commit(ChunkRange range) override;
  absl::Status Decommit(ChunkRange range) override;
  absl::StatusOr<int> Export(int64_t chunk) override;

 private:
  // OK if every chunk of `range` exists and is committed or not as `committed` says.
  absl::Status CheckState(ChunkRange range, bool committed) const;
  void Mark(ChunkRange range, bool committed);
  off_t OffsetOf(int64_t chunk) const { return chunk * chunk_bytes_; }

  const int file_;
  std::byte* const base_;
  const int64_t chunk_bytes_;
  std::vector<bool> committed_;  // one per chunk
  int64_t committed_count_ = 0;
};

absl::Status HostArena::CheckState(ChunkRange range, bool committed) const {
  if (range.first < 0 || range.count < 1 || range.first > chunks() - range.count) {
    return absl::FailedPreconditionError(
        "chunks [" + std::to_string(range.first) + ", +" + std::to_string(range.count) +
        "): want at least one chunk of [0, " + std::to_string(chunks()) + ")");
  }
  const auto first = committed_.begin() + range.first;
  const auto wrong = std::find(first, first + range.count, !committed);
  if (wrong == first + range.count) return absl::OkStatus();
  return absl::FailedPreconditionError("chunk " + std::to_string(wrong - committed_.begin()) +
                                       (committed ? " is not committed" : " is committed already"));
}

void HostArena::Mark(ChunkRange range, bool committed) {
  std::fill_n(committed_.begin() + range.first, range.count, committed);
  committed_count_ += committed ? range.count : -range.count;
}

// The pages are taken now, not at the first touch: a pool that says it is there is there. An
// fallocate that fails gives back what it took.
absl::Status HostArena::Commit(ChunkRange range) {
  PLIMSOLL_RETURN_IF_ERROR(CheckState(range, /*committed=*/false));
  const off_t offset = OffsetOf(range.first);
  const off_t bytes = OffsetOf(range.count);
  if (Allocate(file_, 0, offset, bytes) != 0) {
    const int error = errno;
    return CallFailed("fallocate " + std::to_string(bytes) + " bytes", error);
  }
  void* const mapped = mmap(base_ + offset, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_FIXED, file_, offset);
  if (mapped == MAP_FAILED) {
    const int error = errno;
    Allocate(file_, kPunchHole, offset, bytes);
    return CallFailed("mmap " + std::to_string(bytes) + " bytes", error);
  }
  Mark(range, true);
  return absl::OkStatus();
}

// The addresses go first: if giving back the pages then fails, nobody can reach them, and mapping
// them again restores the state before the call.
absl::Status HostArena::Decommit(ChunkRange range) {
  PLIMSOLL_RETURN_IF_ERROR(CheckState(range, /*committed=*/true));
  const off_t offset = OffsetOf(range.first);
  const off_t bytes = OffsetOf(range.count);
  const size_t length = static_cast<size_t>(bytes);
  if (mmap(base_ + offset, length, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED) {
    return CallFailed("mmap", errno);
  }
  if (Allocate(file_, kPunchHole, offset, bytes) != 0) {
    const int error = errno;
    PLIMSOLL_CHECK(mmap(base_ + offset, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                        file_, offset) != MAP_FAILED,
                   errno);
    return CallFailed("fallocate PUNCH_HOLE", error);
  }
  Mark(range, false);
  return absl::OkStatus();
}

absl::StatusOr<int> HostArena::Export(int64_t chunk) {
  PLIMSOLL_RETURN_IF_ERROR(CheckState({.first = chunk, .count = 1}, /*committed=*/true));
  const int copy = fcntl(file_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return CallFailed("dup", errno);
  return copy;
}

absl::Status CheckSizes(Bytes max_bytes, Bytes chunk_bytes) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  if (chunk_bytes == Bytes(0) || chunk_bytes.value() % page != 0) {
    return BadField("chunk_bytes", chunk_bytes.value(),
                    "a positive multiple of " + std::to_string(page));
  }
  constexpr int64_t kMost = int64_t{1} << 46;  // what a user process can map
  if (max_bytes == Bytes(0) || max_bytes.value() > kMost) {
    return BadField("max_bytes", max_bytes.value(), "1 to " + std::to_string(kMost));
  }
  if (chunk_bytes.value() > kMost) {
    return BadField("chunk_bytes", chunk_bytes.value(), "at most " + std::to_string(kMost));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Arena>> CreateHostArena(Bytes max_bytes, Bytes chunk_bytes) {
  PLIMSOLL_RETURN_IF_ERROR(CheckSizes(max_bytes, chunk_bytes));
  const int64_t chunks = CeilDivide(max_bytes.value(), chunk_bytes.value());
  const size_t reserved = static_cast<size_t>(chunks * chunk_bytes.value());
  void* const base =
      mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    const int error = errno;
    return CallFailed("mmap " + std::to_string(reserved) + " bytes", error);
  }
  const int file = memfd_create("plimsoll-pool", MFD_CLOEXEC);
  if (file < 0) {
    const int error = errno;
    munmap(base, reserved);
    return CallFailed("memfd_create", error);
  }
  return std::make_unique<HostArena>(file, static_cast<std::byte*>(base), chunk_bytes.value(),
                                     chunks);
}

}  // namespace plimsoll
