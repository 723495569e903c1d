#include "engine/device/pool_import.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

absl::Status Lost() {
  return absl::UnavailableError("the lease of the imported pool is over: " +
                                std::string(SystemError("recvmsg", errno).message()));
}

bool Sane(const PoolMessage& message) {
  return message.block_bytes > 0 && message.total_blocks > 0 && message.bytes > 0 &&
         message.bytes <= message.most_bytes && message.most_bytes <= int64_t{1} << 46 &&
         message.total_blocks <= message.bytes / message.block_bytes && message.lease_ms > 0 &&
         message.chunk_bytes >= 0 && message.first_chunk >= 0;
}

absl::Status MakesNoSense() {
  return absl::InternalError("the exporter of the pool sent what makes no sense");
}

}  // namespace

absl::StatusOr<std::unique_ptr<PoolImport>> PoolImport::Open(const std::string& path,
                                                             PoolAccess access,
                                                             const DeviceBackend* device) {
  const int socket = ConnectToExporter(path);
  if (socket < 0) {
    return absl::UnavailableError("no pool is exported at " + path + ": " +
                                  std::string(SystemError("connect", errno).message()));
  }
  std::unique_ptr<PoolImport> import(new PoolImport(socket, access, device));
  if (!SendPoolMessage(socket, {.kind = PoolMessageKind::kHello, .access = access})) return Lost();
  PLIMSOLL_RETURN_IF_ERROR(import->Hear());
  return import;
}

PoolImport::~PoolImport() {
  SendPoolMessage(socket_, {.kind = PoolMessageKind::kRelease});
  close(socket_);
  if (base_ != nullptr && chunks_ == nullptr) munmap(base_, static_cast<size_t>(reserved_.value()));
  if (file_ >= 0) close(file_);
}

absl::Status PoolImport::Renew() {
  if (!SendPoolMessage(socket_, {.kind = PoolMessageKind::kRenew})) return Lost();
  pollfd more{.fd = socket_, .events = POLLIN, .revents = 0};
  do {
    PLIMSOLL_RETURN_IF_ERROR(Hear());
  } while (poll(&more, 1, 0) > 0);
  return absl::OkStatus();
}

// A state of a revision that is known answers a renewal and is no change.
absl::Status PoolImport::AwaitChange() {
  const int64_t known = pool_.revision;
  while (pool_.revision == known) PLIMSOLL_RETURN_IF_ERROR(Hear());
  return absl::OkStatus();
}

absl::Status PoolImport::Hear() {
  for (bool more = true; more;) PLIMSOLL_RETURN_IF_ERROR(HearPacket(more));
  return absl::OkStatus();
}

absl::Status PoolImport::HearPacket(bool& more) {
  std::optional<ReceivedPoolMessage> received = ReceivePoolMessage(socket_);
  if (!received) return Lost();
  const PoolMessage& message = received->message;
  const bool chunked = message.chunk_bytes > 0;
  if (!chunked && file_ < 0 && !received->files.empty()) {
    file_ = received->files.back();
    received->files.pop_back();
  }
  absl::Status heard = MakesNoSense();
  if (message.kind == PoolMessageKind::kRefused) {
    heard = absl::PermissionDeniedError("the import of the pool was refused");
  } else if (message.kind == PoolMessageKind::kPool && Sane(message) && chunked == (file_ < 0)) {
    heard = chunked ? MapChunks(message, received->files) : MapFile(message);
  }
  for (const int file : received->files) close(file);
  more = message.more != 0;
  if (!heard.ok() || more) return heard;
  pool_ = {.revision = message.revision,
           .block_bytes = Bytes(message.block_bytes),
           .total = Blocks(message.total_blocks),
           .mapped = Bytes(message.bytes),
           .lease = std::chrono::milliseconds(message.lease_ms)};
  return absl::OkStatus();
}

absl::Status PoolImport::MapFile(const PoolMessage& message) {
  if (base_ == nullptr) {
    reserved_ = Bytes(message.most_bytes);
    void* const addresses = mmap(nullptr, static_cast<size_t>(message.most_bytes), PROT_NONE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (addresses == MAP_FAILED) return SystemError("mmap", errno);
    base_ = static_cast<std::byte*>(addresses);
  }
  const int64_t before = pool_.mapped.value(), now = message.bytes;
  if (now > reserved_.value())
    return absl::InternalError("the exported pool is larger than its most");
  const int protection = access_ == PoolAccess::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  void* mapped = base_;
  if (now > before) {
    mapped = mmap(base_ + before, static_cast<size_t>(now - before), protection,
                  MAP_SHARED | MAP_FIXED, file_, before);
  } else if (now < before) {
    mapped = mmap(base_ + now, static_cast<size_t>(before - now), PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  }
  return mapped == MAP_FAILED ? SystemError("mmap of the imported pool", errno) : absl::OkStatus();
}

// What is mapped from `first_chunk` on is no longer the pool's; then come the chunks of the files.
absl::Status PoolImport::MapChunks(const PoolMessage& message, std::span<const int> files) {
  if (device_ == nullptr) {
    return absl::FailedPreconditionError("the exported pool is a GPU's: want a device to map it");
  }
  const Bytes chunk(message.chunk_bytes);
  if (chunks_ == nullptr) {
    auto arena = device_->CreateArena(Bytes(message.most_bytes), chunk);
    if (!arena.ok()) return arena.status();
    chunks_ = *std::move(arena);
    base_ = chunks_->base();
  }
  const int64_t first = message.first_chunk, there = chunks_->committed_bytes() / chunk;
  const int64_t end = first + std::ssize(files);
  if (chunk != chunks_->chunk_bytes() || first > there || end > chunks_->chunks() ||
      (message.more == 0 && end != message.bytes / message.chunk_bytes)) {
    return MakesNoSense();
  }
  if (first < there) {
    PLIMSOLL_RETURN_IF_ERROR(chunks_->Decommit({.first = first, .count = there - first}));
  }
  for (int64_t i = first; i < end; ++i) {
    PLIMSOLL_RETURN_IF_ERROR(chunks_->Import(i, files[static_cast<size_t>(i - first)],
                                             access_ == PoolAccess::kReadWrite));
  }
  return absl::OkStatus();
}

}  // namespace plimsoll
