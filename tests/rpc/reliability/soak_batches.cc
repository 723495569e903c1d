#include <algorithm>
#include <thread>

#include "tests/rpc/reliability/soak_process.h"

namespace plimsoll {
namespace {

constexpr int kAtOnce = 32;  // decisions in a message
constexpr int kMostTries = 3;

class Batches {
 public:
  Batches(SoakProcess& process, int number)
      : process_(process),
        name_(std::to_string(process.arguments.client) + ".b" + std::to_string(number)),
        dice_(process.arguments.seed * 1000 + 500 + static_cast<uint32_t>(number)) {}

  // Returns the decisions it asked for.
  int OneMessage() {
    if (unsure_ || dice_.Chance(10)) unsure_ = !ClaimAll(process_, held_);
    asked_.clear();
    in_.Clear();
    const std::vector<SoakHeld> before = std::exchange(held_, {});
    for (const SoakHeld& each : before) AskAboutHeld(each);
    std::vector<Asked> again = std::exchange(unheard_, {});
    for (Asked& each : again) AskToReserve(std::move(each));
    while (decisions_ < kAtOnce) AskToReserve(NewRequest());
    Call();
    return std::exchange(decisions_, 0);
  }

 private:
  struct Asked {
    HistoryOperation operation;
    SoakHeld held;
    int64_t more_tokens = 0;  // of an extension, in all
    int tries = 0;
  };

  Asked NewRequest() {
    SoakHeld held{.request = name_ + "." + std::to_string(++requests_)};
    held.asked_tokens = held.tokens =
        kSoakBlockTokens * (1 + dice_.Below(8)) - dice_.Below(kSoakBlockTokens);
    return {.operation = HistoryOperation::kReserve, .held = std::move(held)};
  }
  // Most are given back, some are kept, some grow, and some are just forgotten.
  void AskAboutHeld(const SoakHeld& held) {
    if (dice_.Chance(2)) return;
    if (unsure_ || dice_.Chance(10)) return held_.push_back(held);
    Asked asked{.operation = HistoryOperation::kRelease, .held = held};
    if (dice_.Chance(10)) {
      asked.operation = HistoryOperation::kExtend;
      asked.more_tokens = held.tokens + dice_.Below(4 * kSoakBlockTokens);
      ++decisions_;
    }
    Add(std::move(asked));
  }
  void AskToReserve(Asked asked) {
    ++decisions_;
    if (asked.tries++ == 0) asked.held.signed_at = SteadyClock::now();
    Add(std::move(asked));
  }
  void Add(Asked asked) {
    v1::Operation& operation = *in_.add_operations();
    operation.set_id(asked_.size());
    if (asked.operation == HistoryOperation::kReserve) {
      *operation.mutable_reserve() = SoakReserve(asked.held.request, asked.held.tokens);
    } else if (asked.operation == HistoryOperation::kExtend) {
      operation.mutable_extend()->set_reservation_id(asked.held.id);
      operation.mutable_extend()->set_total_tokens(asked.more_tokens);
    } else {
      operation.mutable_release()->set_reservation_id(asked.held.id);
    }
    asked_.push_back(std::move(asked));
  }

  void Call() {
    SoakRecord record(process_);
    for (const Asked& each : asked_) {
      const bool reserves = each.operation == HistoryOperation::kReserve;
      record.Ask(each.operation, reserves ? each.held.request : each.held.id);
    }
    v1::BatchReserveCapacityResponse out;
    grpc::ClientContext context;
    SetSoakDeadline(context);
    const auto left = SteadyClock::now();
    record.Send();
    const grpc::Status status = process_.stub->BatchReserveCapacity(&context, in_, &out);
    std::vector<HistoryEvent> answers;
    for (size_t i = 0; i < asked_.size(); ++i) {
      answers.push_back(status.ok()
                            ? EventOf(out.results(static_cast<int>(i)))
                            : HistoryEvent{.outcome = SoakOutcomeOf(status.error_code(),
                                                                    status.error_message())});
    }
    record.Hear(answers);
    for (size_t i = 0; i < asked_.size(); ++i) Heard(std::move(asked_[i]), answers[i], left);
  }
  static HistoryEvent EventOf(const v1::OperationResult& result) {
    if (result.has_released()) return {.outcome = HistoryOutcome::kDone};
    if (!result.has_error()) return SoakEventOf(result);
    return {.outcome = SoakOutcomeOf(result.error().code(), result.error().message())};
  }

  void Heard(Asked asked, const HistoryEvent& answer, SteadyClock::time_point left) {
    const bool failed = answer.outcome == HistoryOutcome::kFailed;
    unsure_ = unsure_ || failed || answer.outcome == HistoryOutcome::kStale;
    if (asked.operation == HistoryOperation::kRelease) return;  // given back, heard or not
    if (asked.operation == HistoryOperation::kReserve) {
      asked.held.id = answer.name;
      if (answer.outcome == HistoryOutcome::kGranted) held_.push_back(std::move(asked.held));
      if (failed && asked.tries < kMostTries) unheard_.push_back(std::move(asked));
      return;
    }
    if (answer.outcome == HistoryOutcome::kLost) return;
    if (answer.outcome == HistoryOutcome::kGranted) {
      asked.held.tokens = asked.more_tokens;
      asked.held.signed_at = left;
    }
    held_.push_back(std::move(asked.held));
  }

  SoakProcess& process_;
  const std::string name_;
  SoakDice dice_;
  int64_t requests_ = 0;
  bool unsure_ = false;  // the server may have begun another life
  std::vector<SoakHeld> held_;
  std::vector<Asked> unheard_;
  // Of the message that is being made:
  v1::BatchReserveCapacityRequest in_;
  std::vector<Asked> asked_;
  int decisions_ = 0;
};

}  // namespace

void RunSoakBatches(SoakProcess& process, int number, double rate) {
  Batches batches(process, number);
  const auto end = SteadyClock::now() + std::chrono::duration<double>(process.arguments.seconds);
  const auto pause =
      std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(1 / rate));
  auto next = SteadyClock::now();
  while (next < end) {
    std::this_thread::sleep_until(next);
    next += pause * batches.OneMessage();
    next = std::max(next, SteadyClock::now() - kSoakCatchUp);
  }
}

}  // namespace plimsoll
