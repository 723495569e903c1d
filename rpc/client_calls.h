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

#include <functional>
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
  int long_calls = 0;  // guarded by ClientCalls
};

class ClientCalls {
 public:
  explicit ClientCalls(const ClientOptions& options);

  Connection& for_short_calls() { return short_; }

  // Counts a call in; `context` lives until Leave. After CancelAll the call is cancelled at once.
  void Enter(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_);
  // The same for a call that may take long; also picks its connection.
  Connection& EnterLong(grpc::ClientContext* context) ABSL_LOCKS_EXCLUDED(mutex_);
  // The call is over, its callback included. `connection` is what EnterLong gave, or null.
  void Leave(grpc::ClientContext* context, Connection* connection) ABSL_LOCKS_EXCLUDED(mutex_);

  // Cancels every call and waits until all have left.
  void CancelAll() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  std::shared_ptr<grpc::Channel> NewChannel() const;
  Connection& LeastFullLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EnterLocked(grpc::ClientContext* context) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const ClientOptions options_;
  Connection short_;
  absl::Mutex mutex_;
  std::vector<std::unique_ptr<Connection>> long_ ABSL_GUARDED_BY(mutex_);
  std::set<grpc::ClientContext*> in_flight_ ABSL_GUARDED_BY(mutex_);
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace plimsoll
