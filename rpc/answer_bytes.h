// Answers of admission as bytes, for the calls that are made most.
//
// A grant and a release are written as such; what is refused or wrong goes by way of its generated
// message. Either way the bytes are those of the message that convert.h and operation.h make.
//
// Threads: pure functions. Cost: a copy of the texts. Errors: none.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include <cstdint>
#include <string>

#include "kvcache/base/clock.h"
#include "rpc/action.h"

namespace plimsoll {

// Of a ReserveCapacityResponse.
grpc::ByteBuffer ReserveAnswerBytes(const Answer& answer, int64_t revision, Instant now);
// Of a ReleaseReservationResponse.
grpc::ByteBuffer ReleaseAnswerBytes(int64_t revision);

inline constexpr size_t kUsualResultBytes = 160;  // most results take less
// Appends an OperationResult, in this repeated field. The clock is read where it tells a time.
void AppendResult(int field, uint64_t id, const Outcome& outcome, const Clock& clock,
                  std::string& out);
// Appends a number, which zero leaves out.
void AppendNumber(int field, int64_t value, std::string& out);

}  // namespace plimsoll
