#include "tools/bench/watch_load.h"

#include <grpcpp/grpcpp.h>

#include <thread>

#include "absl/strings/str_format.h"
#include "absl/synchronization/notification.h"
#include "plimsoll/v1/capacity.grpc.pb.h"
#include "tools/bench/unary_load.h"

namespace plimsoll {

class WatchLoad::Stream final : public grpc::ClientReadReactor<v1::WatchCapacityResponse> {
 public:
  Stream(WatchLoad& load, const std::shared_ptr<grpc::Channel>& channel, Duration min_interval)
      : load_(load), stub_(v1::CapacityService::NewStub(channel)) {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(min_interval);
    request_.mutable_min_interval()->set_seconds(seconds.count());
    request_.mutable_min_interval()->set_nanos(
        static_cast<int32_t>(Duration(min_interval - seconds).count()));
    stub_->async()->WatchCapacity(&context_, &request_, this);
    StartRead(&message_);
    StartCall();
  }
  ~Stream() override {
    context_.TryCancel();
    over_.WaitForNotification();
  }

  void OnReadDone(bool ok) override {
    if (!ok) return;
    if (!began_) load_.began_.fetch_add(1);
    began_ = true;
    load_.updates_.fetch_add(1);
    StartRead(&message_);
  }
  void OnDone(const grpc::Status&) override { over_.Notify(); }

 private:
  WatchLoad& load_;
  const std::unique_ptr<v1::CapacityService::Stub> stub_;
  grpc::ClientContext context_;
  v1::WatchCapacityRequest request_;
  v1::WatchCapacityResponse message_;
  bool began_ = false;
  absl::Notification over_;
};

WatchLoad::~WatchLoad() = default;

absl::StatusOr<std::unique_ptr<WatchLoad>> WatchLoad::Open(const std::string& address, int watchers,
                                                           Duration min_interval) {
  constexpr int kStreamsOfAConnection = 64;
  std::unique_ptr<WatchLoad> load(new WatchLoad);
  std::shared_ptr<grpc::Channel> channel;
  for (int i = 0; i < watchers; ++i) {
    if (i % kStreamsOfAConnection == 0) channel = BenchChannel(address, i + 1);
    load->streams_.push_back(std::make_unique<Stream>(*load, channel, min_interval));
  }
  for (int waited = 0; load->began_.load() < watchers; ++waited) {
    if (waited > 1000) {
      return absl::InternalError(
          absl::StrFormat("%d of %d watchers heard something", load->began_.load(), watchers));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return load;
}

}  // namespace plimsoll
