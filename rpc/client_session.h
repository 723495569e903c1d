// A session with a server, on the client's side: operations over one stream, which is the lease of
// all that is reserved over it.
//
//   auto session = ClientSession::Open({.client = {.server = "127.0.0.1:8470"}});
//   auto answer = (*session)->Reserve({.prompt_tokens = Tokens(1000), .max_new_tokens =
//   Tokens(600)});
//
// While the stream lives, nothing that it reserved ends by itself, and nothing is renewed. When it
// breaks, another one goes on with what is held, soon and again and again: of the same server life
// within the session's ttl; of a ledger that was started again by claims, under the ids that were
// granted first, which every call here takes. What could not be had again is lost, and said for
// each. A process that dies gives back what it held within the ttl.
//
// An operation for which there is no stream waits for one as long as ClientOptions::retry_for, and
// is Unavailable then; with zero it is as soon as an attempt fails. One whose answer got lost is
// asked again over the next stream, under one request_id; what it reserved for somebody who was
// told Unavailable meanwhile goes back then. Where a request_id of the caller's own was granted
// before and that has ended, as a session that was forgotten does, it is NotFound: the caller alone
// can give it another.
//
// What extends and releases goes first and never waits for what reserves, of which a server lets
// some 4,000 wait at once; but in a Batch that reserves with a wait too it goes with that.
//
// Threads: any; one of its own reads, another asks for signs of life. Callbacks come on the first:
// they must not block, and may make asynchronous calls, but none of the others. Cost: one message
// for all that is asked while another is on its way. Errors: those of the server; Unavailable
// without one; Aborted from the moment that another stream took the session over; Cancelled after
// Close. Nothing throws.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rpc/action.h"
#include "rpc/client.h"

namespace plimsoll {

struct SessionOptions {
  ClientOptions client = {};
  std::string name = {};            // who this is, for people; at most 128 bytes
  Duration ttl = Duration::zero();  // how long what is held outlives a stream; zero: the server's
  // Hears of each reservation that ended without being released here, by the id that it was granted
  // under.
  std::function<void(const LostReservation&)> on_lost = [](const LostReservation&) {};
};

class ClientSession {
 public:
  using OutcomeHandler = std::function<void(Outcome)>;

  // Does not wait for a server. Errors as Client::Create.
  static absl::StatusOr<std::unique_ptr<ClientSession>> Open(const SessionOptions& options);
  // Closes it.
  ~ClientSession();
  // Ends the stream and every operation; all callbacks have returned when this does. What is held
  // lives for the session's ttl.
  void Close();

  absl::StatusOr<Answer> Reserve(const ReservationRequest& request,
                                 Duration max_wait = Duration::zero());
  absl::StatusOr<Answer> Extend(const std::string& id, Tokens total_tokens);
  absl::Status Release(const std::string& id, std::optional<Tokens> used_tokens = std::nullopt);
  // 1 to 256 in one message, done in their order with nobody in between, unless the stream breaks
  // meanwhile. One outcome for each.
  std::vector<Outcome> Batch(const std::vector<Action>& actions);
  // One without waiting. `done` is called exactly once.
  void Ask(const Action& action, OutcomeHandler done);

  // Whether it is held: granted here, neither released nor lost. Also false while the last that the
  // server answered was asked longer ago than the ttl, by this process's clock: the stream may have
  // been gone for as long, and the room been given to others. While the server answers that is not
  // so, also where nothing is asked: the session asks for signs of life, three to a ttl.
  bool Holds(const std::string& id) const;
  // What the server calls it: after a claim, not as it was granted. `id` where it is not held.
  std::string IdNow(const std::string& id) const;

 private:
  struct State;
  explicit ClientSession(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
