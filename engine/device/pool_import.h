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
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/pool_wire.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"

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
  // Waits for the exporter's answer.
  static absl::StatusOr<std::unique_ptr<PoolImport>> Open(const std::string& path,
                                                          PoolAccess access);
  ~PoolImport();  // gives the lease back and unmaps

  const ImportedPool& pool() const { return pool_; }
  std::byte* base() const { return base_; }  // not to be written where only read access was asked

  // Asks for another lease, waits for a message and hears all that has come by then; what changed
  // meanwhile is mapped or unmapped. An answer that is still under way is heard next time.
  absl::Status Renew();
  // Waits for the next change of size.
  absl::Status AwaitChange();

 private:
  explicit PoolImport(int socket) : socket_(socket) {}
  // The next message that says what the pool is like; the first brings the file.
  absl::Status Hear();
  absl::Status Map(const PoolMessage& message);

  const int socket_;
  int file_ = -1;
  int protection_ = 0;
  std::byte* base_ = nullptr;
  Bytes reserved_;
  ImportedPool pool_ = {};
};

}  // namespace plimsoll
