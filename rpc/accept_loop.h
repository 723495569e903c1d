// Accepts connections and hands them over, and goes on when descriptors run out.
//
// gRPC 1.51's own listener stops for good once a process ran out of descriptors. This one keeps a
// few back: a connection that would use them is closed at once, and one that cannot even be
// accepted is got rid of with a spare descriptor. When there are descriptors again, the next
// connection is taken.
//
// Threads: its own, which `take` is called on. Counts from any. Cost: a poll and two system calls
// per connection. Errors: none after it runs; what is not taken is counted.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "rpc/descriptor.h"
#include "rpc/listening_socket.h"
#include "rpc/log.h"

namespace plimsoll {

struct ConnectionLimits {
  // Connections at once, our own checks aside; the system's limit on descriptors may be lower.
  int64_t most = 10000;
  // Users who may come over a Unix socket besides our own; none named: whom the file's mode lets
  // in.
  std::vector<uid_t> users = {};
};

struct ConnectionCounts {
  int64_t taken = 0;
  int64_t shed = 0;     // one too many
  int64_t refused = 0;  // of a user who may not come
};

class AcceptLoop {
 public:
  using Taker = std::function<void(const ListeningSocket& from, Descriptor connection)>;

  // Descriptors that connections must leave for everything else.
  static constexpr int64_t kDescriptorsKept = 32;

  // `take` must not block. `log`, which may be null, outlives the loop.
  AcceptLoop(std::vector<ListeningSocket> sockets, ConnectionLimits limits, Log* log, Taker take);
  ~AcceptLoop();
  AcceptLoop(const AcceptLoop&) = delete;
  AcceptLoop& operator=(const AcceptLoop&) = delete;

  ConnectionCounts counts() const {
    return {.taken = taken_.load(), .shed = shed_.load(), .refused = refused_.load()};
  }

 private:
  enum class Next : uint8_t { kGoOn, kAwaitMore, kRest };

  void Run();
  bool AcceptAll(const ListeningSocket& socket);  // false when it has to rest
  Next AcceptOne(const ListeningSocket& socket);
  Next ShedWithoutDescriptor(const ListeningSocket& socket);
  void Handle(const ListeningSocket& socket, Descriptor connection);
  void Tell(const char* event, const ListeningSocket& socket) const;
  bool MayCome(const ListeningSocket& socket, int connection) const;
  bool IsOneTooMany(int connection);
  void ForgetClosed();

  const std::vector<ListeningSocket> sockets_;
  const ConnectionLimits limits_;
  Log* const log_;
  const Taker take_;
  const int64_t highest_;  // the first descriptor that no connection may have
  Descriptor wake_;        // readable when it is time to stop
  Descriptor spare_;
  // Connections handed over that may still be open, by descriptor: what each then was. Whoever has
  // them does not say when they close, but the descriptor is then another file or none.
  std::map<int, ino_t> taken_over_;
  std::atomic<int64_t> taken_{0}, shed_{0}, refused_{0};
  std::thread thread_;
};

}  // namespace plimsoll
