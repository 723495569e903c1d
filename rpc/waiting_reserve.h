// One ReserveCapacity call that queues for room.
//
// The call is parked until admission answers or the caller goes away, whichever is first. The
// answer comes from inside the admission lock, so it is delivered by the housekeeper. A caller who
// left before the grant gets nothing: the blocks go back at once, unless a request_id lets him come
// back for them; then they live for the confirm window like any unconfirmed grant.
//
// Invariant: Finish is called once: by Deliver if admission answered, else by OnCancel.
// Threads: gRPC's and the housekeeper's. Cost: one small object. Errors: as the proto says.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "rpc/served.h"

namespace plimsoll {

class WaitingReserve final : public grpc::ServerUnaryReactor {
 public:
  // Owns itself until the call is over.
  static grpc::ServerUnaryReactor* Start(const Served& served,
                                         const grpc::CallbackServerContext& context,
                                         const ReservationRequest& request, Duration max_wait,
                                         grpc::ByteBuffer* out);

  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_);
  void OnDone() override { delete this; }

 private:
  WaitingReserve(const Served& served, const grpc::CallbackServerContext& context,
                 bool may_come_back, grpc::ByteBuffer* out)
      : served_(served), context_(context), may_come_back_(may_come_back), out_(out) {}

  void Answered(const Answer& answer) ABSL_LOCKS_EXCLUDED(mutex_);  // inside the admission lock
  void Deliver(const Answer& answer);

  const Served& served_;
  const grpc::CallbackServerContext& context_;
  const bool may_come_back_;  // the request has an id under which to ask again
  grpc::ByteBuffer* const out_;
  absl::Mutex mutex_;
  std::optional<int64_t> ticket_ ABSL_GUARDED_BY(mutex_);
  bool answered_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace plimsoll
