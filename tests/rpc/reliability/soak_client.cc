// A client process that a soak drives and kills: many callers over one connection, each of whom
// reserves, confirms, grows, holds and releases, asks again where an answer was lost, and at times
// just forgets what it holds. Every call is recorded before it leaves and every answer after it
// came (history.h).
//
//   soak_client ADDRESS HISTORY CLIENT CALLERS DECISIONS_PER_SECOND SECONDS SEED
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "plimsoll/v1/admission.grpc.pb.h"
#include "tests/rpc/reliability/history.h"

namespace plimsoll {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kTtl{2000};
constexpr int64_t kBlockTokens = 16;

struct Arguments {
  std::string address, history;
  int64_t client;
  int callers;
  double rate;  // of all callers
  double seconds;
  uint32_t seed;
};

// What all callers of the process share.
struct Process {
  const Arguments& arguments;
  const HistoryLog log;
  std::atomic<int64_t> calls{0};
  const std::unique_ptr<v1::AdmissionService::Stub> stub;
};

class Caller {
 public:
  Caller(Process& process, int number)
      : process_(process),
        name_(std::to_string(process.arguments.client) + "." + std::to_string(number)),
        random_(process.arguments.seed * 1000 + static_cast<uint32_t>(number)) {}

  void Run() {
    const auto end = SteadyClock::now() + std::chrono::duration<double>(process_.arguments.seconds);
    const auto pause = std::chrono::duration_cast<SteadyClock::duration>(
        std::chrono::duration<double>(process_.arguments.callers / process_.arguments.rate));
    auto next = SteadyClock::now() + pause * Below(1000) / 1000;
    while (next < end) {
      std::this_thread::sleep_until(next);
      next += pause * OneLife();
      next = std::max(next, SteadyClock::now() - pause);  // what is lost is not made up for
    }
  }

 private:
  // Returns the decisions it asked for.
  int OneLife() {
    const std::string request = name_ + "." + std::to_string(++requests_);
    const int64_t tokens = kBlockTokens * (1 + Below(64)) - Below(kBlockTokens);
    const milliseconds wait(Chance(20) ? 50 + Below(200) : 0);
    int asked = 0;
    HistoryEvent answer;
    do {
      answer = Reserve(request, tokens, wait);
    } while (answer.outcome == HistoryOutcome::kFailed && ++asked < 3);
    if (answer.outcome != HistoryOutcome::kGranted || Chance(3)) return asked + 1;
    if (Chance(30)) Renew(answer.name);
    if (Chance(20)) {
      Extend(answer.name, tokens + Below(20 * kBlockTokens));
      ++asked;
    }
    std::this_thread::sleep_for(milliseconds(Chance(5) ? 2 + Below(40) : Below(2)));
    Release(answer.name);
    if (Chance(5)) Release(answer.name);
    return asked + 1;
  }

  HistoryEvent Reserve(const std::string& request, int64_t tokens, milliseconds wait) {
    v1::ReserveCapacityRequest in;
    in.set_request_id(request);
    in.set_tenant("tenant-" + std::to_string(tokens % 5));
    in.set_prompt_tokens(tokens);
    in.mutable_ttl()->set_seconds(std::chrono::duration_cast<std::chrono::seconds>(kTtl).count());
    in.mutable_max_wait()->set_nanos(static_cast<int32_t>(wait.count() * 1'000'000));
    v1::ReserveCapacityResponse out;
    return Recorded(HistoryOperation::kReserve, request, wait, [&](grpc::ClientContext* context) {
      const grpc::Status status = process_.stub->ReserveCapacity(context, in, &out);
      return Outcome(status, out);
    });
  }
  void Extend(const std::string& id, int64_t tokens) {
    v1::ExtendReservationRequest in;
    in.set_reservation_id(id);
    in.set_total_tokens(tokens);
    v1::ExtendReservationResponse out;
    Recorded(HistoryOperation::kExtend, id, {}, [&](grpc::ClientContext* context) {
      const grpc::Status status = process_.stub->ExtendReservation(context, in, &out);
      return Outcome(status, out);
    });
  }
  void Renew(const std::string& id) {
    v1::RenewReservationsRequest in;
    in.add_reservation_ids(id);
    v1::RenewReservationsResponse out;
    Recorded(HistoryOperation::kRenew, id, {}, [&](grpc::ClientContext* context) {
      const grpc::Status status = process_.stub->RenewReservations(context, in, &out);
      HistoryEvent event{.outcome = OutcomeOf(status)};
      if (!status.ok()) return event;
      if (out.reservations_size() == 1) return GrantOf(out.reservations(0));
      const bool stale = out.lost_size() == 1 && out.lost(0).cause() == v1::LOSS_CAUSE_STALE_EPOCH;
      event.outcome = stale ? HistoryOutcome::kStale : HistoryOutcome::kLost;
      return event;
    });
  }
  void Release(const std::string& id) {
    v1::ReleaseReservationRequest in;
    in.set_reservation_id(id);
    v1::ReleaseReservationResponse out;
    Recorded(HistoryOperation::kRelease, id, {}, [&](grpc::ClientContext* context) {
      return HistoryEvent{.outcome =
                              OutcomeOf(process_.stub->ReleaseReservation(context, in, &out))};
    });
  }

