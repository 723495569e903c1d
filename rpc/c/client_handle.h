// What the calls of plimsoll_client.h share: a client by its token, and answers as it shows them.
//
// Threads: any. Cost: a look-up. Errors: InvalidArgument for a token of no client.
#pragma once

#include <memory>

#include "kvcache/c/answers.h"
#include "kvcache/c/boundary.h"
#include "kvcache/c/handles.h"
#include "rpc/c/plimsoll_client.h"
#include "rpc/reservation_holder.h"

namespace plimsoll::c_interface {

using Clients = Handles<plimsoll_client, ReservationHolder, 2>;

// Runs `use(holder)`, which returns a Status.
template <class Use>
plimsoll_code With(plimsoll_client* token, plimsoll_text* error, const Use& use) {
  return Call(error, [&]() -> absl::Status {
    const std::shared_ptr<ReservationHolder> holder = Clients::All().Find(token);
    if (!holder) return absl::InvalidArgumentError("client: null, closed or no client");
    return use(*holder);
  });
}

inline plimsoll_answer Shown(const Answer& answer) {
  plimsoll_answer out = AnswerOf(answer, SystemClock().Now());
  const auto* const reservation = std::get_if<Reservation>(&answer);
  out.local = reservation != nullptr && ReservationHolder::IsLocal(*reservation) ? 1 : 0;
  return out;
}

}  // namespace plimsoll::c_interface
