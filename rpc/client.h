// A client of a Plimsoll server, over TCP or a Unix socket.
//
// A grant is confirmed by this client: Reserve returns once it is, ReserveAsync sends the
// confirmation right behind the grant. After that the caller keeps the lease alive with Renew, at
// about a third of the ttl, or by generating. Who wants that done for him takes a
// ReservationHolder (reservation_holder.h).
//
// A server lets one connection carry so many calls at once; calls that may take long (waits and
// generations) go over connections of their own, as many as it takes, so that a release never
// queues behind the waits that it would end.
//
// A request_id that was granted before gets the same reservation again; where that has ended, it is
// NotFound here and not an answer.
//
// Threads: any; callbacks come on threads of the library and must not block. They may make
// asynchronous calls, but not blocking ones, and must not destroy the client.
// Cost: one round trip, two for a grant. Errors: those of the server under their own codes;
// Unavailable where there is none; DeadlineExceeded where it did not answer in time. A refusal is
// an Answer, not an error. Nothing throws.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/loop/generation_loop.h"
#include "kvcache/admission/reservation.h"
#include "rpc/action.h"
#include "rpc/capacity_report.h"
#include "rpc/client_security.h"
#include "rpc/server_info.h"

namespace plimsoll {

struct ClientOptions {
  std::string server = "127.0.0.1:8470";               // "host:port" or "unix:/path"
  Duration call_timeout = std::chrono::seconds(5);     // of one answer, on top of a max_wait
  Duration connect_timeout = std::chrono::seconds(2);  // of one attempt
  // How long a blocking call that finds no server, or gets no answer in time, is made again. All of
  // them may be: a reservation has a request_id then, its own or one that is made for it.
  Duration retry_for = Duration::zero();
  // A reservation that is told to wait is asked for again too, within retry_for: not before the
  // Refusal's retry_after is over, and up to a quarter later, so that many clients that were told
  // the same do not come back at one moment. By default a refusal is the answer.
  bool retry_waits = false;
  // Of the pauses between attempts, which are random; 0: another one each time.
  uint64_t retry_seed = 0;
  ClientSecurity security = {};  // default: plaintext, without a token
};

// How large a pool is to be: in blocks, or in bytes of which it gets as many blocks as fit.
using PoolSize = std::variant<Blocks, Bytes>;

// A reservation that a renewal did not find.
struct LostReservation {
  std::string id;
  bool stale_epoch = false;  // of another server life
  bool revoked = false;      // an operator took it away
  bool no_room = false;      // it was claimed, and does not fit what is left; none: ended, unknown
};

// In a line.
std::string Describe(const LostReservation& lost);

struct Renewal {
  std::vector<Reservation> renewed;
  std::vector<LostReservation> lost;
};

// In an Answer from a server, Reservation::expires is on this process's SystemClock.
class Client {
 public:
  using AnswerHandler = std::function<void(absl::StatusOr<Answer>)>;
  using StatusHandler = std::function<void(absl::Status)>;
  using FinishHandler = std::function<void(absl::StatusOr<FinishReason>)>;

  // Does not connect yet: the first call does. InvalidArgument for an address that is neither
  // host:port nor unix:/path, and for files of its security that cannot be used.
  static absl::StatusOr<std::unique_ptr<Client>> Create(const ClientOptions& options);
  // Closes it.
  ~Client();
  // Cancels what is outstanding and whatever is called afterwards; every callback of a call made
  // before has returned when this does.
  void Close();

  // Blocking calls.
  absl::StatusOr<Answer> Reserve(const ReservationRequest& request,
                                 Duration max_wait = Duration::zero());
  // What Reserve would answer just now; reserves nothing. An admitted answer carries no id.
  absl::StatusOr<Answer> CanAdmit(const ReservationRequest& request);
  absl::StatusOr<Answer> Extend(const std::string& id, Tokens total_tokens);
  // A sign of life for each; ids and claims together are 1 to 1000. A claim says what an earlier
  // life of a ledger gave: while the ledger learns, it is given again under an id of this life, and
  // that reservation has it as its claimed_id.
  absl::StatusOr<Renewal> Renew(const std::vector<std::string>& ids,
                                const std::vector<ReservationClaim>& claims = {});
  absl::Status Release(const std::string& id, std::optional<Tokens> used_tokens = std::nullopt);
  // 1 to 256 at once, done in their order with nobody in between; one outcome for each. What was
  // granted is confirmed when this returns.
  absl::StatusOr<std::vector<Outcome>> Batch(const std::vector<Action>& actions);
  // The same of reservations alone: all are admitted, or none and the first that was refused.
  absl::StatusOr<BatchAnswer> ReserveAll(const std::vector<ReservationRequest>& requests);
  absl::StatusOr<CapacityReport> GetCapacity();
  absl::StatusOr<ServerInfo> GetServerInfo();
  // Makes the pool so large; FailedPrecondition, with the numbers, where it cannot be so small.
  absl::StatusOr<PoolResized> ResizePool(const PoolSize& size);
  // Hears the state now and then after changes, at most once per `min_interval`, until it returns
  // false (then OK) or the stream ends.
  absl::Status WatchCapacity(Duration min_interval,
                             const std::function<bool(const CapacityReport&)>& on_report);
  // Generates under a reservation; `on_token` hears each token in order.
  absl::StatusOr<FinishReason> Generate(const GenerationRequest& request,
                                        const std::function<void(int32_t)>& on_token);

  // The same without waiting, for many at once. `done` is called exactly once.
  void ReserveAsync(const ReservationRequest& request, Duration max_wait, AnswerHandler done);
  void ReleaseAsync(const std::string& id, std::optional<Tokens> used_tokens, StatusHandler done);
  // Returns a ticket for Cancel.
  int64_t GenerateAsync(const GenerationRequest& request, std::function<void(int32_t)> on_token,
                        FinishHandler done);
  // Cancels a generation; `done` hears Cancelled unless it ended first. Harmless afterwards.
  void Cancel(int64_t generation_ticket);

 private:
  struct State;
  explicit Client(std::unique_ptr<State> state);
  absl::StatusOr<std::vector<Outcome>> Call(const std::vector<Action>& actions,
                                            bool all_or_nothing);
  absl::Status Confirm(std::vector<Outcome>& outcomes);
  void GiveBack(std::vector<Outcome>& outcomes);
  absl::StatusOr<Answer> ReserveUnconfirmed(ReservationRequest request, Duration max_wait);
  void ReserveUnconfirmedAsync(const ReservationRequest& request, Duration max_wait,
                               AnswerHandler done);
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
