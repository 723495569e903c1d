// The thread of a client's session: one stream after the other.
#include <algorithm>
#include <set>
#include <utility>

#include "absl/time/time.h"
#include "kvcache/base/errors.h"
#include "rpc/attempts.h"
#include "rpc/claim.h"
#include "rpc/client_session_state.h"
#include "rpc/client_state.h"
#include "rpc/convert.h"
#include "rpc/convert_operation.h"

namespace plimsoll {
namespace {

constexpr size_t kMostClaims = 1000;  // in one hello
// Between signs of life: a ttl may be as short as one likes.
constexpr Duration kShortestPause = std::chrono::milliseconds(10);

// Whether another attempt may end otherwise.
bool MayBeBackSoon(const absl::Status& end) {
  return !absl::IsUnauthenticated(end) && !absl::IsPermissionDenied(end) &&
         !absl::IsUnimplemented(end);
}
// Whether there is nothing to go on with.
bool IsOver(const absl::Status& end) {
  return absl::IsAborted(end) || absl::IsInvalidArgument(end);
}

// It comes in pages; with the last one results may come, too. Nullopt where the stream ends before.
std::optional<v1::Welcome> ReadWelcome(
    grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>& stream,
    v1::SessionResponse& response) {
  v1::Welcome whole;
  do {
    if (!stream.Read(&response)) return std::nullopt;
    whole.MergeFrom(response.welcome());
  } while (response.welcome().more());
  return whole;
}

}  // namespace

void ClientSession::State::Run() {
  RetryPauses pauses(seed.fetch_add(1));
  while (true) {
    const End end = Converse();
    if (end.claims_left) continue;
    if (!GoOn(end.why)) return;
    if (end.welcomed) pauses = RetryPauses(seed.fetch_add(1));
    const Duration pause = pauses.Next();
    absl::MutexLock lock(&mutex);
    mutex.AwaitWithTimeout(absl::Condition(&stopping), absl::FromChrono(pause));
  }
}

// One stream, from its beginning to its end.
ClientSession::State::End ClientSession::State::Converse() {
  CallInFlight flight(calls, /*may_take_long=*/true);
  const std::unique_ptr<Stream> its = flight.connection().admission->Session(flight.context());
  v1::SessionResponse response;
  End end;
  absl::StatusOr<bool> claims_left = false;
  const Instant sent = clock.Now();
  if (its->Write(Hello())) {
    const std::optional<v1::Welcome> welcome = ReadWelcome(*its, response);
    if (welcome) {
      claims_left = Welcomed(*welcome, sent, *its);
      end.welcomed = claims_left.ok();
      end.claims_left = claims_left.ok() && *claims_left;
      // What is left is for the next hello, of a stream that resumes this session.
      if (!end.welcomed || end.claims_left) flight.context()->TryCancel();
      do {
        Heard(response);
      } while (its->Read(&response));
    }
  }
  Detach(/*all_is_unclaimed=*/!end.claims_left);
  const grpc::Status finished = its->Finish();
  end.why = claims_left.ok() ? CallOutcome(finished, options.client.server) : claims_left.status();
  return end;
}

v1::SessionRequest ClientSession::State::Hello() {
  absl::MutexLock lock(&mutex);
  v1::SessionRequest request;
  v1::Hello& hello = *request.mutable_hello();
  hello.set_client_name(options.name);
  hello.set_resume_token(token);
  *hello.mutable_ttl() = ToWire(options.ttl);
  for (const std::string& id : unclaimed) {
    if (static_cast<size_t>(hello.claims_size()) == kMostClaims) break;
    if (held.Has(id)) *hello.add_claims() = ToWire(held.Claim(id));
  }
  return request;
}

// Whether there is more to claim, with another hello: one takes a thousand.
absl::StatusOr<bool> ClientSession::State::Welcomed(const v1::Welcome& welcome, Instant sent,
                                                    Stream& its) {
  if (welcome.resume_token().empty()) {
    return absl::InternalError("bad answer from the server: no welcome");
  }
  v1::RenewReservationsResponse claims;
  *claims.mutable_reservations() = welcome.reservations();
  *claims.mutable_lost() = welcome.lost();
  absl::StatusOr<Renewal> outcome = FromServer(FromWire(claims, clock.Now()));
  if (!outcome.ok()) return outcome.status();
  bool claims_left = false;
  {
    absl::MutexLock lock(&mutex);
    token = welcome.resume_token();
    ttl = Bounds().DurationIn("ttl", welcome.ttl(), kLongestDuration);
    NoteClaimsLocked(*outcome, welcome.resumed());
    // Of several hellos each but the first goes on with the session of the one before.
    same_session = welcome.resumed() && (same_session || !claiming);
    claims_left = !unclaimed.empty();
    claiming = claims_left;
    if (!claims_left) {
      AskAgainLocked();
      stream = &its;
      proven = sent;
      ping.unsent = ping.unanswered = false;
      changed.SignalAll();
    }
  }
  Lose(std::move(outcome->lost));
  Send();
  return claims_left;
}

// A session that was resumed holds what it says, and what else was held has ended. One that is new
// has what was claimed so far.
void ClientSession::State::NoteClaimsLocked(Renewal& outcome, bool resumed) {
  std::set<std::string> had;
  for (const Reservation& its : outcome.renewed) {
    if (!its.claimed_id.empty()) held.Claimed(its.claimed_id, its.id);
    had.insert(its.id);
  }
  ReleaseUnderNewIdsLocked(outcome);
  const size_t claimed = std::min(unclaimed.size(), kMostClaims);
  unclaimed.erase(unclaimed.begin(), unclaimed.begin() + static_cast<std::ptrdiff_t>(claimed));
  if (!resumed || claiming) return;
  for (const std::string& id : std::exchange(unclaimed, {})) {
    if (held.Has(id) && !had.contains(held.IdNow(id))) outcome.lost.push_back({.id = id});
  }
}

// What was let go of while a hello claimed it is had again under an id that its release, which is
// not sent yet, does not know.
void ClientSession::State::ReleaseUnderNewIdsLocked(const Renewal& outcome) {
  std::map<std::string, std::string> ids_now;
  for (const Reservation& its : outcome.renewed) {
    if (!its.claimed_id.empty() && !held.Has(its.claimed_id)) ids_now[its.claimed_id] = its.id;
  }
  if (ids_now.empty()) return;
  for (auto& [number, its] : asked) {
    auto* const release = std::get_if<ReleaseAction>(&its.action);
    if (release == nullptr) continue;
    const auto found = ids_now.find(release->id);
    if (found != ids_now.end()) release->id = found->second;
  }
}

// What the stream before left without an answer comes first, in its order. Of another session only
// those that somebody waits for: what they did is gone with theirs. There a reservation is another
// request: under its name a server of the same life would answer with the one that ended.
void ClientSession::State::AskAgainLocked() {
  std::set<uint64_t> holders, newcomers;
  for (auto next = asked.begin(); next != asked.end();) {
    const auto its = next++;
    Asked& each = its->second;
    if (!each.sent) continue;
    if (each.done || same_session) {
      each.asker = AskerOf(each.action);
      (each.asker == Asker::kHolder ? holders : newcomers).insert(its->first);
      if (each.named_here && !same_session) {
        std::get<ReserveAction>(each.action).request.request_id = RandomRequestId();
      }
    } else {
      asked.erase(its);
    }
  }
  outbox.BeginStream(holders, newcomers);
}

void ClientSession::State::Heard(const v1::SessionResponse& response) {
  Results results;
  std::vector<LostReservation> revoked;
  for (const std::string& id : response.revoked_ids())
    revoked.push_back({.id = id, .revoked = true});
  {
    absl::MutexLock lock(&mutex);
    for (const v1::OperationResult& result : response.results()) {
      TakeResultLocked(result, results);
    }
    if (ping.unanswered && response.pong() == ping.number) {
      ping.unanswered = false;
      proven = std::max(proven, ping.since);
    }
  }
  for (auto& [done, outcome] : results) done(std::move(outcome));
  Lose(std::move(revoked));
  Send();
}

void ClientSession::State::TakeResultLocked(const v1::OperationResult& result, Results& results) {
  const auto found = asked.find(result.id());
  if (found == asked.end()) return;
  absl::StatusOr<Outcome> read = FromServer(OutcomeFrom(result, clock.Now()));
  Outcome outcome = read.ok() ? *std::move(read) : Outcome(read.status());
  const Asked its = std::move(found->second);
  asked.erase(found);
  outbox.Answered(its.asker);
  proven = std::max(proven, its.since);
  NoteLocked(its, outcome);
  if (its.done) results.emplace_back(its.done, std::move(outcome));
}

// What is held after it. A grant that nobody waits for any more goes back.
void ClientSession::State::NoteLocked(const Asked& its, Outcome& outcome) {
  if (!outcome.ok() || !outcome->has_value()) return;
  auto* const granted = std::get_if<Reservation>(&**outcome);
  if (granted == nullptr || granted->id.empty()) return;
  if (std::holds_alternative<ExtendAction>(its.action)) {
    held.Extended(granted->id, granted->max_new_tokens);
    granted->id = held.GrantedAs(granted->id);
  } else if (granted->ended) {
    outcome = CheckNotEnded(*granted);
  } else if (its.done) {
    granted->id = held.Add(*granted, std::get<ReserveAction>(its.action).request);
  } else {
    outbox.Add({.numbers = {++last_id}, .asker = Asker::kHolder});
    asked.emplace(
        last_id,
        Asked{.action = ReleaseAction{.id = granted->id}, .done = nullptr, .since = clock.Now()});
  }
}

// Holds can say for a ttl from the last sign of life what is held: long before, another is asked.
void ClientSession::State::KeepAlive() {
  while (AwaitPing()) Send();
}

// Until one is to be sent; false where all ends. Who asks and holds nothing needs none.
bool ClientSession::State::AwaitPing() {
  absl::MutexLock lock(&mutex);
  while (!stopping) {
    if (stream == nullptr) {
      changed.Wait(&mutex);
      continue;
    }
    const Duration pause = std::max(ttl / 3, kShortestPause);
    const Instant now = clock.Now();
    const Instant due = proven + pause;
    const bool wanted = !ping.unanswered && !(held.empty() && asked.empty());
    if (wanted && due <= now) {
      ping = {.number = ping.number + 1, .since = now, .unsent = true, .unanswered = true};
      return true;
    }
    changed.WaitWithTimeout(&mutex, absl::FromChrono(wanted ? due - now : pause));
  }
  return false;
}

// Waits until nobody writes to the stream any more.
void ClientSession::State::Detach(bool all_is_unclaimed) {
  absl::MutexLock lock(&mutex);
  stream = nullptr;
  if (all_is_unclaimed) unclaimed = held.GrantedIds();
  const auto nobody_writes = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex) { return !writing; };
  mutex.Await(absl::Condition(&nobody_writes));
}

