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
  unanswered = 0;
  std::set<uint64_t> again;
  for (auto next = asked.begin(); next != asked.end();) {
    const auto its = next++;
    Asked& each = its->second;
    if (!each.sent) continue;
    if (each.done || same_session) {
      again.insert(its->first);
      if (each.named_here && !same_session) {
        std::get<ReserveAction>(each.action).request.request_id = RandomRequestId();
      }
    } else {
      asked.erase(its);
    }
  }
  // Those that the stream before did not get to ask again.
  std::erase_if(unsent, [&again](const auto& group) { return again.contains(group.front()); });
  for (auto id = again.rbegin(); id != again.rend(); ++id) unsent.push_front({*id});
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
  }
  for (auto& [done, outcome] : results) done(std::move(outcome));
  Lose(std::move(revoked));
  Send();
}

void ClientSession::State::TakeResultLocked(const v1::OperationResult& result, Results& results) {
  const auto found = asked.find(result.id());
  if (found == asked.end()) return;
  --unanswered;
  absl::StatusOr<Outcome> read = FromServer(OutcomeFrom(result, clock.Now()));
  Outcome outcome = read.ok() ? *std::move(read) : Outcome(read.status());
  const Asked its = std::move(found->second);
  asked.erase(found);
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
  } else if (its.done) {
    granted->id = held.Add(*granted, std::get<ReserveAction>(its.action).request);
  } else {
    unsent.push_back({++last_id});
    asked.emplace(
        last_id,
        Asked{.action = ReleaseAction{.id = granted->id}, .done = nullptr, .since = clock.Now()});
  }
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
