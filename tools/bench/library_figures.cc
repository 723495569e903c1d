// Admission in this process: many live reservations beside few, and what each costs.
#include <malloc.h>

#include "absl/strings/str_format.h"
#include "kvcache/admission/admission_controller.h"
#include "tools/bench/service_figures.h"

namespace plimsoll {
namespace {

// A controller with so many reservations live.
class LiveLedger {
 public:
  explicit LiveLedger(int64_t live)
      : cache_(*KvCache::Create({.capacity = Blocks(4 * live + 1000)})),
        admission_(*AdmissionController::Create({.epoch = "0123456789abcdef",
                                                 .default_ttl = std::chrono::hours(1),
                                                 .confirm_window = Duration::zero()},
                                                *cache_, clock_)) {}

  absl::StatusOr<std::string> Reserve() {
    const absl::StatusOr<Answer> answer =
        admission_->Reserve({.request_id = absl::StrFormat("%08x-0000-4000-8000-%012x", 1, ++next_),
                             .tenant = "tenant-" + std::to_string(next_ % 8),
                             .prompt_tokens = Tokens(40),
                             .max_new_tokens = Tokens(24)});
    if (!answer.ok()) return answer.status();
    const auto* const granted = std::get_if<Reservation>(&*answer);
    if (granted == nullptr) return absl::InternalError("a ledger with room refused");
    return granted->id;
  }
  absl::Status Fill(int64_t live) {
    for (int64_t i = 0; i < live; ++i) {
      const absl::StatusOr<std::string> id = Reserve();
      if (!id.ok()) return id.status();
    }
    return absl::OkStatus();
  }
  // Nanoseconds of a reservation with its release, over so long.
  absl::StatusOr<double> TimePairs(Duration time) {
    constexpr int64_t kPairs = 100;  // between looks at the clock
    const Instant start = clock_.Now();
    int64_t pairs = 0;
    do {
      for (int64_t i = 0; i < kPairs; ++i) {
        const absl::StatusOr<std::string> id = Reserve();
        if (!id.ok()) return id.status();
        const absl::Status released = admission_->Release(*id);
        if (!released.ok()) return released;
      }
      pairs += kPairs;
    } while (clock_.Now() < start + time);
    return static_cast<double>((clock_.Now() - start).count()) / static_cast<double>(pairs);
  }
  absl::Status Check(int64_t live) const {
    const AdmissionSnapshot now = admission_->Snapshot();
    if (now.reservations == live && now.blocks.reserved == live * Blocks(4)) {
      return absl::OkStatus();
    }
    return absl::InternalError(absl::StrFormat("%d reservations hold %d blocks, want %d of 4",
                                               now.reservations, now.blocks.reserved.value(),
                                               live));
  }

 private:
  SystemClock clock_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<AdmissionController> admission_;
  uint64_t next_ = 0;
};

double BytesInUse() {
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

absl::Status AddLiveFigure(const AdmissionBenchOptions& options, AdmissionFigures& figures) {
  constexpr int64_t kFew = 100;
  const std::string what = absl::StrFormat("in process: %d live beside %d", options.live, kFew);
  if (!Wanted(options, what)) return absl::OkStatus();
  const Duration time = options.time / 40;
  LiveLedger few(kFew), many(options.live);
  absl::Status status = few.Fill(kFew);
  status.Update(many.Fill(options.live));
  std::vector<double> of_few, of_many, ratio;
  for (int i = 0; i < 5 * options.rounds && status.ok(); ++i) {
    const absl::StatusOr<double> small = few.TimePairs(time);
    const absl::StatusOr<double> large = many.TimePairs(time);
    status.Update(small.status());
    status.Update(large.status());
    if (!status.ok()) break;
    of_few.push_back(*small);
    of_many.push_back(*large);
    ratio.push_back(*large / *small);
  }
  status.Update(few.Check(kFew));
  status.Update(many.Check(options.live));
  if (!status.ok()) return status;
  figures.push_back({.what = what,
                     .unit = "ns/pair",
                     .ours = MedianOf(of_many),
                     .peer = MedianOf(of_few),
                     .judged = MedianOf(ratio),
                     .goal = 1.10,
                     .at_least = false});
  return absl::OkStatus();
}

absl::Status AddMemoryFigure(const AdmissionBenchOptions& options, AdmissionFigures& figures) {
  const int64_t live = 10 * options.live;
  const std::string what = absl::StrFormat("memory of a live reservation, of %d", live);
  if (!Wanted(options, what)) return absl::OkStatus();
  LiveLedger ledger(live);
  const double before = BytesInUse();
  absl::Status status = ledger.Fill(live);
  status.Update(ledger.Check(live));
  if (!status.ok()) return status;
  const double each = (BytesInUse() - before) / static_cast<double>(live);
  figures.push_back({.what = what,
                     .unit = "bytes",
                     .ours = each,
                     .peer = {},
                     .judged = each,
                     .goal = 1024,
                     .at_least = false});
  return absl::OkStatus();
}

}  // namespace

absl::Status AddLibraryFigures(const AdmissionBenchOptions& options, AdmissionFigures& figures) {
  absl::Status status = AddLiveFigure(options, figures);
  status.Update(AddMemoryFigure(options, figures));
  return status;
}

}  // namespace plimsoll
