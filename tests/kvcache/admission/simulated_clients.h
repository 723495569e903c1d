// Many clients against one controller on simulated time: they lose replies, retry, give up, crash,
// grow, give way and come back, some over streams that hold their leases open until they break,
// in storms, with tenants, priorities and classes mixed, on a clock
// that at times jumps forward. Everything follows from the seed.
//
// What it checks after each step: the controller's own invariants, tenants included; that each
// client holds what it was told, exactly as long as its lease lives; that no request was granted
// twice; that whoever asks within what its tenant has not used of its minimum is served at once;
// and that the quiet client, a large request of the lowest priority, is served within kLongestWait.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kvcache/admission/admission_controller.h"

namespace plimsoll {

class SimulatedClients {
 public:
  static constexpr Duration kTtl = std::chrono::milliseconds(900);
  static constexpr Duration kWindow = std::chrono::milliseconds(400);
  static constexpr Duration kStep = std::chrono::milliseconds(300);
  // Nobody holds on for longer, unless it waits for room to grow.
  static constexpr Duration kLongestHold = std::chrono::seconds(3);
  static constexpr int64_t kTenants = 5;
  // Four classes to age through; then each tenant has a turn, and each turn waits for whoever
  // holds.
  static constexpr Duration kLongestWait = 4 * kStep + kTenants * kLongestHold;
  static constexpr int64_t kBlocks = 64;
  static constexpr int64_t kGuaranteed = 12;  // to the tenant "gold"

  explicit SimulatedClients(uint32_t seed) : random_(seed) {
    for (Client& client : clients_) client.next = clock_.Now() + Milliseconds(500);
  }

  void Run(Duration time) {
    const Duration end = calm_ + time;
    while (calm_ < end && !testing::Test::HasFailure()) Step();
  }
  // Nobody asks any more: those who wait patiently are all served.
  void RunOut() {
    arrivals_ = false;
    const Duration end = calm_ + kLongestWait;
    while (calm_ < end && AnyWaits() && !testing::Test::HasFailure()) Step();
    EXPECT_FALSE(AnyWaits()) << "somebody waits for ever";
  }
  // Everybody dies at once; sequences that run are stopped by the loop.
  void Kill() {
    for (Client& client : clients_) {
      if (client.state == State::kRunning) orphans_.push_back({client.id, clock_.Now()});
      BreakOff(client);
      Forget(client);
      client.state = State::kDead;
    }
    for (const int64_t ticket : tickets_) admission_->CancelWait(ticket);  // connections broke
    EndOrphans(clock_.Now() + kLongestHold);
    clock_.Advance(kTtl);
    admission_->Advance();
  }

  AdmissionSnapshot Snapshot() const { return admission_->Snapshot(); }
  const std::string& log() const { return log_; }
  Duration longest_wait() const { return longest_wait_; }  // of the quiet client
  int64_t yielded() const { return yielded_; }

 private:
  // Holds leases open while it is not broken.
  struct Stream final : LeaseKeeper {
    void Keeps(int64_t number) override { EXPECT_TRUE(held.insert(number).second) << number; }
    void Ended(int64_t number, EndCause) override { EXPECT_EQ(held.erase(number), 1u) << number; }
    std::set<int64_t> held;
  };
  enum class State { kIdle, kWaiting, kHolding, kRunning, kDead };
  struct Client {
    State state = State::kIdle;
    ReservationRequest request;
    std::optional<int64_t> ticket;
    bool streams = false;              // its stream lives
    std::vector<int64_t> over_stream;  // tickets of its waits
    std::string id;
    std::string gave_up;  // what it comes back for
    Blocks blocks;
    Instant lease_until;
    int64_t length = 0;  // as it reported
    Instant next;        // when it does something again
    Instant until;
    Duration asked{};  // on the clock that does not jump
    int64_t requests = 0;
  };
  struct Orphan {
    std::string id;
    Instant ends;
  };

  int64_t Upto(int64_t n) { return static_cast<int64_t>(random_() % static_cast<uint64_t>(n + 1)); }
  bool OneIn(int64_t n) { return Upto(n - 1) == 0; }
  Duration Milliseconds(int64_t n) { return std::chrono::milliseconds(Upto(n)); }
  bool Quiet(size_t i) const { return i == 0; }

  bool AnyWaits() const {
    return std::any_of(clients_.begin(), clients_.end(),
                       [](const Client& c) { return c.state == State::kWaiting; });
  }

  void Step() {
    AdvanceToNextEvent();
    if (OneIn(100)) {  // a storm
      for (Client& client : clients_) client.next = std::min(client.next, clock_.Now());
    }
    for (size_t i = 0; i < clients_.size(); ++i) {
      if (clients_[i].state != State::kDead && clients_[i].next <= clock_.Now()) Act(i);
    }
    EndOrphans(clock_.Now());
    Check();
  }

