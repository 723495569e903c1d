// A loop with swap space, for tests of sequences that stop and are kept.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/loop/swap_space.h"
#include "tests/engine/loop/tiny_loop.h"

namespace plimsoll {

inline constexpr PolicyOptions kNoWatermark{.policy = Policy::kWatermark, .watermark = 0};

struct SwapStack : Stack {
  struct Shape {
    TinyEngine::Options engine = {};
    int64_t swap_blocks = 16;
    std::optional<double> block_seconds = 0.0;  // copies cost nothing, so they are worth it
    LoopOptions loop = {};
    PolicyOptions policy = kNoWatermark;
  };
  explicit SwapStack(const Shape& shape, const TinyModel& model = Model(),
                     const Ops& ops = ReferenceOps(),
                     const DeviceBackend& its_device = CpuBackend())
      : Stack(shape.engine, shape.loop, model, ops, shape.policy, its_device), device(its_device) {
    swap = *SwapSpace::Create(*engine.cache, device, engine.arena->base(),
                              {.block_bytes = engine.layout.block_bytes,
                               .blocks = Blocks(shape.swap_blocks),
                               .block_seconds = shape.block_seconds});
    loop = std::make_unique<GenerationLoop>(*engine.decoder, admission, shape.loop, swap.get());
  }
  SwapStack(const SwapStack&) = delete;
  SwapStack& operator=(const SwapStack&) = delete;
  ~SwapStack() { loop.reset(); }

  // A step, after which all that nobody holds is NaN and the books are in order.
  bool Step() {
    const bool stepped = loop->Step();
    admission.With([](AdmissionController& controller) { controller.CheckInvariants(); });
    EXPECT_EQ(swap->FindViolation(), std::nullopt);
    const SwapCounts counts = loop->Stats().swap;
    EXPECT_EQ(counts.held + counts.free, counts.total);
    PoisonWhatNobodyHolds();
    return stepped;
  }
  void RunAll() {
    while (Step()) {
    }
  }
  void ExpectEmpty() {
    Stack::ExpectEmpty();
    EXPECT_EQ(swap->counts().held, Blocks(0));
    EXPECT_EQ(swap->counts().sequences, 0);
  }

  const DeviceBackend& device;
  std::unique_ptr<SwapSpace> swap;

 private:
  void PoisonWhatNobodyHolds() {
    const int64_t block_bytes = engine.layout.block_bytes.value();
    std::vector<bool> held(static_cast<size_t>(engine.cache->counts().total.value()), false);
    for (const Holder& holder : engine.cache->Holders()) {
      for (const BlockId block : engine.cache->Table(holder.sequence)) {
        held[static_cast<size_t>(block.index())] = true;
      }
    }
    const std::vector<std::byte> nan(static_cast<size_t>(block_bytes), std::byte{0xff});
    for (size_t i = 0; i < held.size(); ++i) {
      if (held[i]) continue;
      std::byte* const block = engine.arena->base() + static_cast<int64_t>(i) * block_bytes;
      EXPECT_TRUE(device.CopyToDevice(block, nan.data(), Bytes(block_bytes)).ok());
    }
  }
};

}  // namespace plimsoll
