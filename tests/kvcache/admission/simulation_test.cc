// Many clients, some of which lose replies, retry, give up or crash, against one controller on
// simulated time. What a living client was told it holds, it holds; what a dead one held comes back
// within its lease; and the same seed gives the same run.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/admission/admission_controller.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;

constexpr Duration kTtl = milliseconds(900);
constexpr Duration kWindow = milliseconds(400);
constexpr int64_t kBlocks = 64;

// One client: asks, holds while renewing, perhaps generates, releases, and asks again.
struct Client {
  enum class State { kIdle, kWaiting, kHolding, kRunning, kDead };
  State state = State::kIdle;
  ReservationRequest request;
  std::optional<int64_t> ticket;
  std::string id;
  Blocks blocks;
  Instant next;  // when it does something again
  Instant until;
  int64_t requests = 0;
};

class Simulation {
 public:
  explicit Simulation(uint32_t seed) : random_(seed) {
    for (size_t i = 0; i < clients_.size(); ++i) {
      clients_[i].next = clock_.Now() + milliseconds(Upto(500));
    }
  }

  void Run(Duration time) {
    const Instant end = clock_.Now() + time;
    while (clock_.Now() < end) {
      AdvanceToNextEvent();
      for (size_t i = 0; i < clients_.size(); ++i) {
        if (clients_[i].state != Client::State::kDead && clients_[i].next <= clock_.Now()) Act(i);
      }
      Check();
    }
  }

  // Everybody dies at once; sequences that run are stopped by the loop.
  void Kill() {
    for (Client& client : clients_) {
      if (client.state == Client::State::kRunning) orphans_.push_back(client.id);
      Forget(client);
      client.state = Client::State::kDead;
    }
    for (const int64_t ticket : tickets_) admission_->CancelWait(ticket);  // connections broke
    for (const std::string& id : orphans_) admission_->EndSequence(id);
    orphans_.clear();
  }

  void Wait(Duration time) {
    clock_.Advance(time);
    admission_->Advance();
  }

  AdmissionSnapshot Snapshot() const { return admission_->Snapshot(); }
  const std::string& log() const { return log_; }

