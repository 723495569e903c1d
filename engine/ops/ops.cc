#include "engine/ops/ops.h"

#include "engine/ops/cpu.h"
#include "engine/ops/reference.h"

namespace plimsoll {

const Ops& ReferenceOps() {
  static constexpr Ops ops = {
      .name = "reference",
      .device = Device::kCpu,
      .embed = &reference::Embed,
      .rms_norm = &reference::RmsNorm,
      .linear = &reference::Linear,
      .rotate_and_append = &reference::RotateAndAppend,
      .attention = &reference::Attention,
      .gated_activation = &reference::GatedActivation,
      .sample = &reference::Sample,
      .softcap = &reference::Softcap,
      .route = &reference::Route,
      .experts = &reference::Experts,
  };
  return ops;
}

const Ops& CpuOps() {
  static constexpr Ops ops = {
      .name = "cpu",
      .device = Device::kCpu,
      .embed = &cpu::Embed,
      .rms_norm = &cpu::RmsNorm,
      .linear = &cpu::Linear,
      .rotate_and_append = &cpu::RotateAndAppend,
      .attention = &cpu::Attention,
      .gated_activation = &cpu::GatedActivation,
      .sample = &cpu::Sample,
      .softcap = &cpu::Softcap,
      .route = &reference::Route,  // a few numbers a row
      .experts = &cpu::Experts,
  };
  return ops;
}

std::vector<const Ops*> AllOps() { return {&ReferenceOps(), &CpuOps()}; }

}  // namespace plimsoll
