// Generations of a whole engine, for its tests.
//
// Threads: the test's, which steps. Errors: what the engine does not take aborts.
#pragma once

#include <memory>
#include <utility>
#include <variant>
#include <vector>

#include "engine/engine.h"
#include "tests/engine/support/collector.h"
#include "tests/engine/support/tiny_model.h"

namespace plimsoll {

// The smallest model, on disk.
inline const TinyModel& Model() {
  static const TinyModel model(TinyShape{});
  return model;
}

// Reserves and submits, and does not step; null where there is no room. `found`: blocks of a prefix
// that were there.
inline std::shared_ptr<Collector> Start(Engine& engine, const ReservationRequest& request,
                                        std::vector<int32_t> prompt, Blocks* found = nullptr) {
  const auto answer = engine.admission().With(
      [&](AdmissionController& admission) { return admission.Reserve(request); });
  PLIMSOLL_CHECK(answer.ok(), answer.status());
  const auto* const granted = std::get_if<Reservation>(&*answer);
  if (granted == nullptr) return nullptr;
  if (found != nullptr) *found = granted->prefix_blocks;
  auto listener = std::make_shared<Collector>();
  const auto ticket = engine.loop().Submit({.reservation_id = granted->id,
                                            .prompt = std::move(prompt),
                                            .max_new_tokens = request.max_new_tokens},
                                           listener);
  PLIMSOLL_CHECK(ticket.ok(), ticket.status());
  return listener;
}

inline std::shared_ptr<Collector> Start(Engine& engine, std::vector<int32_t> prompt,
                                        int64_t count) {
  const ReservationRequest request{.prompt_tokens = Tokens(std::ssize(prompt)),
                                   .max_new_tokens = Tokens(count)};
  return Start(engine, request, std::move(prompt));
}

}  // namespace plimsoll
