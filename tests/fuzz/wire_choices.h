// Messages of admission as a fuzzer's bytes choose them: mostly ones that mean something, with
// numbers at their edges, ids that are known, old or nonsense, and now and then any bytes that
// parse.
//
// Threads: none. Cost: a message. Errors: none.
#pragma once

#include <deque>
#include <string>

#include "plimsoll/v1/admission.pb.h"
#include "tests/fuzz/choices.h"

namespace plimsoll {

class WireChoices {
 public:
  explicit WireChoices(Choices& choices) : choices_(choices) {}

  // Ids that later messages name.
  void Learn(const std::string& id);

  std::string Id();
  std::string Tenant();
  v1::ReserveCapacityRequest Reserve();
  v1::ExtendReservationRequest Extend();
  v1::ReleaseReservationRequest Release();
  v1::RenewReservationsRequest Renew();
  v1::ReservationClaim Claim();
  v1::Operation Operation(uint64_t id);
  // Zero or more; at times none that a clock has.
  google::protobuf::Duration Time();

  // With bytes of the fuzzer's parsed into it, where they parse and it is their turn.
  template <class Message>
  Message Spoilt(Message message) {
    if (!choices_.OneIn(24)) return message;
    const std::string bytes = message.SerializeAsString() + std::string(choices_.Bytes());
    Message other;
    return other.ParseFromString(bytes) ? other : message;
  }

 private:
  Choices& choices_;
  std::deque<std::string> ids_;
};

}  // namespace plimsoll
