// Random calls to the controller and to the naive model; answers, what waiters hear, and every
// figure of the snapshot are compared after each.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kvcache/admission/admission_controller.h"
#include "tests/kvcache/admission/naive_admission.h"

namespace plimsoll {
namespace {

using Ask = NaiveAdmission::Ask;
using std::chrono::milliseconds;

int64_t Milliseconds(Instant when) {
  return std::chrono::duration_cast<milliseconds>(when.time_since_epoch()).count();
}

std::string TextOf(const Answer& answer) {
  if (const auto* held = std::get_if<Reservation>(&answer)) {
    return "admitted " + held->id + " blocks " + std::to_string(held->blocks.value()) + " until " +
           std::to_string(Milliseconds(held->expires));
  }
  const Refusal& refusal = std::get<Refusal>(answer);
  if (refusal.decision == Decision::kNever) {
    return "never " + std::to_string(refusal.largest_fit.value());
  }
  return "wait " + std::string(NameOf(refusal.reason)) + " " +
         std::to_string(refusal.missing.value()) + (refusal.yield ? " yield" : "");
}

std::string TextOf(const BatchAnswer& answer) {
  if (const auto* const refused = std::get_if<RefusedOne>(&answer)) {
    return std::to_string(refused->index) + ": " + TextOf(Answer(refused->refusal));
  }
  std::string all;
  for (const Reservation& each : std::get<std::vector<Reservation>>(answer)) {
    all += TextOf(Answer(each)) + "; ";
  }
  return all;
}

std::string TextOf(const absl::Status& status) {
  if (absl::IsInvalidArgument(status)) return "INVALID_ARGUMENT";
  if (absl::IsFailedPrecondition(status)) return "FAILED_PRECONDITION";
  if (absl::IsNotFound(status)) return "NOT_FOUND";
  return std::string(status.message());
}

template <class T>
std::string TextOf(const absl::StatusOr<T>& value) {
  return value.ok() ? TextOf(Answer(*value)) : TextOf(value.status());
}

std::string IdOf(int64_t number) { return "e-" + std::to_string(number); }

ReservationRequest RequestOf(const Ask& ask) {
  return {.request_id = ask.request_id,
          .tenant = ask.tenant,
          .prompt_tokens = Tokens(ask.prompt),
          .max_new_tokens = Tokens(ask.max_new),
          .ttl = milliseconds(ask.ttl),
          .priority = static_cast<int>(ask.priority),
          .request_class = ask.grows ? "growing" : "",
          .resumes = ask.resumes == 0 ? "" : IdOf(ask.resumes)};
}

TenantQuota QuotaOf(const std::string& tenant) {
  const NaiveAdmission::Quota quota = NaiveAdmission::QuotaOf(tenant);
  return {.guaranteed = Blocks(quota.guaranteed), .most = Blocks(quota.most)};
}

class Both {
 public:
  explicit Both(uint32_t seed) : random_(seed) {}

  void Step() {
    const int64_t time = Upto(200) == 0 ? Upto(70000) : Upto(150);
    clock_.Advance(milliseconds(time));
    model_.now += time;
    switch (Upto(9)) {
      case 0:
        return ReserveAll();
      case 1:
        return Reserve(AnyAsk());
      case 2:
      case 3:
        return ReserveOrWait(AnyAsk(), Upto(3) == 0 ? 0 : Upto(4000));
      case 4:
        return Renew();
      case 5:
        return Release();
      case 6:
        return Upto(2) == 0 ? Begin() : Extend(60 + Upto(90));
      case 7:
        return End();
      default:
        return Rare();
    }
  }

