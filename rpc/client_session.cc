#include "rpc/client_session.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/synchronization/blocking_counter.h"
#include "kvcache/base/errors.h"
#include "rpc/address.h"
#include "rpc/attempts.h"
#include "rpc/client_session_state.h"
#include "rpc/convert.h"
#include "rpc/convert_operation.h"
#include "rpc/library_logs.h"

namespace plimsoll {
namespace {

absl::Status Closed() { return absl::CancelledError("the session was closed"); }

}  // namespace

absl::StatusOr<std::unique_ptr<ClientSession>> ClientSession::Open(const SessionOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(Annotate(CheckAddress(options.client.server), "server"));
  SilenceLibraries();
  auto state = std::make_unique<State>(options);
  PLIMSOLL_RETURN_IF_ERROR(state->calls.status());
  return std::unique_ptr<ClientSession>(new ClientSession(std::move(state)));
}

ClientSession::ClientSession(std::unique_ptr<State> state) : state_(std::move(state)) {
  state_->thread = std::thread([its = state_.get()] { its->Run(); });
  state_->keeps_alive = std::thread([its = state_.get()] { its->KeepAlive(); });
}
ClientSession::~ClientSession() { Close(); }
void ClientSession::Close() { state_->Stop(); }

absl::StatusOr<Answer> ClientSession::Reserve(const ReservationRequest& request,
                                              Duration max_wait) {
  const ClientOptions& client = state_->options.client;
  Attempts attempts(client.retry_for, state_->seed.fetch_add(1));
  while (true) {
    absl::StatusOr<Answer> answer =
        AnswerOf(Batch({ReserveAction{.request = request, .max_wait = max_wait}}).front());
    const auto* const refusal = answer.ok() ? std::get_if<Refusal>(&*answer) : nullptr;
    const bool again = refusal != nullptr && client.retry_waits && attempts.Again(*refusal);
    if (!again) return answer;
  }
}

absl::StatusOr<Answer> ClientSession::Extend(const std::string& id, Tokens total_tokens) {
  return AnswerOf(Batch({ExtendAction{.id = id, .total = total_tokens}}).front());
}

absl::Status ClientSession::Release(const std::string& id, std::optional<Tokens> used_tokens) {
  return Batch({ReleaseAction{.id = id, .used = used_tokens}}).front().status();
}

std::vector<Outcome> ClientSession::Batch(const std::vector<Action>& actions) {
  std::vector<Outcome> outcomes(actions.size(), Outcome(std::nullopt));
  if (actions.empty() || actions.size() > kMostInOneMessage) {
    const std::string count = std::to_string(actions.size());
    std::fill(outcomes.begin(), outcomes.end(),
              absl::InvalidArgumentError("number of operations=" + count + ": want 1 to 256"));
    return outcomes;
  }
  absl::BlockingCounter unanswered(static_cast<int>(actions.size()));
  std::vector<State::Asked> group;
  for (size_t i = 0; i < actions.size(); ++i) {
    group.push_back({.action = actions[i], .done = [&, i](Outcome outcome) {
                       outcomes[i] = std::move(outcome);
                       unanswered.DecrementCount();
                     }});
  }
  state_->Ask(std::move(group));
  unanswered.Wait();
  return outcomes;
}

void ClientSession::Ask(const Action& action, OutcomeHandler done) {
  std::vector<State::Asked> one;
  one.push_back({.action = action, .done = std::move(done)});
  state_->Ask(std::move(one));
}

bool ClientSession::Holds(const std::string& id) const {
  absl::MutexLock lock(&state_->mutex);
  return state_->held.Has(id) && state_->clock.Now() < state_->proven + state_->ttl;
}

std::string ClientSession::IdNow(const std::string& id) const {
  absl::MutexLock lock(&state_->mutex);
  return state_->held.IdNow(id);
}

// A reservation that may wait makes newcomers of all that go with it.
Asker ClientSession::State::AskerOfAll(const std::vector<Asked>& group) {
  bool holds = false;
  for (const Asked& its : group) {
    const auto* const reserve = std::get_if<ReserveAction>(&its.action);
    if (reserve == nullptr) {
      holds = true;
    } else if (reserve->max_wait > Duration::zero()) {
      return Asker::kNewcomer;
    }
  }
  return holds ? Asker::kHolder : Asker::kNewcomer;
}

void ClientSession::State::Ask(std::vector<Asked> group) {
  absl::Status refused;
  {
    absl::MutexLock lock(&mutex);
    refused = stopping ? Closed() : over;
    if (refused.ok()) {
      ClientOutbox::Group out{.numbers = {}, .asker = AskerOfAll(group)};
      for (Asked& each : group) {
        each.asker = out.asker;
        each.since = clock.Now();
        auto* const reserve = std::get_if<ReserveAction>(&each.action);
        // Asked again it is the same request, which is granted once.
        if (reserve != nullptr && !reserve->validate_only && reserve->request.request_id.empty()) {
          reserve->request.request_id = RandomRequestId();
          each.named_here = true;
        }
        // Whatever becomes of a release, it is not claimed any more.
        if (auto* const release = std::get_if<ReleaseAction>(&each.action)) {
          const std::string id = std::exchange(release->id, held.IdNow(release->id));
          held.Forget(id);
        }
        out.numbers.push_back(++last_id);
        asked.emplace(last_id, std::move(each));
      }
      outbox.Add(std::move(out));
    }
  }
  if (refused.ok()) return Send();
  for (const Asked& each : group) each.done(refused);
}

void ClientSession::State::Stop() {
  {
    absl::MutexLock lock(&mutex);
    if (std::exchange(stopping, true)) return;
    changed.SignalAll();
  }
  calls.CancelAll();
  thread.join();
  keeps_alive.join();
}

// Tells those who wait for too long, or all. What was sent may have been done: it is asked for
// again, for nobody, so that it can be given back. A release is made in any case.
void ClientSession::State::GiveUpLocked(const absl::Status& why, bool all, Results& results) {
  const Instant now = clock.Now();
  for (auto next = asked.begin(); next != asked.end();) {
    const auto its = next++;
    if (!its->second.done) continue;
    if (!all && now - its->second.since < options.client.retry_for) continue;
    results.emplace_back(std::exchange(its->second.done, nullptr), why);
    const bool release = std::holds_alternative<ReleaseAction>(its->second.action);
    if (!its->second.sent && !release) asked.erase(its);
  }
}

// Whoever finds nobody writing writes until all is sent.
void ClientSession::State::Send() {
  mutex.Lock();
  while (!writing && stream != nullptr && (ping.unsent || outbox.MayTake())) {
    const v1::SessionRequest request = NextLocked();
    if (request.operations_size() == 0 && request.ping() == 0) continue;
    Stream* const over_this = stream;
    writing = true;
    mutex.Unlock();
    const bool ok = over_this->Write(request);
    mutex.Lock();
    writing = false;
    if (!ok) stream = nullptr;  // it broke, as the reader is about to see
  }
  mutex.Unlock();
}

v1::SessionRequest ClientSession::State::NextLocked() {
  v1::SessionRequest request;
  if (std::exchange(ping.unsent, false)) request.set_ping(ping.number);
  size_t room = kMostInOneMessage;
  while (const std::optional<ClientOutbox::Group> group = outbox.Take(room)) {
    for (const uint64_t id : group->numbers) {
      const auto found = asked.find(id);
      if (found == asked.end()) continue;  // given up before it was sent
      SetOperationLocked(id, found->second, request.add_operations());
      found->second.sent = true;
      outbox.Sent(group->asker);
      --room;
    }
  }
  return request;
}

void ClientSession::State::SetOperationLocked(uint64_t id, const Asked& its, v1::Operation* out) {
  SetOperation(id, its.action, out);
  if (out->has_reserve()) {
    const auto& reserve = std::get<ReserveAction>(its.action);
    const Duration waited = its.sent ? clock.Now() - its.since : Duration::zero();
    *out->mutable_reserve()->mutable_max_wait() =
        ToWire(its.done ? std::max(reserve.max_wait - waited, Duration::zero()) : Duration::zero());
  } else if (out->has_extend()) {
    out->mutable_extend()->set_reservation_id(held.IdNow(out->extend().reservation_id()));
  }
}

}  // namespace plimsoll
