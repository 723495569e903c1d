#include <thread>

#include "tests/rpc/reliability/soak_process.h"

namespace plimsoll {
namespace {

class Caller {
 public:
  Caller(SoakProcess& process, int number)
      : process_(process),
        name_(std::to_string(process.arguments.client) + "." + std::to_string(number)),
        dice_(process.arguments.seed * 1000 + static_cast<uint32_t>(number)) {}

  // Reserves, confirms, grows, holds and releases, asks again where an answer was lost, and at
  // times just forgets what it holds. Returns the decisions it asked for.
  int OneLife() {
    SoakHeld held{.request = name_ + "." + std::to_string(++requests_)};
    held.asked_tokens = held.tokens =
        kSoakBlockTokens * (1 + dice_.Below(64)) - dice_.Below(kSoakBlockTokens);
    const milliseconds wait(dice_.Chance(20) ? 50 + dice_.Below(200) : 0);
    int asked = 0;
    HistoryEvent answer;
    do {
      answer = Reserve(held, wait);
    } while (answer.outcome == HistoryOutcome::kFailed && ++asked < 3);
    if (answer.outcome != HistoryOutcome::kGranted || dice_.Chance(3)) return asked + 1;
    held.id = answer.name;
    if (dice_.Chance(20)) {
      ++asked;
      answer = Extend(held, held.tokens + dice_.Below(20 * kSoakBlockTokens));
    }
    if (dice_.Chance(20)) answer = Renew(held);
    std::vector<SoakHeld> claimed = {held};
    const bool unsure = answer.outcome != HistoryOutcome::kGranted;
    if (unsure || dice_.Chance(10)) ClaimAll(process_, claimed);
    std::this_thread::sleep_for(
        milliseconds(dice_.Chance(5) ? 2 + dice_.Below(40) : dice_.Below(2)));
    if (claimed.empty()) return asked + 1;
    Release(claimed.front().id);
    if (dice_.Chance(5)) Release(claimed.front().id);
    return asked + 1;
  }

  int64_t Below(int64_t end) { return dice_.Below(end); }

 private:
  HistoryEvent Reserve(SoakHeld& held, milliseconds wait) {
    v1::ReserveCapacityRequest in = SoakReserve(held.request, held.tokens);
    in.mutable_max_wait()->set_nanos(static_cast<int32_t>(wait.count() * 1'000'000));
    v1::ReserveCapacityResponse out;
    // The first one counts: it may have been granted.
    if (held.signed_at == SteadyClock::time_point()) held.signed_at = SteadyClock::now();
    return Recorded(HistoryOperation::kReserve, held.request, wait,
                    [&](grpc::ClientContext* context) {
                      const grpc::Status status = process_.stub->ReserveCapacity(context, in, &out);
                      return Event(status, out);
                    });
  }
  HistoryEvent Extend(SoakHeld& held, int64_t tokens) {
    v1::ExtendReservationRequest in;
    in.set_reservation_id(held.id);
    in.set_total_tokens(tokens);
    v1::ExtendReservationResponse out;
    const auto left = SteadyClock::now();
    const HistoryEvent answer =
        Recorded(HistoryOperation::kExtend, held.id, {}, [&](grpc::ClientContext* context) {
          const grpc::Status status = process_.stub->ExtendReservation(context, in, &out);
          return Event(status, out);
        });
    if (answer.outcome != HistoryOutcome::kGranted) return answer;
    held.tokens = tokens;
    held.signed_at = left;
    return answer;
  }
  HistoryEvent Renew(SoakHeld& held) {
    v1::RenewReservationsRequest in;
    in.add_reservation_ids(held.id);
    v1::RenewReservationsResponse out;
    const auto left = SteadyClock::now();
    const HistoryEvent answer =
        Recorded(HistoryOperation::kRenew, held.id, {}, [&](grpc::ClientContext* context) {
          const grpc::Status status = process_.stub->RenewReservations(context, in, &out);
          if (status.ok() && out.reservations_size() == 1) return SoakGrantOf(out.reservations(0));
          HistoryEvent event{.outcome = Outcome(status)};
          if (!status.ok()) return event;
          const bool stale =
              out.lost_size() == 1 && out.lost(0).cause() == v1::LOSS_CAUSE_STALE_EPOCH;
          event.outcome = stale ? HistoryOutcome::kStale : HistoryOutcome::kLost;
          return event;
        });
    if (answer.outcome == HistoryOutcome::kGranted) held.signed_at = left;
    return answer;
  }
  void Release(const std::string& id) {
    v1::ReleaseReservationRequest in;
    in.set_reservation_id(id);
    v1::ReleaseReservationResponse out;
    Recorded(HistoryOperation::kRelease, id, {}, [&](grpc::ClientContext* context) {
      return HistoryEvent{.outcome = Outcome(process_.stub->ReleaseReservation(context, in, &out))};
    });
  }

  template <class Call>
  HistoryEvent Recorded(HistoryOperation operation, const std::string& name, milliseconds wait,
                        const Call& call) {
    SoakRecord record(process_);
    record.Ask(operation, name, wait);
    grpc::ClientContext context;
    SetSoakDeadline(context, wait);
    record.Send();
    const HistoryEvent answer = call(&context);
    record.Hear({answer});
    return answer;
  }
  static HistoryOutcome Outcome(const grpc::Status& status) {
    return SoakOutcomeOf(status.error_code(), status.error_message());
  }
  template <class Response>
  static HistoryEvent Event(const grpc::Status& status, const Response& out) {
    return status.ok() ? SoakEventOf(out) : HistoryEvent{.outcome = Outcome(status)};
  }

  SoakProcess& process_;
  const std::string name_;
  SoakDice dice_;
  int64_t requests_ = 0;
};

}  // namespace

void RunSoakCaller(SoakProcess& process, int number, double rate) {
  Caller caller(process, number);
  const auto end = SteadyClock::now() + std::chrono::duration<double>(process.arguments.seconds);
  const auto pause =
      std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(1 / rate));
  auto next = SteadyClock::now() + pause * caller.Below(1000) / 1000;
  while (next < end) {
    std::this_thread::sleep_until(next);
    next += pause * caller.OneLife();
    // What an outage cost is made up for soon after, or never.
    next = std::max(next, SteadyClock::now() - kSoakCatchUp);
  }
}

}  // namespace plimsoll
