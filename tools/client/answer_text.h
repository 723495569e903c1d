// What the client's commands print of an answer: a line for people, or one JSON object.
//
// Threads: pure functions. Cost: a string. Errors: none.
#pragma once

#include <string>

#include "kvcache/admission/admission_controller.h"
#include "kvcache/admission/reservation.h"
#include "rpc/capacity_report.h"
#include "rpc/operator_client.h"

namespace plimsoll {

// decision; then reservation_id, epoch, blocks and expire_time, or reason, missing_blocks,
// retry_after_seconds and largest_fit_tokens.
std::string AnswerJson(const Answer& answer);
std::string AnswerText(const Answer& answer);
// previous_blocks, total_blocks, evicted_blocks, moved_blocks.
std::string ResizedJson(const PoolResized& resized);
std::string ResizedText(const PoolResized& resized);
// draining, reservations, held_blocks.
std::string DrainJson(const HeldAtDrain& held);
std::string DrainText(const HeldAtDrain& held);
// revoked, blocks, stopping.
std::string RevokedJson(const Revocation& revocation);
std::string RevokedText(const Revocation& revocation);
std::string CapacityText(const CapacityReport& report);

}  // namespace plimsoll
