// AdmissionService.Session: a dialogue (session_dialogue.h) on a stream of gRPC's.
//
// One write is on its way at a time, and what comes meanwhile goes with the next.
//
// Invariant: Finish is called once.
//
// Threads: gRPC's and the housekeeper's. Order of locks: the stream's own, then the dialogue's.
// Cost: as the dialogue's. Errors: as the proto says.
#pragma once

#include "absl/status/statusor.h"
#include "rpc/caller.h"
#include "rpc/served.h"
#include "rpc/session.h"

namespace plimsoll {

// Owns itself until the call is over. `sessions` outlives it.
grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartSession(
    const Served& served, Sessions& sessions, absl::StatusOr<Caller> caller);

}  // namespace plimsoll
