// The gRPC server: admission, capacity, generation and its own description, over TCP and Unix
// sockets, with health and reflection.
//
// What one caller can cost is bounded: messages of at most 1 MiB (a prompt of 128 Ki tokens fits),
// none compressed, 8 KiB of metadata, 100 calls at once per connection, 3 s for a handshake. A
// caller who vanished is noticed within 15 s and his waits end. Where other machines can connect,
// unused connections end after 5 minutes, and all after an hour, with 10 minutes for their calls.
//
// Threads: Start and Stop from one; the rest from any. gRPC brings its own threads; one more ends
// leases, one accepts. Cost: a call takes the admission lock once; reading capacity takes none.
// Errors: InvalidArgument for an address that is none, or that plaintext must not go to;
// FailedPrecondition naming the address that cannot be listened on, and why.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/loop/generation_loop.h"
#include "kvcache/admission/shared_admission.h"
#include "rpc/accept_loop.h"
#include "rpc/capacity_report.h"
#include "rpc/log.h"
#include "rpc/plan_query.h"
#include "rpc/server_certificates.h"
#include "rpc/server_info.h"
#include "rpc/tokens.h"

namespace plimsoll {

struct Served;  // rpc/served.h

struct ServerOptions {
  // Each "host:port" or "unix:/path"; port 0 picks a free one.
  std::vector<std::string> listen = {};
  std::vector<int> listening = {};  // sockets that listen already; the server closes them
  // Listen where other machines can reach us without TLS, though what is said there can be read
  // and changed.
  bool insecure = false;
  TlsFiles tls = {};                                // for TCP; none given: plaintext
  std::optional<TokenTable> tokens = std::nullopt;  // none: whoever can connect may do all
  ConnectionLimits connections = {};
  // A peer that has not begun to speak HTTP/2, TLS included, by then is cut off.
  Duration handshake_timeout = std::chrono::seconds(3);
  bool reflection = true;
  std::string pool = "default";
  Tokens block_tokens = Tokens(16);
  Bytes block_bytes = Bytes(0);  // zero where no model says how large a block is
  ServerInfo info = {};          // what does not change while serving
  // Changes the size of the pool and says what became of it, at once or later, from any thread;
  // none: the pool has one size.
  PoolResizer resize = {};
  Planner planner = {};  // none: the server does not plan
  Log* log = nullptr;    // outlives the server; null: nothing is said
  // What the stages of start-up took, the pool as it is now; null: as `info` says.
  MemoryTeller memory = {};
};

// What was still held when the time to drain was over.
struct DrainReport {
  int64_t reservations = 0;
  Blocks blocks = Blocks(0);  // live and reserved
};

class Server {
 public:
  // `admission`, `clock` and `loop` (null in ledger mode) outlive the server. Someone else runs
  // the loop, until after Stop.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options,
                                                       SharedAdmission& admission,
                                                       const Clock& clock, GenerationLoop* loop);
  ~Server();  // Stop

  // The addresses listened on, with the ports the system chose.
  const std::vector<std::string>& addresses() const;
  CapacityReport Capacity() const;
  // Reads the TLS files now, which it also does by itself soon after they change; bad ones leave
  // what was. Calls that run go on.
  absl::Status ReloadCertificates();
  // The same in two steps, for who must know first that they are good: reads them, and uses them.
  // Without TLS both do nothing.
  absl::StatusOr<ReadCertificates> ReadNewCertificates();
  void TakeCertificates(ReadCertificates read);
  // From now on these are known. Only where there were some at the start.
  absl::Status SetTokens(TokenTable tokens);

  // A call to ourselves, over a new connection through the same accept loop: whether somebody
  // answered within `limit`, and what a restart alone would help against. Before Stop.
  absl::Status CheckItself(Duration limit) const;

  // What became of those who connected. Before Stop.
  ConnectionCounts Connections() const;
  // What its endpoints work on, for an HttpEndpoint.
  const Served& served() const;
  // Published snapshots that were not conserved; each was reported on standard error.
  int64_t violations() const;

  // Turns health to NOT_SERVING and tells new requests to wait with DRAINING, for good.
  void StartDraining();
  // What is held just now; a drain is over when nothing is.
  DrainReport Held() const;
  // Cuts off the calls that still run.
  void Stop();

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
