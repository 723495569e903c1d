#include "tests/rpc/reliability/service_simulation.h"

#include "kvcache/base/check.h"
#include "rpc/operation.h"

namespace plimsoll {

using std::chrono::milliseconds;

// Reserves, confirms by extending, holds, now and then grows, and releases, at times twice or not
// at all; asks again, with the same request, where no answer comes.
class ServiceSimulation::Client {
 public:
  Client(ServiceSimulation& world, int64_t number) : world_(world), number_(number) {}

  int64_t number() const { return number_; }
  Instant cut_off_until() const { return cut_off_until_; }

  void Begin() {
    if (world_.clock_.Now() >= world_.end()) return;
    if (world_.Chance(4)) {
      cut_off_until_ = world_.clock_.Now() + milliseconds(world_.Below(3000));
    }
    request_ = std::to_string(number_) + "." + std::to_string(++requests_);
    tokens_ = 1 + world_.Below(16 * 24);
    tries_ = 0;
    Reserve();
  }

  void Hear(int64_t call, const v1::OperationResult& result) {
    if (call != call_) return;  // given up, or heard already
    call_ = -1;
    const bool reserving = step_ == Step::kReserving;
    const HistoryEvent heard = EventOf(call, result);
    world_.Record(heard);
    if (heard.outcome != HistoryOutcome::kGranted) return Pause();
    if (reserving) id_ = heard.name;
    Hold();
  }

  // No answer came in time.
  void GiveUp(int64_t call) {
    if (call != call_) return;
    call_ = -1;
    world_.Record({.kind = HistoryKind::kAnswer, .client = number_, .call = call});
    if (step_ == Step::kReserving && ++tries_ < 4) return Reserve();
    if (step_ == Step::kReleasing && ++tries_ < 4) return Release();
    Pause();
  }

 private:
  enum class Step { kReserving, kExtending, kReleasing };

  void Reserve() {
    v1::Operation operation;
    v1::ReserveCapacityRequest& reserve = *operation.mutable_reserve();
    reserve.set_request_id(request_);
    reserve.set_tenant("tenant-" + std::to_string(number_ % 3));
    reserve.set_prompt_tokens(tokens_);
    reserve.mutable_ttl()->set_seconds(1);
    reserve.mutable_ttl()->set_nanos(500'000'000);
    Ask(Step::kReserving, HistoryOperation::kReserve, request_, operation);
  }
  void Extend() {
    if (world_.Chance(30)) tokens_ += world_.Below(16 * 8);
    v1::Operation operation;
    operation.mutable_extend()->set_reservation_id(id_);
    operation.mutable_extend()->set_total_tokens(tokens_);
    Ask(Step::kExtending, HistoryOperation::kExtend, id_, operation);
  }
  void Release() {
    v1::Operation operation;
    operation.mutable_release()->set_reservation_id(id_);
    Ask(Step::kReleasing, HistoryOperation::kRelease, id_, operation);
  }

  void Ask(Step step, HistoryOperation operation, const std::string& name,
           const v1::Operation& message) {
    step_ = step;
    const int64_t call = call_ = world_.next_call_++;
    world_.Record({.kind = HistoryKind::kSend,
                   .client = number_,
                   .call = call,
                   .operation = operation,
                   .name = name,
                   .ttl = kTtl.count()});
    world_.Later(kPatience, [this, call] { GiveUp(call); });
    world_.Send(*this, call, message);
  }

  // What next with what is held: more signs of life, the end, or nothing for ever.
  void Hold() {
    const Duration rest = milliseconds(world_.Below(400));
    const int64_t what = world_.Below(100);
    tries_ = 0;
    if (what < 4) return Pause();
    world_.Later(rest, [this, what] { what < 60 ? Extend() : Release(); });
  }
  void Pause() {
    world_.Later(milliseconds(world_.Below(200)), [this] { Begin(); });
  }

  HistoryEvent EventOf(int64_t call, const v1::OperationResult& result) const {
    HistoryEvent event{.kind = HistoryKind::kAnswer, .client = number_, .call = call};
    if (result.has_reservation()) {
      event.outcome = HistoryOutcome::kGranted;
      event.name = result.reservation().reservation_id();
      event.blocks = result.reservation().blocks();
    } else if (result.has_rejection()) {
      event.outcome = HistoryOutcome::kRefused;
    } else if (result.has_released()) {
      event.outcome = HistoryOutcome::kDone;
    } else {
      const auto code = static_cast<absl::StatusCode>(result.error().code());
      PLIMSOLL_CHECK(
          code == absl::StatusCode::kNotFound || code == absl::StatusCode::kFailedPrecondition,
          result.error().message());
      event.outcome =
          code == absl::StatusCode::kNotFound ? HistoryOutcome::kLost : HistoryOutcome::kStale;
    }
    return event;
  }