// Whether to try another stream, after this end of one.
bool ClientSession::State::GoOn(const absl::Status& end) {
  Results results;
  std::vector<LostReservation> lost;
  bool go_on = false;
  {
    absl::MutexLock lock(&mutex);
    if (!stopping && IsOver(end)) {
      over = end;
      for (const std::string& id : held.GrantedIds()) lost.push_back({.id = id, .revoked = true});
    }
    go_on = !stopping && over.ok();
    if (!go_on) {
      GiveUpLocked(stopping ? absl::CancelledError("the session was closed") : over, /*all=*/true,
                   results);
    } else if (!MayBeBackSoon(end)) {
      GiveUpLocked(end, /*all=*/true, results);
    } else {
      GiveUpLocked(absl::IsUnavailable(end)
                       ? end
                       : absl::UnavailableError("no server at " + options.client.server + ": " +
                                                std::string(end.message())),
                   /*all=*/false, results);
    }
  }
  for (auto& [done, outcome] : results) done(std::move(outcome));
  Lose(std::move(lost));
  return go_on;
}

void ClientSession::State::Lose(std::vector<LostReservation> lost) {
  std::vector<LostReservation> held_until_now;
  {
    absl::MutexLock lock(&mutex);
    for (LostReservation& its : lost) {
      if (!held.Has(its.id)) continue;
      its.id = held.GrantedAs(its.id);
      held.Forget(its.id);
      held_until_now.push_back(std::move(its));
    }
  }
  for (const LostReservation& its : held_until_now) options.on_lost(its);
}

}  // namespace plimsoll
