// What a client's session consists of: operations without a result, what is held, and the threads
// that have the stream and keep it.
//
// Invariants: an operation is in `asked` from when it is asked until its result came or it was
// given up; its handler is called once and outside of the lock. One thread reads, and has the
// stream from its beginning to its end; another one asks for signs of life; whoever finds nobody
// writing writes.
//
// Threads: any, but what Run and KeepAlive call is theirs. Cost: a lock and a map per operation.
// Errors: as client_session.h says.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "plimsoll/v1/admission.pb.h"
#include "rpc/client_calls.h"
#include "rpc/client_holdings.h"
#include "rpc/client_outbox.h"
#include "rpc/client_session.h"

namespace plimsoll {

struct ClientSession::State {
  // An operation without a result so far.
  struct Asked {
    Action action;
    OutcomeHandler done;  // empty: whoever waited was told something else
    Instant since = {};
    bool sent = false;        // over some stream, so that it may have been done
    bool named_here = false;  // a reservation whose request_id nobody else knows
    Asker asker = Asker::kHolder;
  };
  // The last sign of life that was asked for.
  struct Ping {
    uint64_t number = 0;
    Instant since = {};
    bool unsent = false;
    bool unanswered = false;  // over this stream
  };
  using Stream = grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>;
  using Results = std::vector<std::pair<OutcomeHandler, Outcome>>;

  explicit State(const SessionOptions& options_in)
      : options(options_in),
        calls(options_in.client),
        seed(options_in.client.retry_seed != 0 ? options_in.client.retry_seed
                                               : std::random_device{}()) {}

  static Asker AskerOfAll(const std::vector<Asked>& group);
  // Each calls back outside of the lock.
  void Ask(std::vector<Asked> group) ABSL_LOCKS_EXCLUDED(mutex);
  void Run();
  void KeepAlive() ABSL_LOCKS_EXCLUDED(mutex);
  bool AwaitPing() ABSL_LOCKS_EXCLUDED(mutex);
  void Stop() ABSL_LOCKS_EXCLUDED(mutex);

  // How a stream ended.
  struct End {
    bool welcomed = false;     // it had begun
    bool claims_left = false;  // it was ended here, to claim more
    absl::Status why;
  };
  End Converse();
  v1::SessionRequest Hello() ABSL_LOCKS_EXCLUDED(mutex);
  absl::StatusOr<bool> Welcomed(const v1::Welcome& welcome, Instant sent, Stream& its)
      ABSL_LOCKS_EXCLUDED(mutex);
  void NoteClaimsLocked(Renewal& outcome, bool resumed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void ReleaseUnderNewIdsLocked(const Renewal& outcome) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void AskAgainLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Heard(const v1::SessionResponse& response) ABSL_LOCKS_EXCLUDED(mutex);
  void TakeResultLocked(const v1::OperationResult& result, Results& results)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void NoteLocked(const Asked& asked, Outcome& outcome) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Detach(bool all_is_unclaimed) ABSL_LOCKS_EXCLUDED(mutex);
  bool GoOn(const absl::Status& end) ABSL_LOCKS_EXCLUDED(mutex);
  void GiveUpLocked(const absl::Status& why, bool all, Results& results)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Send() ABSL_LOCKS_EXCLUDED(mutex);
  v1::SessionRequest NextLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void SetOperationLocked(uint64_t id, const Asked& asked, v1::Operation* out)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);
  void Lose(std::vector<LostReservation> lost) ABSL_LOCKS_EXCLUDED(mutex);

  const SessionOptions options;
  const SystemClock clock;
  ClientCalls calls;
  std::atomic<uint64_t> seed;  // of the next pauses
  mutable absl::Mutex mutex;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  absl::Status over ABSL_GUARDED_BY(mutex);  // why nothing is asked any more
  // The stream that operations go over; null while there is none.
  Stream* stream ABSL_GUARDED_BY(mutex) = nullptr;
  bool writing ABSL_GUARDED_BY(mutex) = false;
  uint64_t last_id ABSL_GUARDED_BY(mutex) = 0;
  std::map<uint64_t, Asked> asked ABSL_GUARDED_BY(mutex);
  ClientOutbox outbox ABSL_GUARDED_BY(mutex);  // of those asked
  ClientHoldings held ABSL_GUARDED_BY(mutex);
  std::vector<std::string> unclaimed ABSL_GUARDED_BY(mutex);  // of held, since the stream broke
  bool claiming ABSL_GUARDED_BY(mutex) = false;               // by more than one hello
  bool same_session ABSL_GUARDED_BY(mutex) = false;  // as that of the last stream with operations
  std::string token ABSL_GUARDED_BY(mutex);
  Duration ttl ABSL_GUARDED_BY(mutex) = Duration::zero();
  // When the last thing was asked that the server answered: it counts no ttl from before that. When
  // the stream is found to be gone, it may have been for long.
  Instant proven ABSL_GUARDED_BY(mutex) = {};
  Ping ping ABSL_GUARDED_BY(mutex);
  absl::CondVar changed;  // for who keeps it alive: a stream began, or all ends
  std::thread thread, keeps_alive;
};

}  // namespace plimsoll