  ServiceSimulation& world_;
  const int64_t number_;
  Instant cut_off_until_{};
  Step step_ = Step::kReserving;
  std::string request_, id_;
  int64_t tokens_ = 0, call_ = -1;
  int requests_ = 0, tries_ = 0;
};

ServiceSimulation::ServiceSimulation(const SimulationOptions& options)
    : options_(options), random_(options.seed) {
  StartLife();
  for (int i = 0; i < options_.clients; ++i) {
    clients_.push_back(std::make_unique<Client>(*this, i));
    Later(milliseconds(Below(100)), [client = clients_.back().get()] { client->Begin(); });
  }
  Later(options_.server_life, [this] { KillAndRestart(); });
}

ServiceSimulation::~ServiceSimulation() = default;

std::vector<HistoryEvent> ServiceSimulation::Run() {
  while (!agenda_.empty()) {
    const auto next = agenda_.begin();
    clock_.AdvanceTo(next->first.first);
    const std::function<void()> what = std::move(next->second);
    agenda_.erase(next);
    what();
  }
  clock_.Advance(kTtl);
  admission_->Advance();
  const AdmissionSnapshot now = admission_->Snapshot();
  Record({.kind = HistoryKind::kCapacity,
          .free = now.blocks.free.value(),
          .total = now.blocks.total.value(),
          .reservations = now.reservations});
  return std::move(history_);
}

void ServiceSimulation::Later(Duration delay, std::function<void()> what) {
  agenda_.emplace(std::pair(clock_.Now() + delay, next_entry_++), std::move(what));
}

void ServiceSimulation::StartLife() {
  admission_.reset();
  cache_ = *KvCache::Create({.capacity = Blocks(options_.blocks)});
  admission_ = *AdmissionController::Create(
      {.epoch = "life" + std::to_string(++lives_), .confirm_window = kConfirmWindow}, *cache_,
      clock_);
  Record({.kind = HistoryKind::kServer, .started = true});
}

void ServiceSimulation::KillAndRestart() {
  if (clock_.Now() >= end()) return;
  Record({.kind = HistoryKind::kServer, .started = false});
  StartLife();
  Later(options_.server_life * (50 + Below(100)) / 100, [this] { KillAndRestart(); });
}

void ServiceSimulation::Send(Client& client, int64_t call, const v1::Operation& operation) {
  for (const Duration delay : Deliveries()) {
    Later(delay, [this, &client, call, operation] { Arrive(client, call, operation); });
  }
}

void ServiceSimulation::Arrive(Client& client, int64_t call, v1::Operation operation) {
  if (IsCutOff(client)) return;
  const std::string request = operation.reserve().request_id();
  options_.spoil(operation);
  const v1::OperationResult result = Serve(operation);
  if (operation.has_reserve() && result.has_reservation()) NoteGrant(request, result.reservation());
  for (const Duration delay : Deliveries()) {
    Later(delay, [this, &client, call, result] {
      if (!IsCutOff(client)) client.Hear(call, result);
    });
  }
}

v1::OperationResult ServiceSimulation::Serve(const v1::Operation& operation) {
  const absl::StatusOr<Action> action = ActionFrom(operation, Caller());
  PLIMSOLL_CHECK(action.ok(), action.status().ToString());
  v1::OperationResult result;
  SetResult(operation.id(), Do(*admission_, *action, Caller()), clock_.Now(), &result);
  admission_->CheckInvariants();
  return result;
}

void ServiceSimulation::NoteGrant(const std::string& request, const v1::Reservation& granted) {
  const auto [first, fresh] =
      granted_.emplace(std::pair(lives_, request), granted.reservation_id());
  if (!fresh && first->second != granted.reservation_id()) ++granted_twice_;
}

bool ServiceSimulation::IsCutOff(const Client& client) const {
  return clock_.Now() < client.cut_off_until();
}

std::vector<Duration> ServiceSimulation::Deliveries() {
  std::vector<Duration> delays;
  if (Chance(options_.lost_percent)) return delays;
  const int64_t slow = Chance(5) ? 600 : 20;  // some overtake others by far
  delays.push_back(milliseconds(Below(slow)));
  if (Chance(options_.repeated_percent)) delays.push_back(milliseconds(Below(600)));
  return delays;
}

void ServiceSimulation::Record(HistoryEvent event) {
  event.at = (clock_.Now() - Instant()).count();
  history_.push_back(std::move(event));
}

}  // namespace plimsoll