  void CompareState() {
    number_ = Upto(5) == 0   ? refused_
              : Upto(8) == 0 ? 1 + Upto(model_.admitted + 1)
                             : Near(model_.admitted);
    EXPECT_EQ(heard_, model_.heard);
    const AdmissionSnapshot seen = real_->published().Read();
    EXPECT_EQ(seen, real_->Snapshot());
    EXPECT_TRUE(seen.blocks.Conserved());
    EXPECT_EQ(seen.blocks.total.value(), model_.pool);
    EXPECT_EQ(seen.blocks.free.value(), model_.Free());
    EXPECT_EQ(seen.reservations, model_.Held());
    EXPECT_EQ(seen.waiting, model_.Waiting());
    EXPECT_EQ(seen.admitted, model_.admitted);
    EXPECT_EQ(seen.waited, model_.waited);
    EXPECT_EQ(seen.refused_wait, model_.refused_wait);
    EXPECT_EQ(seen.refused_never, model_.refused_never);
    EXPECT_EQ(seen.released, model_.released);
    EXPECT_EQ(seen.expired, model_.expired);
    for (const TenantUse& use : real_->Tenants()) {
      EXPECT_EQ(use.blocks.value(), use.tenant.empty() ? 0 : model_.HeldBy(use.tenant));
    }
    EXPECT_GE(seen.revision, revision_);
    revision_ = seen.revision;
    heard_.clear();
    model_.heard.clear();
    real_->CheckInvariants();
  }

  const NaiveAdmission& model() const { return model_; }

 private:
  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }
  // One of the latest few, where most of what is held is.
  int64_t Near(int64_t last) { return std::max<int64_t>(1, last - Upto(12)); }

  Ask AnyAsk() {
    Ask ask;
    ask.tenant = std::string(1, static_cast<char>('a' + Upto(3)));
    ask.priority = Upto(1) == 0 ? 0 : Upto(4) - 2;
    if (Upto(3) == 0) ask.request_id = "r" + std::to_string(Upto(5));
    ask.prompt = 1 + Upto(Upto(3) == 0 ? 3 : Upto(9) == 0 ? 200 : 60);
    if (!ask.request_id.empty()) {  // so that repeats often match
      ask.prompt = 40;
      ask.priority = 0;
    }
    ask.grows = ask.request_id.empty() ? Upto(1) == 0 : ask.request_id < "r3";
    if (ask.grows && Upto(2) == 0) ask.resumes = Upto(1) == 0 ? refused_ : Near(model_.admitted);
    ask.max_new = Upto(ask.request_id.empty() ? 30 : 1);
    if (Upto(4) == 0) ask.ttl = 500 + Upto(2000);
    return ask;
  }
  // The question, asked first, has the answer that the call then gets.
  void Reserve(const Ask& ask) {
    real_->Advance();
    const std::string asked = TextOf(real_->CanAdmit(RequestOf(ask)));
    const std::string answer = TextOf(real_->Reserve(RequestOf(ask)));
    EXPECT_EQ(answer, model_.Reserve(ask));
    if (answer == "INVALID_ARGUMENT") return;
    const bool admitted = answer.rfind("admitted", 0) == 0;
    EXPECT_EQ(admitted ? asked.substr(0, 8) : asked, admitted ? "admitted" : answer);
  }
  void ReserveAll() {
    std::vector<Ask> asks(static_cast<size_t>(1 + Upto(3)));
    std::vector<ReservationRequest> requests;
    for (Ask& ask : asks) {
      ask = AnyAsk();
      requests.push_back(RequestOf(ask));
    }
    const absl::StatusOr<BatchAnswer> answer = real_->ReserveAll(requests);
    EXPECT_EQ(answer.ok() ? TextOf(*answer) : TextOf(answer.status()), model_.ReserveAll(asks));
  }
  void ReserveOrWait(const Ask& ask, int64_t max_wait) {
    const int64_t caller = ++callers_;
    const auto queued = std::make_shared<bool>(false);
    std::string answer = "queued";
    const auto ticket = real_->ReserveOrWait(
        RequestOf(ask), milliseconds(max_wait), [=, this, &answer](const Answer& heard) {
          if (!*queued) {
            answer = TextOf(heard);
          } else {
            heard_.push_back(std::to_string(caller) + ": " + TextOf(heard));
          }
        });
    if (!ticket.ok()) answer = TextOf(ticket.status());
    *queued = ticket.ok() && ticket->has_value();
    if (*queued) tickets_[caller] = **ticket;
    EXPECT_EQ(answer, model_.ReserveOrWait(ask, max_wait, caller));
  }
  void Cancel() {
    const auto found = tickets_.find(Near(callers_));
    if (found == tickets_.end()) return;
    real_->CancelWait(found->second);
    model_.CancelWait(found->first);
  }
  void Renew() { EXPECT_EQ(TextOf(real_->Renew(IdOf(number_))), model_.Renew(number_)); }
  void Extend(int64_t total) {
    const std::string answer = TextOf(real_->Extend(IdOf(number_), Tokens(total)));
    EXPECT_EQ(answer, model_.Extend(number_, total));
    if (answer.rfind("wait", 0) == 0) refused_ = number_;
  }
  void Release() {
    const absl::Status status = real_->Release(IdOf(number_));
    EXPECT_EQ(status.ok() ? "OK" : TextOf(status), model_.Release(number_));
  }
  void Begin() {
    const absl::StatusOr<SequenceId> sequence = real_->BeginSequence(IdOf(number_));
    EXPECT_EQ(sequence.ok() ? "OK" : TextOf(sequence.status()), model_.Begin(number_));
    if (!sequence.ok()) return;
    const std::optional<AppendPlan> plan =
        real_->cache().PlanAppend(*sequence, Tokens(1 + Upto(15)));  // within the first block
    if (plan) real_->cache().Commit(*plan);
    real_->Advance();  // publishes it
  }
  void End() {
    const std::vector<int64_t> running = model_.Running();
    if (running.empty()) return;
    const int64_t number = running[static_cast<size_t>(Upto(std::ssize(running) - 1))];
    real_->EndSequence(IdOf(number));
    model_.End(number);
  }
  void Drain(bool on) {
    real_->SetDraining(on);
    model_.SetDraining(on);
  }
  void Resize(int64_t total) {
    const auto resized =
        real_->Resize(Blocks(total), [](Blocks, auto) { return absl::OkStatus(); });
    EXPECT_EQ(resized.ok() ? "OK" : TextOf(resized.status()), model_.Resize(total));
  }
  void Rare() {
    switch (Upto(5)) {
      case 0:
        return Extend(1 + Upto(200));
      case 3:
        return Resize(10 + Upto(10));
      case 1:
        return Cancel();
      case 2:
        return Drain(Upto(9) == 0);
      default:
        real_->Advance();
        return model_.Catch();
    }
  }

