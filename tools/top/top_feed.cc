#include "tools/top/top_feed.h"

#include <algorithm>
#include <deque>
#include <thread>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "rpc/operator_client.h"

namespace plimsoll {
namespace {

constexpr Duration kHeartbeat = std::chrono::seconds(1);
constexpr Duration kBeforeAgain = std::chrono::milliseconds(300);
constexpr int64_t kListed = 100;
constexpr size_t kUsages = 512;

double ShareHeld(const AdmissionSnapshot& now) {
  const double held = static_cast<double>((now.blocks.live + now.blocks.reserved).value());
  return held / static_cast<double>(now.blocks.total.value());
}

}  // namespace

struct TopFeed::Impl {
  Impl(std::string server_in, Duration interval_in, std::unique_ptr<OperatorClient> client_in)
      : server(std::move(server_in)), interval(interval_in), client(std::move(client_in)) {}

  void Watch();
  void List();
  void Hear(const CapacityReport* report) ABSL_LOCKS_EXCLUDED(mutex);
  void Note(const absl::Status& fault) ABSL_LOCKS_EXCLUDED(mutex);
  WatchWanted Wanted() const ABSL_LOCKS_EXCLUDED(mutex);
  bool StoppedWithin(Duration time) ABSL_LOCKS_EXCLUDED(mutex);
  void SampleLocked(Instant now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex);

  const std::string server;
  const Duration interval;
  const SystemClock clock;
  const std::unique_ptr<OperatorClient> client;
  mutable absl::Mutex mutex;
  bool stopping ABSL_GUARDED_BY(mutex) = false;
  std::optional<CapacityReport> report ABSL_GUARDED_BY(mutex);
  RecentReports recent ABSL_GUARDED_BY(mutex);
  std::deque<std::pair<Instant, int64_t>> admitted ABSL_GUARDED_BY(mutex);
  std::vector<double> usage ABSL_GUARDED_BY(mutex);
  std::vector<Holding> oldest ABSL_GUARDED_BY(mutex);
  bool listed ABSL_GUARDED_BY(mutex) = false;
  Instant heard ABSL_GUARDED_BY(mutex);
  absl::Status fault ABSL_GUARDED_BY(mutex);
  std::thread watcher, lister;
};

bool TopFeed::Impl::StoppedWithin(Duration time) {
  absl::MutexLock lock(&mutex);
  return mutex.AwaitWithTimeout(absl::Condition(&stopping), absl::FromChrono(time));
}

WatchWanted TopFeed::Impl::Wanted() const {
  absl::MutexLock lock(&mutex);
  WatchWanted wanted{.min_interval = std::min<Duration>(interval, kHeartbeat),
                     .heartbeat = kHeartbeat};
  if (report) {
    wanted.epoch = report->epoch;
    wanted.revision = report->snapshot.revision;
  }
  return wanted;
}

void TopFeed::Impl::Watch() {
  do {
    Note(client->Watch(Wanted(), [this](const CapacityReport* heard_now) {
      Hear(heard_now);
      return true;
    }));
  } while (!StoppedWithin(kBeforeAgain));
}

void TopFeed::Impl::List() {
  do {
    absl::StatusOr<ReservationPage> page = client->ListReservations({.size = kListed});
    absl::MutexLock lock(&mutex);
    const Instant now = clock.Now();
    SampleLocked(now);
    if (!page.ok()) {
      // While the watch is heard of, an old list is no reason to call everything stale.
      if (!listed || now - heard > kStaleAfter) fault = page.status();
      continue;
    }
    oldest = std::move(page->reservations);
    listed = true;
  } while (!StoppedWithin(interval));
}

void TopFeed::Impl::Hear(const CapacityReport* report_now) {
  absl::MutexLock lock(&mutex);
  heard = clock.Now();
  fault = absl::OkStatus();
  if (report_now != nullptr) report = *report_now;
}

void TopFeed::Impl::Note(const absl::Status& fault_now) {
  absl::MutexLock lock(&mutex);
  fault = fault_now;
}

// What has not changed is a report too: of a pool that stands still.
void TopFeed::Impl::SampleLocked(Instant now) {
  if (!report || now - heard > kStaleAfter) return;
  recent.Add(now, *report);
  if (usage.size() == kUsages) usage.erase(usage.begin());
  usage.push_back(ShareHeld(report->snapshot));
  const int64_t count = report->snapshot.admitted;
  if (!admitted.empty() && count < admitted.back().second) admitted.clear();  // another life
  admitted.emplace_back(now, count);
  while (now - admitted.front().first > RecentReports::kSpan) admitted.pop_front();
}

TopFeed::TopFeed(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  impl_->watcher = std::thread([this] { impl_->Watch(); });
  impl_->lister = std::thread([this] { impl_->List(); });
}

absl::StatusOr<std::unique_ptr<TopFeed>> TopFeed::Start(const ClientOptions& options,
                                                        Duration interval) {
  absl::StatusOr<std::unique_ptr<OperatorClient>> client = OperatorClient::Create(options);
  if (!client.ok()) return client.status();
  return std::unique_ptr<TopFeed>(
      new TopFeed(std::make_unique<Impl>(options.server, interval, *std::move(client))));
}

TopFeed::~TopFeed() {
  {
    absl::MutexLock lock(&impl_->mutex);
    impl_->stopping = true;
  }
  impl_->client->Cancel();
  impl_->watcher.join();
  impl_->lister.join();
}

absl::Status TopFeed::WaitForFirst(Duration limit) {
  absl::MutexLock lock(&impl_->mutex);
  const auto known = [this]() ABSL_SHARED_LOCKS_REQUIRED(impl_->mutex) {
    return (impl_->report && impl_->listed) || !impl_->fault.ok();
  };
  const bool came = impl_->mutex.AwaitWithTimeout(absl::Condition(&known), absl::FromChrono(limit));
  if (!came) return absl::UnavailableError("no answer from " + impl_->server);
  if (!impl_->fault.ok()) return impl_->fault;
  impl_->SampleLocked(impl_->clock.Now());
  return absl::OkStatus();
}

TopState TopFeed::State() const {
  absl::MutexLock lock(&impl_->mutex);
  TopState state{.server = impl_->server, .report = impl_->report, .outlook = {}, .usage = {}};
  const Instant now = impl_->clock.Now();
  const Duration silent = now - impl_->heard;
  const bool lives = impl_->fault.ok() && silent <= kStaleAfter;
  if (lives && state.report) impl_->recent.Add(now, *state.report);
  state.outlook = impl_->recent.Outlook();
  state.usage = impl_->usage;
  state.oldest = impl_->oldest;
  if (!lives) {
    state.stale = silent;
    state.fault = std::string(impl_->fault.message());
  }
  const auto admitted = impl_->admitted;  // of some seconds, so a copy is small
  if (admitted.size() >= 2 && admitted.back().first > admitted.front().first) {
    const Duration span = admitted.back().first - admitted.front().first;
    state.admitted_per_second =
        static_cast<double>(admitted.back().second - admitted.front().second) /
        std::chrono::duration<double>(span).count();
  }
  return state;
}

}  // namespace plimsoll
