#include "engine/decoder/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace plimsoll {
namespace {

using Scaling = RotaryConfig::Scaling;

constexpr double kTurn = 2 * std::numbers::pi;

std::vector<double> Unscaled(double theta, int64_t rotated_dims) {
  const double dims = static_cast<double>(rotated_dims);
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rotated_dims / 2; ++i) {
    frequencies.push_back(std::pow(theta, -2 * static_cast<double>(i) / dims));
  }
  return frequencies;
}

// Theta grows so that the slowest pair turns no further at the end of the sequence than it did at
// the end of the original context.
double DynamicTheta(const RotaryConfig& config, Tokens length) {
  if (length <= config.original_context) return config.theta;
  const double stretch =
      static_cast<double>(length.value()) / static_cast<double>(config.original_context.value());
  const double dims = static_cast<double>(config.rotated_dims);
  return config.theta * std::pow(config.factor * stretch - (config.factor - 1), dims / (dims - 2));
}

double Llama3Frequency(const RotaryConfig& config, double frequency) {
  // How often the pair turns within the original context.
  const double turns = static_cast<double>(config.original_context.value()) * frequency / kTurn;
  if (turns < config.low_freq_factor) return frequency / config.factor;
  if (turns > config.high_freq_factor) return frequency;
  const double keep =
      (turns - config.low_freq_factor) / (config.high_freq_factor - config.low_freq_factor);
  return (1 - keep) * frequency / config.factor + keep * frequency;
}

// The pair, as a fraction, that turns `turns` times within the original context.
double PairThatTurns(const RotaryConfig& config, double turns) {
  const double context = static_cast<double>(config.original_context.value());
  return static_cast<double>(config.rotated_dims) * std::log(context / (turns * kTurn)) /
         (2 * std::log(config.theta));
}

void ScaleYarn(const RotaryConfig& config, std::vector<double>& frequencies) {
  const double last = static_cast<double>(config.rotated_dims - 1);
  const double low = std::max(0.0, std::floor(PairThatTurns(config, config.beta_fast)));
  double high = std::min(last, std::ceil(PairThatTurns(config, config.beta_slow)));
  if (low == high) high += 0.001;  // a step instead of a ramp
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] *= ramp / config.factor + (1 - ramp);
  }
}

void DivideEach(const std::vector<double>& divisors, std::vector<double>& frequencies) {
  PLIMSOLL_CHECK(divisors.size() == frequencies.size(), divisors.size(), frequencies.size());
  for (size_t i = 0; i < frequencies.size(); ++i) frequencies[i] /= divisors[i];
}

bool DependsOnLength(Scaling scaling) {
  return scaling == Scaling::kDynamic || scaling == Scaling::kLongRope;
}

}  // namespace

std::vector<double> RotaryFrequencies(const RotaryConfig& config, Tokens length) {
  const double theta =
      config.scaling == Scaling::kDynamic ? DynamicTheta(config, length) : config.theta;
  std::vector<double> frequencies = Unscaled(theta, config.rotated_dims);
  switch (config.scaling) {
    case Scaling::kNone:
    case Scaling::kDynamic:
      break;
    case Scaling::kLinear:
      for (double& each : frequencies) each /= config.factor;
      break;
    case Scaling::kLlama3:
      for (double& each : frequencies) each = Llama3Frequency(config, each);
      break;
    case Scaling::kYarn:
      ScaleYarn(config, frequencies);
      break;
    case Scaling::kLongRope:
      DivideEach(length <= config.original_context ? config.short_factor : config.long_factor,
                 frequencies);
      break;
  }
  return frequencies;
}

RotaryTable RotaryTableFor(const RotaryConfig& config, Tokens positions) {
  RotaryTable table;
  const size_t entries = static_cast<size_t>(positions.value() * (config.rotated_dims / 2));
  table.cos.reserve(entries);
  table.sin.reserve(entries);
  std::vector<double> frequencies = RotaryFrequencies(config, Tokens(1));
  for (int64_t p = 0; p < positions.value(); ++p) {
    if (DependsOnLength(config.scaling)) frequencies = RotaryFrequencies(config, Tokens(p + 1));
    for (const double frequency : frequencies) {
      const double angle = static_cast<double>(p) * frequency;
      table.cos.push_back(static_cast<float>(std::cos(angle) * config.attention_factor));
      table.sin.push_back(static_cast<float>(std::sin(angle) * config.attention_factor));
    }
  }
  return table;
}

}  // namespace plimsoll