  void AdvanceToNextEvent() {
    if (OneIn(300)) {
      clock_.Advance(Milliseconds(20000));  // it jumps
      admission_->Advance();
      return;
    }
    Instant next = clock_.Now() + std::chrono::milliseconds(50);
    for (const Client& client : clients_) {
      if (client.state != State::kDead) next = std::min(next, client.next);
    }
    if (const auto deadline = admission_->NextDeadline()) next = std::min(next, *deadline);
    next = std::max(next, clock_.Now() + std::chrono::milliseconds(1));
    calm_ += next - clock_.Now();
    clock_.AdvanceTo(next);
    admission_->Advance();
  }

  void Act(size_t i) {
    Client& client = clients_[i];
    client.next = clock_.Now() + std::chrono::milliseconds(1) + Milliseconds(100);
    if (!Quiet(i) && OneIn(60)) return Crash(client);
    switch (client.state) {
      case State::kIdle:
        return arrivals_ ? Ask(i) : void();
      case State::kWaiting:
        if (!Quiet(i) && OneIn(30)) GiveUp(client);
        return;
      case State::kHolding:
        return Hold(client);
      case State::kRunning:
        return Generate(client);
      case State::kDead:
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
    if (client.state == State::kRunning) {
      orphans_.push_back({client.id, clock_.Now() + Milliseconds(1000)});
    }
    if (client.ticket && OneIn(2)) admission_->CancelWait(*client.ticket);
    BreakOff(client);
    Forget(client);
    client.next = clock_.Now() + Milliseconds(300);
  }
  // What the stream held has a lease again, and nobody waits over it.
  void BreakOff(Client& client) {
    Stream& stream = StreamOf(client);
    for (const int64_t ticket : std::exchange(client.over_stream, {})) {
      admission_->CancelWait(ticket);
    }
    const std::set<int64_t> held = stream.held;
    for (const int64_t number : held) admission_->LetGo(number, stream, kTtl);
    if (client.streams) client.lease_until = clock_.Now() + kTtl;
    client.streams = false;
  }
  void TakeUp(Client& client) {
    ASSERT_TRUE(admission_->Keep(client.id, StreamOf(client)).ok()) << "its lease is not over";
    client.streams = true;
    client.lease_until = Instant::max();
  }
  Stream& StreamOf(const Client& client) {
    return streams_[static_cast<size_t>(&client - clients_.data())];
  }
  void EndOrphans(Instant now) {
    std::erase_if(orphans_, [&](const Orphan& orphan) {
      if (orphan.ends <= now) admission_->EndSequence(orphan.id);
      return orphan.ends <= now;
    });
  }

  void Ask(size_t i) {
    Client& client = clients_[i];
    BreakOff(client);
    client.streams = OneIn(2);
    static const std::vector<std::string> kNames = {"quiet", "gold", "iron", "", "tin"};
    client.request = {.request_id = std::to_string(i) + "/" + std::to_string(++client.requests),
                      .tenant = kNames[Quiet(i) ? 0 : 1 + i % (kNames.size() - 1)],
                      .prompt_tokens = Tokens(1 + Upto(250)),
                      .max_new_tokens = Tokens(Upto(100)),
                      .ttl = kTtl,
                      .priority = static_cast<int>(Upto(4)) - 2,
                      .request_class = OneIn(2)   ? "growing"
                                       : OneIn(2) ? "careful"
                                                  : "",
                      .resumes = client.gave_up};
    if (Quiet(i)) {
      client.request.prompt_tokens = Tokens(16 * 30);
      client.request.priority = kLowestPriority;
      client.request.request_class = "";
    }
    client.asked = calm_;
    Send(i);
    if (!Quiet(i) && OneIn(4)) Send(i);  // the reply was lost: once more, with the same id
  }

  void Send(size_t i) {
    const int64_t request = clients_[i].requests;
    const bool patient = Quiet(i) || OneIn(2);
    const Duration patience = patient ? std::chrono::hours(10) : Milliseconds(2000);
    const auto ticket = admission_->ReserveOrWait(
        clients_[i].request, patience,
        [this, i, request](const Answer& answer) {
          if (clients_[i].requests == request) Hear(i, answer);
        },
        clients_[i].streams ? &streams_[i] : nullptr);
    ASSERT_TRUE(ticket.ok()) << ticket.status();
    if (!ticket->has_value()) return;
    clients_[i].ticket = *ticket;
    tickets_.push_back(**ticket);
    if (clients_[i].streams) clients_[i].over_stream.push_back(**ticket);
    clients_[i].state = State::kWaiting;
  }

  void Hear(size_t i, const Answer& answer) {
    Client& client = clients_[i];
    client.ticket.reset();
    const Reservation* const held = std::get_if<Reservation>(&answer);
    log_ += held != nullptr ? held->id + " "
                            : std::string(NameOf(std::get<Refusal>(answer).reason)) + " ";
    client.state = held != nullptr ? State::kHolding : State::kIdle;
    if (held == nullptr) return;
    if (!client.id.empty() && client.id != held->id) ADD_FAILURE() << "two for one request";
    if (client.id.empty() && !granted_.insert(held->id).second) ADD_FAILURE() << "granted twice";
    client.id = held->id;
    client.blocks = held->blocks;
    client.lease_until = client.streams ? Instant::max() : held->expires;
    client.length = client.request.prompt_tokens.value();
    client.until = clock_.Now() + Milliseconds(1500);
    if (Quiet(i)) longest_wait_ = std::max(longest_wait_, calm_ - client.asked);
  }

  void GiveUp(Client& client) {
    admission_->CancelWait(*client.ticket);
    BreakOff(client);
    Forget(client);
  }

  // Its lease may have ended in a jump of the clock.
  void Hold(Client& client) {
    if (client.lease_until <= clock_.Now()) {
      EXPECT_FALSE(admission_->Renew(client.id).ok()) << "the lease was over";
      return Forget(client);
    }
    if (clock_.Now() >= client.until) return Finish(client);
    if (OneIn(10)) return client.streams ? BreakOff(client) : TakeUp(client);
    if (!client.request.request_class.empty()) return Grow(client);
    if (OneIn(3)) {
      const absl::StatusOr<SequenceId> sequence = admission_->BeginSequence(client.id);
      ASSERT_TRUE(sequence.ok()) << sequence.status();
      client.state = State::kRunning;
      sequence_of_.insert_or_assign(client.id, *sequence);
      return;
    }
    Renew(client);
  }
  void Renew(Client& client) {
    ASSERT_TRUE(admission_->Renew(client.id).ok()) << "it renews in time";
    if (!client.streams) client.lease_until = clock_.Now() + kTtl;
  }

  void Grow(Client& client) {
    const Tokens most = client.request.prompt_tokens + client.request.max_new_tokens;
    const int64_t length = std::min(client.length + 1 + Upto(30), most.value());
    const absl::StatusOr<Answer> answer = admission_->Extend(client.id, Tokens(length));
    ASSERT_TRUE(answer.ok()) << answer.status();
    if (const auto* refusal = std::get_if<Refusal>(&*answer)) {
      if (!refusal->yield) return Renew(client);
      ++yielded_;
      const std::string id = client.id;
      Finish(client);
      client.gave_up = id;
      return;
    }
    client.length = length;
    client.blocks = std::get<Reservation>(*answer).blocks;
    if (!client.streams) client.lease_until = clock_.Now() + kTtl;
    if (length == most.value()) Finish(client);
  }

  void Generate(Client& client) {
    const SequenceId sequence = sequence_of_.at(client.id);
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

  void Check() {
    admission_->CheckInvariants();
    for (const Client& client : clients_) {
      if (client.id.empty()) continue;
      const absl::StatusOr<Reservation> held = admission_->Get(client.id);
      const bool lives = client.state == State::kRunning || client.lease_until > clock_.Now();
      ASSERT_EQ(held.ok(), lives) << held.status();
      ASSERT_EQ(lives ? held->blocks : client.blocks, client.blocks);
    }
    const Client& quiet = clients_[0];
    const bool waits = quiet.state == State::kWaiting;
    ASSERT_LE(waits ? calm_ - quiet.asked : Duration::zero(), kLongestWait);
    CheckMinimum();
  }
  void CheckMinimum() {
    for (const TenantUse& use : admission_->Tenants()) {
      if (use.tenant != "gold" || use.waiting > 0 || use.blocks >= Blocks(kGuaranteed)) continue;
      const Answer answer = admission_->CanAdmit(
          {.tenant = "gold", .prompt_tokens = Tokens(1), .max_new_tokens = Tokens(0)});
      ASSERT_TRUE(std::holds_alternative<Reservation>(answer)) << "it is guaranteed";
    }
  }

  std::mt19937 random_;
  SimulatedClock clock_;
  std::unique_ptr<KvCache> cache_ = *KvCache::Create({.capacity = Blocks(kBlocks)});
  std::unique_ptr<AdmissionController> admission_ = *AdmissionController::Create(
      {.epoch = "s",
       .default_ttl = kTtl,
       .confirm_window = kWindow,
       .classes = {{"growing", {.policy = Policy::kWatermark, .watermark = 0.02}},
                   {"careful", {.policy = Policy::kQuantile, .overflow_goal = 0.05}}},
       .quotas = {.tenants = {{"gold", {.guaranteed = Blocks(kGuaranteed), .most = Blocks(40)}},
                              {"iron", {.guaranteed = Blocks(6), .most = Blocks(20)}}},
                  .others = {.guaranteed = Blocks(4), .most = Blocks(46)}},
       .priority_step = kStep},
      *cache_, clock_);
  std::vector<Client> clients_ = std::vector<Client>(21);
  std::vector<Stream> streams_ = std::vector<Stream>(clients_.size());
  std::map<std::string, SequenceId> sequence_of_;
  std::vector<int64_t> tickets_;  // all that were ever given
  std::vector<Orphan> orphans_;   // run on after their client crashed
  std::set<std::string> granted_;
  bool arrivals_ = true;
  Duration calm_{};  // time, jumps apart
  Duration longest_wait_{};
  int64_t yielded_ = 0;
  std::string log_;
};

}  // namespace plimsoll
