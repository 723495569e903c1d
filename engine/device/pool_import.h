// A pool of another process, mapped here under a lease: the other side of pool_export.h.
//
// Addresses are reserved for the largest pool the other may have, so base() stays what it is while
// the pool grows and shrinks.
//
// Threads: none; the owner serialises calls. Cost: a message each, and a mapping where the size of
// the pool changed. Errors: Unavailable where nobody exports there or the lease is over;
// PermissionDenied where it is refused; Internal for a system call that failed.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/backend.h"
#include "engine/device/pool_wire.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/arena.h"

namespace plimsoll {

struct ImportedPool {
  int64_t revision;
  Bytes block_bytes;
  Blocks total;
  Bytes mapped;    // from base()
  Duration lease;  // renew at about a third of it
};

class PoolImport {
 public:
  // Waits for the exporter's answer. `device`, which outlives the import, is what maps memory of a
  // GPU; without one such a pool is FailedPrecondition.
  static absl::StatusOr<std::unique_ptr<PoolImport>> Open(const std::string& path,
                                                          PoolAccess access,
                                                          const DeviceBackend* device = nullptr);
  ~PoolImport();  // gives the lease back and unmaps

  const ImportedPool& pool() const { return pool_; }
  // Not to be written where only read access was asked. Of a GPU's memory, an address of the
  // device.
  std::byte* base() const { return base_; }

  // Asks for another lease, waits for a message and hears all that has come by then; what changed
  // meanwhile is mapped or unmapped. An answer that is still under way is heard next time.
  absl::Status Renew();
  // Waits for the next change of size.
  absl::Status AwaitChange();

 private:
  PoolImport(int socket, PoolAccess access, const DeviceBackend* device)
      : socket_(socket), access_(access), device_(device) {}
  // The next message that says what the pool is like; the first brings the file.
  absl::Status Hear();
  absl::Status HearPacket(bool& more);
  absl::Status MapFile(const PoolMessage& message);
  absl::Status MapChunks(const PoolMessage& message, std::span<const int> files);

  const int socket_;
  const PoolAccess access_;
  const DeviceBackend* const device_;
  int file_ = -1;                  // of the host's memory
  std::unique_ptr<Arena> chunks_;  // of a GPU's
  std::byte* base_ = nullptr;
  Bytes reserved_;
  ImportedPool pool_ = {};
};

}  // namespace plimsoll
