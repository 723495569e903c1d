#include "rpc/orca_endpoint.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "rpc/bounds.h"

namespace plimsoll {
namespace {

using xds::data::orca::v3::OrcaLoadReport;

constexpr Duration kDefault = std::chrono::seconds(10);
constexpr Duration kShortest = std::chrono::milliseconds(100);
constexpr Duration kLongest = std::chrono::hours(1);

// One call: writes a report each interval, unless the last one is still on its way.
class LoadStream final : public grpc::ServerWriteReactor<OrcaLoadReport>,
                         public Housekeeper::Watcher {
 public:
  LoadStream(const Served& served, Duration interval) : served_(served), interval_(interval) {}

  // The housekeeper keeps it alive until the call is over.
  static grpc::ServerWriteReactor<OrcaLoadReport>* Start(const Served& served, Duration interval) {
    auto stream = std::make_shared<LoadStream>(served, interval);
    stream->self_ = stream;
    served.housekeeper.Watch(stream);
    stream->Tick(served.admission.published().Read());
    return stream.get();
  }

  void Tick(const AdmissionSnapshot& now) override ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      const Instant at = std::chrono::steady_clock::now();
      if (over_ || writing_ || at < next_) return;
      writing_ = true;
      next_ = at + interval_;
      message_ = LoadReportOf(served_.Capacity(now));
    }
    StartWrite(&message_);
  }

  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mutex_) {
    bool end = false;
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      end = (over_ || !ok) && !finished_;
      if (end) over_ = finished_ = true;
    }
    if (end) Finish(grpc::Status::CANCELLED);
  }

  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_) {
    bool end = false;
    {
      absl::MutexLock lock(&mutex_);
      over_ = true;
      end = !writing_ && !finished_;  // else OnWriteDone ends it
      if (end) finished_ = true;
    }
    if (end) Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    served_.housekeeper.Unwatch(this);
    const std::shared_ptr<LoadStream> last = std::move(self_);
  }

 private:
  const Served& served_;
  const Duration interval_;
  std::shared_ptr<LoadStream> self_;
  OrcaLoadReport message_;  // of the write in flight
  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool over_ ABSL_GUARDED_BY(mutex_) = false;      // nothing more to write
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called
  Instant next_ ABSL_GUARDED_BY(mutex_) = Instant::min();
};

// A stream that ends at once.
class FailedStream final : public grpc::ServerWriteReactor<OrcaLoadReport> {
 public:
  explicit FailedStream(const absl::Status& status) { Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

OrcaLoadReport LoadReportOf(const CapacityReport& report) {
  const AdmissionSnapshot& now = report.snapshot;
  const double usage = UsageOf(now);
  OrcaLoadReport load;
  load.set_mem_utilization(usage);
  load.set_application_utilization(usage);
  (*load.mutable_utilization())["kv_cache"] = usage;
  auto& named = *load.mutable_named_metrics();
  named["kv_cache_utilization"] = usage;
  named["max_token_capacity"] =
      static_cast<double>(now.blocks.total.value() * report.block_tokens.value());
  named["num_requests_running"] = static_cast<double>(now.reservations);
  named["num_requests_waiting"] = static_cast<double>(now.waiting);
  named["headroom_blocks"] = static_cast<double>(now.headroom.value());
  return load;
}

std::string LoadTrailer::Bytes() {
  const Instant now = std::chrono::steady_clock::now();
  absl::MutexLock lock(&mutex_);
  if (now >= until_) {
    bytes_ = LoadReportOf(served_.Capacity()).SerializeAsString();
    until_ = now + kShortest;
  }
  return bytes_;
}

grpc::ServerWriteReactor<OrcaLoadReport>* OrcaEndpoint::StreamCoreMetrics(
    grpc::CallbackServerContext*, const xds::service::orca::v3::OrcaLoadReportRequest* in) {
  constexpr Duration kFarthest = std::chrono::hours(24 * 365);
  Bounds bounds;
  const Duration asked = bounds.DurationIn("report_interval", in->report_interval(), kFarthest);
  if (!bounds.status().ok()) return new FailedStream(bounds.status());
  const Duration interval = asked == Duration::zero() ? kDefault : asked;
  return LoadStream::Start(served_, std::clamp(interval, kShortest, kLongest));
}

}  // namespace plimsoll
