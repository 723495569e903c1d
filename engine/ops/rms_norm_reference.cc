#include <cmath>

#include "engine/ops/arguments.h"
#include "engine/ops/float16.h"
#include "engine/ops/reference.h"
#include "kvcache/base/check.h"

namespace plimsoll::reference {

absl::Status RmsNorm(const RmsNormArgs& args) {
  PLIMSOLL_RETURN_IF_ERROR(CheckArguments(args));
  for (int64_t r = 0; r < args.rows; ++r) {
    const float* const x = args.x + r * args.cols;
    float* const out = args.out + r * args.cols;
    double squares = 0;
    for (int64_t c = 0; c < args.cols; ++c) squares += double{x[c]} * x[c];
    const double mean = squares / static_cast<double>(args.cols);
    const double scale = 1.0 / std::sqrt(mean + args.epsilon);
    for (int64_t c = 0; c < args.cols; ++c) {
      const double gain = double{ReadElement(args.gain.data, args.gain.type, c)} + args.gain_offset;
      const double normed = gain * x[c] * scale;
      out[c] = static_cast<float>(args.accumulate ? out[c] + normed : normed);
    }
  }
  return absl::OkStatus();
}

}  // namespace plimsoll::reference
