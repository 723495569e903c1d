// The messages by which one process lets another map its pool: packets of one fixed size over a
// Unix socket (SOCK_SEQPACKET), between processes of one machine and so in its own byte order.
//
//   importer                              exporter
//   kHello, with the access wanted  --->
//                                   <---  kPool and the files of the pool's memory, or kRefused
//   kRenew, within the lease        --->
//                                   <---  kPool
//                                   <---  kPool, whenever the pool has another size
//   kRelease, or the socket closes  --->
//
// A kPool says all there is to know. Block i is at byte i * block_bytes of the pool, of which the
// first `bytes` are memory and the rest, up to `most_bytes`, is none. When `bytes` becomes less the
// importer unmaps what is beyond.
//
// Memory of the host is one file, which the first kPool brings: whoever reads or writes it beyond
// `bytes` makes the system take memory that nobody counts. Memory of a GPU has a file for each
// `chunk_bytes`, a handle that only the GPU's driver can map. A kPool brings those that are new to
// the importer, from `first_chunk` on; of too many for one packet the rest follows in more of them,
// and all but the last say so.
//
// A lease that is not renewed ends: the exporter closes the socket and sends
// nothing more. What is mapped stays mapped until the importer unmaps it; no system call takes it
// back, so a lease is for processes that trust each other not to write where they may not.
//
// Threads: pure functions of a socket. Cost: one system call each. Errors: false, with errno.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace plimsoll {

enum class PoolMessageKind : uint32_t {
  kHello = 1,
  kRenew = 2,
  kRelease = 3,
  kPool = 4,
  kRefused = 5
};
enum class PoolAccess : uint32_t { kRead = 1, kReadWrite = 2 };

// Numbers that a message does not need are zero.
struct PoolMessage {
  static constexpr uint32_t kMagic = 0x4c4f4f50;  // "POOL"
  static constexpr uint32_t kVersion = 2;         // goes up with every change to this file

  uint32_t magic = kMagic;
  uint32_t version = kVersion;
  PoolMessageKind kind = PoolMessageKind::kRefused;
  PoolAccess access = PoolAccess::kRead;
  int64_t revision = 0;  // grows with every size that the pool has had
  int64_t block_bytes = 0;
  int64_t total_blocks = 0;
  int64_t bytes = 0;
  int64_t most_bytes = 0;
  int64_t lease_ms = 0;
  int64_t chunk_bytes = 0;  // of memory with a file for each chunk
  int64_t first_chunk = 0;  // that a file of this packet is of
  int64_t more = 0;         // whether the next packet goes on with this one

  friend bool operator==(const PoolMessage&, const PoolMessage&) = default;
};

inline constexpr int64_t kMostPoolFiles = 250;  // the system takes 253 with a packet

// Never blocks: where the other side does not read, it is false. At most kMostPoolFiles go along.
bool SendPoolMessage(int socket, const PoolMessage& message, std::span<const int> files = {});

struct ReceivedPoolMessage {
  PoolMessage message;
  std::vector<int> files;  // the receiver's to close
};
// The next packet, as the socket is made to wait for it or not. Nullopt where there is none, the
// other side is gone, or the packet is no message of this version.
std::optional<ReceivedPoolMessage> ReceivePoolMessage(int socket);

// A socket of this kind, listening there or connected to who does; below 0, with errno. A file that
// a dead listener left is replaced. Only this user may connect.
int ListenForImporters(const std::string& path);
int ConnectToExporter(const std::string& path);

}  // namespace plimsoll
