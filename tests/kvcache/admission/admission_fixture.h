// A pool, a simulated clock and an admission controller, small enough to work through by hand: 10
// blocks of 16 tokens, epoch "e1", leases of 30 s, a confirm window of 5 s.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "kvcache/admission/admission_controller.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

// One value that must be there.
template <class T>
T Must(absl::StatusOr<T> value) {
  EXPECT_TRUE(value.ok()) << std::string(value.status().message());
  return *std::move(value);
}

inline ReservationRequest RequestOf(int64_t prompt, int64_t max_new, std::string tenant = {}) {
  return {.tenant = std::move(tenant),
          .prompt_tokens = Tokens(prompt),
          .max_new_tokens = Tokens(max_new)};
}

inline bool IsAdmitted(const Answer& answer) { return std::holds_alternative<Reservation>(answer); }

class AdmissionTest : public testing::Test {
 protected:
  explicit AdmissionTest(Blocks capacity = Blocks(10)) {
    cache_ = Must(KvCache::Create({.capacity = capacity}));
    Restart({.epoch = "e1"});
  }

  void Restart(const AdmissionOptions& options) {
    admission_ = Must(AdmissionController::Create(options, *cache_, clock_));
  }

  // Asks for `blocks` whole blocks.
  absl::StatusOr<Answer> Ask(int64_t blocks) {
    return admission_->Reserve(RequestOf(16 * blocks, 0));
  }
  Reservation Hold(int64_t blocks) { return std::get<Reservation>(Must(Ask(blocks))); }
  Refusal Refused(const ReservationRequest& request) {
    return std::get<Refusal>(Must(admission_->Reserve(request)));
  }
  // Queues for `blocks` and files the answer under `name` in answers_.
  std::optional<int64_t> Queue(const std::string& name, int64_t blocks, std::string tenant = {},
                               Duration wait = std::chrono::seconds(1000)) {
    return Must(admission_->ReserveOrWait(
        RequestOf(16 * blocks, 0, std::move(tenant)), wait,
        [this, name](const Answer& answer) { answers_.emplace_back(name, answer); }));
  }
  std::vector<std::string> Answered() const {
    std::vector<std::string> names;
    for (const auto& [name, answer] : answers_) {
      names.push_back(IsAdmitted(answer)
                          ? name
                          : name + ":" + std::string(NameOf(std::get<Refusal>(answer).reason)));
    }
    return names;
  }
  void After(Duration time) {
    clock_.Advance(time);
    admission_->Advance();
    admission_->CheckInvariants();
  }
  Blocks free() const { return cache_->counts().free; }

  SimulatedClock clock_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<AdmissionController> admission_;
  std::vector<std::pair<std::string, Answer>> answers_;
};

}  // namespace plimsoll
