// Lets other processes of this machine and user map a pool's memory, under leases: pool_wire.h is
// what is said between them.
//
// Who wants to read gets a file opened for reading: a guard against mistakes, not against a process
// of this user that opens it anew. A lease lives `lease` after the importer's last sign of life;
// then its socket is closed.
//
// Invariant: an importer that is served has heard of the latest size, or its socket is closed.
//
// Threads: Announce and leases from any; Serve from one. Cost: Serve is a poll, and a message for
// each importer whose pool changed. Errors: Create says which call failed; an importer that sends
// what it should not, or does not read, is let go.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"
#include "kvcache/base/units.h"
#include "kvcache/pool/arena.h"

namespace plimsoll {

struct ExportOptions {
  std::string path;  // of the socket
  Bytes block_bytes;
  Duration lease = std::chrono::seconds(10);  // at least a millisecond
  int64_t most_importers = 64;
};

class PoolExport {
 public:
  // The arena is of the kind "host", and has a chunk that is committed; it may end before the
  // export does. `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<PoolExport>> Create(const ExportOptions& options,
                                                            Arena& arena, Blocks total,
                                                            const Clock& clock);
  ~PoolExport();

  // The pool has so many blocks now, and so much memory.
  void Announce(Blocks total, Bytes committed);
  // Answers importers and ends leases, and waits for something to do for up to `at_most`.
  void Serve(Duration at_most);
  int64_t leases() const;

 private:
  struct State;
  explicit PoolExport(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
