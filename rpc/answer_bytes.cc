#include "rpc/answer_bytes.h"

#include <algorithm>

#include "rpc/convert.h"
#include "rpc/message_bytes.h"
#include "rpc/operation.h"
#include "rpc/wire_writer.h"

namespace plimsoll {
namespace {

// In field `field`. Of a duration, or of a time since its epoch: they have the same fields.
void WriteTime(int field, Duration duration, WireWriter& out) {
  const size_t before = out.size();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(duration);
  out.Number(google::protobuf::Duration::kNanosFieldNumber, (duration - seconds).count());
  out.Number(google::protobuf::Duration::kSecondsFieldNumber, seconds.count());
  out.Enclose(field, out.size() - before);
}

// From the last field to the first.
void WriteReservation(int field, const Reservation& reservation, Instant now, WireWriter& out) {
  using Wire = v1::Reservation;
  const size_t before = out.size();
  out.Number(Wire::kEndedFieldNumber, int64_t{reservation.ended});
  out.Number(Wire::kPrefixBlocksFieldNumber, reservation.prefix_blocks.value());
  out.Text(Wire::kClaimedIdFieldNumber, reservation.claimed_id);
  out.Number(Wire::kConfirmedFieldNumber, int64_t{reservation.confirmed});
  WriteTime(Wire::kExpireTimeFieldNumber, reservation.expire_time.time_since_epoch(), out);
  WriteTime(Wire::kRemainingFieldNumber, std::max(reservation.expires - now, Duration::zero()),
            out);
  WriteTime(Wire::kTtlFieldNumber, reservation.ttl, out);
  out.Number(Wire::kBlocksFieldNumber, reservation.blocks.value());
  out.Number(Wire::kMaxNewTokensFieldNumber, reservation.max_new_tokens.value());
  out.Number(Wire::kPromptTokensFieldNumber, reservation.prompt_tokens.value());
  out.Text(Wire::kTenantFieldNumber, reservation.tenant);
  out.Text(Wire::kEpochFieldNumber, reservation.epoch);
  out.Text(Wire::kReservationIdFieldNumber, reservation.id);
  out.Enclose(field, out.size() - before);
}

const Reservation* GrantIn(const Outcome& outcome) {
  return outcome.ok() && outcome->has_value() ? std::get_if<Reservation>(&**outcome) : nullptr;
}

}  // namespace

grpc::ByteBuffer ReserveAnswerBytes(const Answer& answer, int64_t revision, Instant now) {
  using Wire = v1::ReserveCapacityResponse;
  if (const auto* const granted = std::get_if<Reservation>(&answer)) {
    WireWriter out;
    out.Number(Wire::kRevisionFieldNumber, revision);
    WriteReservation(Wire::kReservationFieldNumber, *granted, now, out);
    return BytesOf(out.bytes());
  }
  Wire message;
  SetOutcome(answer, now, &message);
  message.set_revision(revision);
  return BytesOf(message.SerializeAsString());
}

grpc::ByteBuffer ReleaseAnswerBytes(int64_t revision) {
  std::string out;
  AppendNumber(v1::ReleaseReservationResponse::kRevisionFieldNumber, revision, out);
  return BytesOf(out);
}

void AppendResult(int field, uint64_t id, const Outcome& outcome, const Clock& clock,
                  std::string& out) {
  using Wire = v1::OperationResult;
  WireWriter bytes;
  const Reservation* const granted = GrantIn(outcome);
  if (granted != nullptr) {
    WriteReservation(Wire::kReservationFieldNumber, *granted, clock.Now(), bytes);
  } else if (outcome.ok() && !outcome->has_value()) {
    bytes.Enclose(Wire::kReleasedFieldNumber, 0);
  } else {
    Wire message;
    SetResult(id, outcome, clock.Now(), &message);
    const std::string text = message.SerializeAsString();
    bytes.Enclose(field, text.size());
    out.append(bytes.bytes()).append(text);
    return;
  }
  bytes.Number(Wire::kIdFieldNumber, id);
  bytes.Enclose(field, bytes.size());
  out.append(bytes.bytes());
}

void AppendNumber(int field, int64_t value, std::string& out) {
  WireWriter bytes;
  bytes.Number(field, value);
  out.append(bytes.bytes());
}

}  // namespace plimsoll
