#include "engine/device/pool_import.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

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
         message.total_blocks <= message.bytes / message.block_bytes && message.lease_ms > 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PoolImport>> PoolImport::Open(const std::string& path,
                                                             PoolAccess access) {
  const int socket = ConnectToExporter(path);
  if (socket < 0) {
    return absl::UnavailableError("no pool is exported at " + path + ": " +
                                  std::string(SystemError("connect", errno).message()));
  }
  std::unique_ptr<PoolImport> import(new PoolImport(socket));
  import->protection_ = access == PoolAccess::kRead ? PROT_READ : PROT_READ | PROT_WRITE;
  if (!SendPoolMessage(socket, {.kind = PoolMessageKind::kHello, .access = access})) return Lost();
  PLIMSOLL_RETURN_IF_ERROR(import->Hear());
  return import;
}

PoolImport::~PoolImport() {
  SendPoolMessage(socket_, {.kind = PoolMessageKind::kRelease});
  close(socket_);
  if (base_ != nullptr) munmap(base_, static_cast<size_t>(reserved_.value()));
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
  const auto received = ReceivePoolMessage(socket_);
  if (!received) return Lost();
  if (file_ < 0) {
    file_ = received->file;
  } else if (received->file >= 0) {
    close(received->file);
  }
  const PoolMessage& message = received->message;
  if (message.kind == PoolMessageKind::kRefused) {
    return absl::PermissionDeniedError("the import of the pool was refused");
  }
  if (message.kind != PoolMessageKind::kPool || file_ < 0 || !Sane(message)) {
    return absl::InternalError("the exporter of the pool sent what makes no sense");
  }
  return Map(message);
}

absl::Status PoolImport::Map(const PoolMessage& message) {
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
  void* mapped = base_;
  if (now > before) {
    mapped = mmap(base_ + before, static_cast<size_t>(now - before), protection_,
                  MAP_SHARED | MAP_FIXED, file_, before);
  } else if (now < before) {
    mapped = mmap(base_ + now, static_cast<size_t>(before - now), PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  }
  if (mapped == MAP_FAILED) return SystemError("mmap of the imported pool", errno);
  pool_ = {.revision = message.revision,
           .block_bytes = Bytes(message.block_bytes),
           .total = Blocks(message.total_blocks),
           .mapped = Bytes(now),
           .lease = std::chrono::milliseconds(message.lease_ms)};
  return absl::OkStatus();
}

}  // namespace plimsoll
