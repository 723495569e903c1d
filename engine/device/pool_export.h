// Lets other processes of this machine and user map a pool's memory, under leases: pool_wire.h is
// what is said between them.
//
// Memory of the host is one file: who wants to read gets it opened for reading, a guard against
// mistakes, not against a process of this user that opens it anew. Memory of a GPU is a handle for
// each chunk, where its arena can export them; read access is up to who maps it. A lease lives
// `lease` after the importer's last sign of life; then its socket is closed.
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
  // The arena has a chunk that is committed, and those that are come first; it may end before the
  // export does, after which nothing is announced. `clock` outlives it. Unimplemented for memory
  // that has no files.
  static absl::StatusOr<std::unique_ptr<PoolExport>> Create(const ExportOptions& options,
                                                            Arena& arena, Blocks total,
                                                            const Clock& clock);
  ~PoolExport();

  // The pool has so many blocks now, and as much memory as is committed. After a failed call, which
  // the arena's export may be, importers believe what was said last.
  absl::Status Announce(Blocks total);
  // Answers importers and ends leases, and waits for something to do for up to `at_most`.
  void Serve(Duration at_most);
  int64_t leases() const;

 private:
  struct State;
  explicit PoolExport(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
