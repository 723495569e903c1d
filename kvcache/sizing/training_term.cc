#include "kvcache/sizing/training_term.h"

#include <array>

namespace plimsoll {

std::string_view NameOf(TrainingGroup group) {
  constexpr std::array<std::string_view, 7> kNames = {
      "weights", "gradients", "optimizer", "activations", "buffers", "host", "nvme"};
  return kNames[static_cast<size_t>(group)];
}

}  // namespace plimsoll