  std::mt19937 random_;
  SimulatedClock clock_;
  std::unique_ptr<KvCache> cache_ =
      *KvCache::Create({.capacity = Blocks(NaiveAdmission::kBlocks), .most = Blocks(20)});
  std::unique_ptr<AdmissionController> real_ = *AdmissionController::Create(
      {.epoch = "e",
       .default_ttl = milliseconds(NaiveAdmission::kDefaultTtl),
       .confirm_window = milliseconds(NaiveAdmission::kConfirmWindow),
       .classes = {{"growing",
                    {.policy = Policy::kWatermark,
                     .watermark = static_cast<double>(NaiveAdmission::kKeptFree) /
                                  static_cast<double>(NaiveAdmission::kBlocks)}}},
       .quotas = {.tenants = {{"a", QuotaOf("a")}, {"b", QuotaOf("b")}},
                  .others = QuotaOf("others")},
       .priority_step = milliseconds(NaiveAdmission::kStep)},
      *cache_, clock_);
  NaiveAdmission model_;
  std::vector<std::string> heard_;
  std::map<int64_t, int64_t> tickets_;  // by caller
  int64_t callers_ = 0;
  int64_t refused_ = 1;  // the last that was refused room to grow
  int64_t number_ = 1;   // the reservation that the next step names
  int64_t revision_ = 0;
};

TEST(AdmissionProperty, AgreesWithTheModelAfterEveryStep) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  Both both(static_cast<uint32_t>(seed));
  for (int step = 0; step < 100000; ++step) {
    both.Step();
    both.CompareState();
    ASSERT_FALSE(HasFailure()) << "step " << step;
  }
  EXPECT_GT(both.model().waited, 1000) << "the walk should be one in which callers wait";
  EXPECT_GT(both.model().came_back, 5) << "and who gave way comes back";
  EXPECT_GT(both.model().outgrown, 0) << "and some wait for more than the pool has by then";
}

}  // namespace
}  // namespace plimsoll
