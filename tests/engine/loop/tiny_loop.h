// A loop over a small model, with admission and a pool of its own: for tests of the loop.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/loop/generation_loop.h"
#include "tests/engine/support/collector.h"
#include "tests/engine/support/tiny_model.h"

namespace plimsoll {

inline const TinyModel& Model() {
  static const TinyModel model(TinyShape{});
  return model;
}

// A decoder, admission over its cache, and the loop.
struct Stack {
  explicit Stack(const TinyEngine::Options& options = {}, const LoopOptions& loop_options = {},
                 const TinyModel& model = Model(), const Ops& ops = ReferenceOps(),
                 const PolicyOptions& policy = {}, const DeviceBackend& device = CpuBackend())
      : engine(model, ops, options, device),
        admission(
            *AdmissionController::Create({.epoch = "e", .policy = policy}, *engine.cache, clock)),
        loop(std::make_unique<GenerationLoop>(*engine.decoder, admission, loop_options)) {}

  std::string Reserve(int64_t prompt, int64_t max_new) {
    const auto answer = admission.With([&](AdmissionController& controller) {
      return controller.Reserve(
          {.prompt_tokens = Tokens(prompt), .max_new_tokens = Tokens(max_new)});
    });
    PLIMSOLL_CHECK(answer.ok(), answer.status());
    const auto* const granted = std::get_if<Reservation>(&*answer);
    return granted == nullptr ? "" : granted->id;
  }
  absl::StatusOr<int64_t> Submit(GenerationRequest request, std::shared_ptr<Collector> listener) {
    request.reservation_id = Reserve(std::ssize(request.prompt), request.max_new_tokens.value());
    return loop->Submit(std::move(request), std::move(listener));
  }
  void RunAll() {
    while (loop->Step()) {
      admission.With([](AdmissionController& controller) { controller.CheckInvariants(); });
    }
  }
  void ExpectEmpty() {
    admission.With([](AdmissionController& controller) {
      controller.CheckInvariants();
      EXPECT_EQ(controller.cache().counts().free, controller.cache().counts().total);
      EXPECT_EQ(controller.cache().sequences(), 0);
    });
  }

  SimulatedClock clock;
  TinyEngine engine;
  SharedAdmission admission;
  std::unique_ptr<GenerationLoop> loop;
};

inline GenerationRequest Request(std::vector<int32_t> prompt, int64_t max_new) {
  return {.reservation_id = {}, .prompt = std::move(prompt), .max_new_tokens = Tokens(max_new)};
}

}  // namespace plimsoll