 private:
  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }
  bool OneIn(int64_t n) { return Upto(n - 1) == 0; }

  void AdvanceToNextEvent() {
    Instant next = clock_.Now() + milliseconds(50);
    for (const Client& client : clients_) {
      if (client.state != Client::State::kDead) next = std::min(next, client.next);
    }
    if (const auto deadline = admission_->NextDeadline()) next = std::min(next, *deadline);
    clock_.AdvanceTo(std::max(next, clock_.Now() + milliseconds(1)));
    admission_->Advance();
  }

  void Act(size_t i) {
    Client& client = clients_[i];
    client.next = clock_.Now() + milliseconds(1 + Upto(100));
    if (OneIn(60)) return Crash(client);
    switch (client.state) {
      case Client::State::kIdle:
        return Ask(i);
      case Client::State::kWaiting:
        if (OneIn(30)) GiveUp(client);
        return;
      case Client::State::kHolding:
        return Hold(client);
      case Client::State::kRunning:
        return Generate(client);
      case Client::State::kDead:
        return;
    }
  }

  // Answers to what it asked before are no longer for it.
  void Forget(Client& client) {
    const Client old = std::exchange(client, Client{});
    client.next = old.next;
    client.requests = old.requests + 1;
  }

  // A client that crashed loses all it knew; another takes its place. Its generation runs on, and
  // ends when the loop sees that nobody listens.
  void Crash(Client& client) {
    if (client.state == Client::State::kRunning) orphans_.push_back(client.id);
    if (client.ticket && OneIn(2)) admission_->CancelWait(*client.ticket);
    Forget(client);
    client.next = clock_.Now() + milliseconds(Upto(300));
    if (OneIn(2) && !orphans_.empty()) {
      admission_->EndSequence(orphans_.back());
      orphans_.pop_back();
    }
  }

  void Ask(size_t i) {
    Client& client = clients_[i];
    client.request = {.request_id = std::to_string(i) + "/" + std::to_string(++client.requests),
                      .tenant = "tenant" + std::to_string(i % 3),
                      .prompt_tokens = Tokens(1 + Upto(250)),
                      .max_new_tokens = Tokens(Upto(100)),
                      .ttl = kTtl};
    Send(i);
    if (OneIn(4)) Send(i);  // the reply was lost: once more, with the same id
  }

  void Send(size_t i) {
    const int64_t request = clients_[i].requests;
    const auto ticket = admission_->ReserveOrWait(clients_[i].request, milliseconds(Upto(2000)),
                                                  [this, i, request](const Answer& answer) {
                                                    if (clients_[i].requests == request)
                                                      Hear(clients_[i], answer);
                                                  });
    ASSERT_TRUE(ticket.ok()) << ticket.status();
    if (!ticket->has_value()) return;
    clients_[i].ticket = *ticket;
    tickets_.push_back(**ticket);
    clients_[i].state = Client::State::kWaiting;
  }

  void Hear(Client& client, const Answer& answer) {
    client.ticket.reset();
    const Reservation* const held = std::get_if<Reservation>(&answer);
    log_ += held != nullptr ? held->id + " "
                            : std::string(NameOf(std::get<Refusal>(answer).reason)) + " ";
    client.state = held != nullptr ? Client::State::kHolding : Client::State::kIdle;
    if (held == nullptr) return;
    if (!client.id.empty() && client.id != held->id) ADD_FAILURE() << "two for one request";
    client.id = held->id;
    client.blocks = held->blocks;
    client.until = clock_.Now() + milliseconds(Upto(1500));
  }

  void GiveUp(Client& client) {
    admission_->CancelWait(*client.ticket);
    Forget(client);
  }

  void Hold(Client& client) {
    if (clock_.Now() >= client.until) return Finish(client);
    if (OneIn(3)) {
      const absl::StatusOr<SequenceId> sequence = admission_->BeginSequence(client.id);
      ASSERT_TRUE(sequence.ok()) << sequence.status();
      sequences_.insert_or_assign(client.id, *sequence);
      client.state = Client::State::kRunning;
      return;
    }
    ASSERT_TRUE(admission_->Renew(client.id).ok()) << "it renews in time";
  }

  void Generate(Client& client) {
    const SequenceId sequence = sequences_.at(client.id);
    const Tokens length = admission_->cache().Length(sequence) + Tokens(20);
    if (length > client.request.prompt_tokens + client.request.max_new_tokens) {
      admission_->EndSequence(client.id);
      Forget(client);
      return;
    }
    const std::optional<AppendPlan> plan = admission_->cache().PlanAppend(sequence, Tokens(20));
    ASSERT_TRUE(plan.has_value()) << "it was promised";
    EXPECT_EQ(plan->from_free, Blocks(0));
    admission_->cache().Commit(*plan);
  }

  void Finish(Client& client) {
    const int times = OneIn(4) ? 2 : 1;  // the reply may be lost
    for (int i = 0; i < times; ++i) EXPECT_TRUE(admission_->Release(client.id).ok());
    Forget(client);
  }

  void Check() const {
    admission_->CheckInvariants();
    for (const Client& client : clients_) {
      if (client.id.empty()) continue;
      const absl::StatusOr<Reservation> held = admission_->Get(client.id);
      ASSERT_TRUE(held.ok()) << held.status();
      ASSERT_EQ(held->blocks, client.blocks);
    }
  }

  std::mt19937 random_;
  SimulatedClock clock_;
  std::unique_ptr<KvCache> cache_ = *KvCache::Create({.capacity = Blocks(kBlocks)});
  std::unique_ptr<AdmissionController> admission_ = *AdmissionController::Create(
      {.epoch = "s", .default_ttl = kTtl, .confirm_window = kWindow}, *cache_, clock_);
  std::vector<Client> clients_ = std::vector<Client>(16);
  std::map<std::string, SequenceId> sequences_;
  std::vector<int64_t> tickets_;      // all that were ever given
  std::vector<std::string> orphans_;  // run on after their client crashed
  std::string log_;
};

TEST(AdmissionSimulation, NothingIsLostAndNothingLeaks) {
  const int first = testing::UnitTest::GetInstance()->random_seed();
  int64_t waited = 0;
  int64_t expired = 0;
  for (int seed = first; seed < first + 200; ++seed) {
    SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
    Simulation simulation(static_cast<uint32_t>(seed));
    simulation.Run(std::chrono::seconds(3));
    simulation.Kill();
    simulation.Wait(kTtl);
    const AdmissionSnapshot end = simulation.Snapshot();
    ASSERT_EQ(end.blocks.free, end.blocks.total);
    ASSERT_EQ(end.admitted, end.released + end.expired);
    ASSERT_EQ(end.waiting, 0);
    ASSERT_FALSE(HasFailure());
    waited += end.waited;
    expired += end.expired;
  }
  EXPECT_GT(waited, 1000) << "the pool should run full";
  EXPECT_GT(expired, 1000) << "clients should die";
}

TEST(AdmissionSimulation, TheSameSeedGivesTheSameRun) {
  Simulation once(7);
  Simulation again(7);
  once.Run(std::chrono::seconds(10));
  again.Run(std::chrono::seconds(10));
  EXPECT_EQ(once.log(), again.log());
  EXPECT_GT(once.log().size(), 1000u);
}

}  // namespace
}  // namespace plimsoll
