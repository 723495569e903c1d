// What live reservations, and the record of ended ones, occupy: counts every `new` of this program.
#include <gtest/gtest.h>
#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <new>
#include <string>

#include "kvcache/admission/admission_controller.h"

namespace {

std::atomic<int64_t> bytes_in_use = 0;

}  // namespace

void* operator new(size_t size) {
  void* const memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  bytes_in_use += static_cast<int64_t>(malloc_usable_size(memory));
  return memory;
}
void operator delete(void* memory) noexcept {
  bytes_in_use -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}
void operator delete(void* memory, size_t) noexcept {
  bytes_in_use -= static_cast<int64_t>(malloc_usable_size(memory));
  std::free(memory);
}

namespace plimsoll {
namespace {

constexpr int64_t kMany = 20'000;

class AdmissionMemory : public testing::Test {
 protected:
  void Start(Bytes cap) {
    cache_ = *KvCache::Create({.capacity = Blocks(4 * kMany)});
    admission_ = *AdmissionController::Create(
        {.epoch = "0123456789abcdef", .confirm_window = Duration::zero(), .idempotency_bytes = cap},
        *cache_, clock_);
  }
  // As a router would: an id of 36 characters and one of some tenants.
  std::string Reserve() {
    const std::string digits = std::to_string(100'000'000'000 + ++asked_);
    const Answer answer = *admission_->Reserve({.request_id = "0f8fad5b-d9cb-469f-a165-" + digits,
                                                .tenant = "tenant-" + std::to_string(asked_ % 8),
                                                .prompt_tokens = Tokens(40),
                                                .max_new_tokens = Tokens(24)});
    return std::get<Reservation>(answer).id;
  }

  SystemClock clock_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<AdmissionController> admission_;
  int64_t asked_ = 0;
};

TEST_F(AdmissionMemory, ALiveReservationIsAtMostAKibibyteWithAllIndices) {
  Start(Bytes(64 << 20));
  const int64_t before = bytes_in_use;
  for (int64_t i = 0; i < kMany; ++i) Reserve();
  const int64_t each = (bytes_in_use - before) / kMany;
  std::printf("%lld bytes for a live reservation\n", static_cast<long long>(each));
  EXPECT_LE(each, 1024);
  EXPECT_GT(each, 100) << "nothing was counted";
}

TEST_F(AdmissionMemory, TheRecordOfEndedOnesStaysBelowItsCap) {
  constexpr int64_t kCap = 1 << 20;
  Start(Bytes(kCap));
  const int64_t before = bytes_in_use;
  const std::string first = Reserve();
  ASSERT_TRUE(admission_->Release(first).ok());
  for (int64_t i = 0; i < kMany; ++i) ASSERT_TRUE(admission_->Release(Reserve()).ok());
  EXPECT_LE(bytes_in_use - before, kCap + kCap / 8) << "what is counted is what is there";
  EXPECT_GT(bytes_in_use - before, kCap / 2);
  EXPECT_TRUE(absl::IsNotFound(admission_->Release(first))) << "it is forgotten";
}

}  // namespace
}  // namespace plimsoll
