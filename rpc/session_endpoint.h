// AdmissionService.Session: operations and their results on one stream.
//
// What a message asks is done under one lock and answered in one message, together with what else
// there is to say by then: one write is on its way at a time, and what comes meanwhile goes with
// the next. So results are the larger the busier the stream is.
//
// Invariants: Finish is called once. Nothing is done for a stream that does not have its session
// any more. What is not yet written is bounded: with more than kMaxUnanswered operations without an
// answer that was written, the stream is cut off.
//
// Threads: gRPC's and the housekeeper's. Order of locks: admission, then the stream's own.
// Cost: one admission lock per message. Errors: as the proto says.
#pragma once

#include <cstdint>

#include "plimsoll/v1/admission.pb.h"
#include "rpc/served.h"
#include "rpc/session.h"

namespace plimsoll {

inline constexpr int64_t kMaxUnanswered = 4096;

// Owns itself until the call is over. `sessions` outlives it.
grpc::ServerBidiReactor<v1::SessionRequest, v1::SessionResponse>* StartSession(const Served& served,
                                                                               Sessions& sessions);

}  // namespace plimsoll
