#include "rpc/client_calls.h"

#include <algorithm>

#include "kvcache/base/errors.h"
#include "rpc/status.h"

namespace plimsoll {
namespace {

// Below the 100 calls that a server takes per connection.
constexpr int kLongCallsPerConnection = 90;
constexpr int kFirstBackoffMs = 100;
constexpr int kLongestBackoffMs = 1000;
constexpr int kSilenceMs = 10'000;

}  // namespace

absl::Status CallOutcome(const grpc::Status& status, const std::string& server) {
  const absl::Status ours = FromGrpc(status);
  return absl::IsUnavailable(ours) ? Annotate(ours, "no server at " + server) : ours;
}

ClientCalls::ClientCalls(const ClientOptions& options)
    : options_(options),
      identity_(IdentityOf(options.security, options.server)),
      short_(NewChannel()) {}

std::shared_ptr<grpc::Channel> ClientCalls::NewChannel() const {
  const auto connect_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.connect_timeout).count();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstBackoffMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestBackoffMs);
  // Despite its name, how long one attempt may take.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, static_cast<int>(connect_ms));
  // While a call is under way, a server that is silent for so long is asked whether it is there: a
  // wait or a session would not find out otherwise that the network or the machine is gone.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kSilenceMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kSilenceMs / 2);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Without credentials, every call over it fails.
  return grpc::CreateCustomChannel(options_.server, identity_.ok() ? identity_->channel : nullptr,
                                   arguments);
}

Connection& ClientCalls::Enter(grpc::ClientContext* context, bool may_take_long) {
  if (identity_.ok() && !identity_->authorization.empty()) {
    context->AddMetadata("authorization", identity_->authorization);
  }
  absl::MutexLock lock(&mutex_);
  cancellable_.insert(context);
  if (closing_) context->TryCancel();
  Connection& connection = may_take_long ? LeastFullLocked() : short_;
  ++connection.calls;
  ++in_flight_;
  return connection;
}

Connection& ClientCalls::LeastFullLocked() {
  const auto least = std::min_element(
      long_.begin(), long_.end(), [](const auto& a, const auto& b) { return a->calls < b->calls; });
  if (least != long_.end() && (*least)->calls < kLongCallsPerConnection) return **least;
  return *long_.emplace_back(std::make_unique<Connection>(NewChannel()));
}

void ClientCalls::Forget(grpc::ClientContext* context) {
  absl::MutexLock lock(&mutex_);
  cancellable_.erase(context);
}

void ClientCalls::Leave(Connection& connection) {
  absl::MutexLock lock(&mutex_);
  --connection.calls;
  --in_flight_;
}

void ClientCalls::CancelAll() {
  absl::MutexLock lock(&mutex_);
  closing_ = true;
  for (grpc::ClientContext* context : cancellable_) context->TryCancel();
  const auto all_over = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return in_flight_ == 0; };
  mutex_.Await(absl::Condition(&all_over));
}

}  // namespace plimsoll
