// The client's calls in flight: which connection carries each, and how to end them all.
//
// Short calls share one connection. Long calls (waits and generations) fill further ones, each up
// to a fixed number below what a server lets one connection carry; a new one is opened when all are
// full and kept for the next.
//
// Threads: any. Cost: a lock per call; a search over the connections, of which there are few.
// Errors: none here.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "plimsoll/v1/admin.grpc.pb.h"
#include "plimsoll/v1/admission.grpc.pb.h"
#include "plimsoll/v1/capacity.grpc.pb.h"
#include "plimsoll/v1/generation.grpc.pb.h"
#include "rpc/client.h"
#include "rpc/client_identity.h"

namespace plimsoll {

// One connection and what can be called over it.
struct Connection {
  explicit Connection(const std::shared_ptr<grpc::Channel>& channel)
      : admission(v1::AdmissionService::NewStub(channel)),
        capacity(v1::CapacityService::NewStub(channel)),
        generation(v1::GenerationService::NewStub(channel)),
        admin(v1::AdminService::NewStub(channel)) {}

  const std::unique_ptr<v1::AdmissionService::Stub> admission;
  const std::unique_ptr<v1::CapacityService::Stub> capacity;
  const std::unique_ptr<v1::GenerationService::Stub> generation;
  const std::unique_ptr<v1::AdminService::Stub> admin;
  int calls = 0;  // guarded by ClientCalls
};

// How a call ended, in our words: where there is no server, says which one.
absl::Status CallOutcome(const grpc::Status& status, const std::string& server);

class ClientCalls {
 public:
  explicit ClientCalls(const ClientOptions& options);

  // Why no call can succeed: the files of `options.security`.
  absl::Status status() const { return identity_.status(); }
  // Cancels every call in flight, and those that still start, and waits until all are over.
  void CancelAll() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  friend class CallInFlight;

  Connection& Enter(grpc::ClientContext* context, bool may_take_long) ABSL_LOCKS_EXCLUDED(mutex_);
  void Forget(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave(Connection& connection) ABSL_LOCKS_EXCLUDED(mutex_);

  std::shared_ptr<grpc::Channel> NewChannel() const;
  Connection& LeastFullLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ClientOptions options_;
  const absl::StatusOr<ClientIdentity> identity_;
  Connection short_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Connection>> long_ ABSL_GUARDED_BY(mutex_);
  std::set<grpc::ClientContext*> cancellable_ ABSL_GUARDED_BY(mutex_);
  int64_t in_flight_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

// One call, from before it starts until its callback has returned.
//
// A context keeps its channel alive, and a channel must not end on one of gRPC's own threads, which
// it would then wait for. So the context goes first and the call leaves after it; the client's
// destructor, which waits for that, ends the channel. Declare it first in what a call consists of.
class CallInFlight {
 public:
  CallInFlight(ClientCalls& calls, bool may_take_long)
      : calls_(calls),
        context_(std::make_unique<grpc::ClientContext>()),
        connection_(calls.Enter(context_.get(), may_take_long)) {}
  ~CallInFlight() {
    calls_.Forget(context_.get());
    context_.reset();
    calls_.Leave(connection_);
  }
  CallInFlight(const CallInFlight&) = delete;
  CallInFlight& operator=(const CallInFlight&) = delete;

  grpc::ClientContext* context() { return context_.get(); }
  Connection& connection() { return connection_; }

 private:
  ClientCalls& calls_;
  std::unique_ptr<grpc::ClientContext> context_;
  Connection& connection_;
};

}  // namespace plimsoll