  template <class Call>
  HistoryEvent Recorded(HistoryOperation operation, const std::string& name, milliseconds wait,
                        Call call) {
    HistoryEvent sent{.kind = HistoryKind::kSend, .operation = operation, .name = name};
    sent.client = process_.arguments.client;
    sent.call = process_.calls.fetch_add(1);
    sent.ttl = std::chrono::nanoseconds(kTtl).count();
    sent.max_wait = std::chrono::nanoseconds(wait).count();
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + wait + std::chrono::seconds(5));
    sent.at = HistoryNow();
    process_.log.Write(sent);
    HistoryEvent answer = call(&context);
    answer.kind = HistoryKind::kAnswer;
    answer.client = sent.client;
    answer.call = sent.call;
    answer.at = HistoryNow();
    process_.log.Write(answer);
    return answer;
  }

  // Of a call without a message of its own.
  static HistoryOutcome OutcomeOf(const grpc::Status& status) {
    switch (status.error_code()) {
      case grpc::StatusCode::OK:
        return HistoryOutcome::kDone;
      case grpc::StatusCode::NOT_FOUND:
        return HistoryOutcome::kLost;
      case grpc::StatusCode::FAILED_PRECONDITION:
        return HistoryOutcome::kStale;
      default:
        return HistoryOutcome::kFailed;
    }
  }
  static HistoryEvent GrantOf(const v1::Reservation& reservation) {
    return {.outcome = HistoryOutcome::kGranted,
            .name = reservation.reservation_id(),
            .blocks = reservation.blocks()};
  }
  template <class Response>
  static HistoryEvent Outcome(const grpc::Status& status, const Response& out) {
    if (!status.ok()) return {.outcome = OutcomeOf(status)};
    if (out.has_reservation()) return GrantOf(out.reservation());
    return {.outcome = HistoryOutcome::kRefused};
  }

  int64_t Below(int64_t end) { return static_cast<int64_t>(random_()) % end; }
  bool Chance(int percent) { return Below(100) < percent; }

  Process& process_;
  const std::string name_;
  std::mt19937 random_;
  int64_t requests_ = 0;
};

int Run(const Arguments& arguments) {
  grpc::ChannelArguments channel;
  channel.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  channel.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  channel.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  channel.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  Process process{.arguments = arguments,
                  .log = HistoryLog(arguments.history),
                  .stub = v1::AdmissionService::NewStub(grpc::CreateCustomChannel(
                      arguments.address, grpc::InsecureChannelCredentials(), channel))};
  std::vector<std::thread> threads;
  for (int i = 0; i < arguments.callers; ++i) {
    threads.emplace_back([&process, i] { Caller(process, i).Run(); });
  }
  for (std::thread& thread : threads) thread.join();
  return 0;
}

}  // namespace
}  // namespace plimsoll

int main(int argc, char** argv) {
  if (argc != 8) {
    std::fprintf(stderr, "soak_client: want ADDRESS HISTORY CLIENT CALLERS RATE SECONDS SEED\n");
    return 2;
  }
  return plimsoll::Run({.address = argv[1],
                        .history = argv[2],
                        .client = std::atoll(argv[3]),
                        .callers = std::atoi(argv[4]),
                        .rate = std::atof(argv[5]),
                        .seconds = std::atof(argv[6]),
                        .seed = static_cast<uint32_t>(std::atoll(argv[7]))});
}
