#include "engine/weights/random_weights.h"

#include <cmath>

#include "engine/ops/float16.h"
#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

// The steps of SplitMix64: a counter with this stride, and this mixing of its value.
constexpr uint64_t kStride = 0x9e3779b97f4a7c15;

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

uint64_t Start(uint64_t seed, std::string_view name) {
  uint64_t hash = Mix(seed + kStride);
  for (const char c : name) hash = Mix(hash ^ static_cast<unsigned char>(c));
  return hash;
}

// Of a number of mean 0 and deviation 1: the sum of four 16-bit uniform numbers has mean
// 4 * 32767.5 and variance 4 * (2^32 - 1) / 12.
double Normal(uint64_t bits) {
  const uint64_t sum =
      (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
  static const double kDeviation = std::sqrt(4 * 4294967295.0 / 12);
  return (static_cast<double>(sum) - 4 * 32767.5) / kDeviation;
}

}  // namespace

RandomTensor::RandomTensor(uint64_t seed, std::string_view name, const TensorSpec& spec,
                           double norm_mean)
    : state_(Start(seed, name)) {
  switch (spec.role) {
    case TensorRole::kEmbedding:
      return;
    case TensorRole::kNorm:
      mean_ = norm_mean;
      deviation_ = 0.2;
      return;
    case TensorRole::kBias:
    case TensorRole::kSmall:
      deviation_ = 0.1;
      return;
    case TensorRole::kHead:
    case TensorRole::kLinear:
    case TensorRole::kExpert:
    case TensorRole::kRouter:
      deviation_ = 1.5 / std::sqrt(static_cast<double>(spec.shape.back()));
      return;
  }
}

float RandomTensor::Next() {
  state_ += kStride;
  return static_cast<float>(mean_ + deviation_ * Normal(Mix(state_)));
}

void RandomTensor::Fill(ElementType type, std::span<std::byte> out) {
  const int64_t width = BitsOf(type) / 8;
  PLIMSOLL_CHECK(IsFloatStorage(type) && std::ssize(out) % width == 0, width, out.size());
  for (int64_t i = 0; i < std::ssize(out) / width; ++i) WriteElement(out.data(), type, i, Next());
}

}  // namespace plimsoll
