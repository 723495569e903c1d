#include "kvcache/sizing/textbook_plan.h"

#include <string>
#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

std::string Text(int64_t n) { return std::to_string(n); }

std::string WidthText(ElementType type) {
  const int bits = BitsOf(type);
  return bits % 8 == 0 ? Text(bits / 8) + " bytes" : Text(bits) + " bits";
}

Bytes OneAndAHalfTimes(Bytes bytes) { return bytes + Bytes(bytes.value() / 2); }
Bytes TwoAndAHalfTimes(Bytes bytes) { return bytes * 2 + Bytes(bytes.value() / 2); }

double PercentOff(double said, double exact) {
  return exact > 0 ? 100.0 * (said - exact) / exact : 0.0;
}

double ToDouble(Bytes bytes) { return static_cast<double>(bytes.value()); }

absl::Status CheckRange(std::string_view field, int64_t value, int64_t most) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return BadField(field, value, "1 to " + Text(most));
}

void AddFormulas(const TextbookOptions& options, TextbookPlan& plan) {
  const std::string hidden = Text(plan.shape.hidden) + " hidden x ";
  const std::string step = Text(options.step.value()) + " tokens x " + hidden;
  const std::string element = WidthText(options.weights);
  plan.formulas = {
      {"weights", Text(options.parameters) + " parameters x " + element, plan.weights_bytes},
      {"input", step + WidthText(ElementType::kFp16), plan.input_bytes},
      {"output", step + WidthText(ElementType::kFp16), plan.output_bytes},
      {"kv of a token",
       "2 x " + Text(plan.shape.layers) + " layers x " + hidden + WidthText(options.kv),
       plan.kv_bytes_per_token},
      {"serving, least", "1.5 x weights", plan.serving_least_bytes},
      {"serving, most", "2.5 x weights", plan.serving_most_bytes}};
}

}  // namespace

absl::StatusOr<TextbookPlan> PlanByTextbook(const TextbookOptions& options) {
  PLIMSOLL_RETURN_IF_ERROR(CheckRange("parameters", options.parameters, kMaxTextbookParameters));
  PLIMSOLL_RETURN_IF_ERROR(
      CheckRange("max_batched_tokens", options.step.value(), kMaxBatchedTokens));
  TextbookPlan plan{};
  plan.shape = UsualShape(options.parameters);
  plan.weights_bytes = BytesOf(options.weights, options.parameters);
  plan.input_bytes = BytesOf(ElementType::kFp16, options.step.value() * plan.shape.hidden);
  plan.output_bytes = plan.input_bytes;
  plan.kv_bytes_per_token = BytesOf(options.kv, 2 * plan.shape.layers * plan.shape.hidden);
  plan.serving_least_bytes = OneAndAHalfTimes(plan.weights_bytes);
  plan.serving_most_bytes = TwoAndAHalfTimes(plan.weights_bytes);
  AddFormulas(options, plan);
  return plan;
}

Bytes VllmPeak(const ModelConfig& model, Bytes device) {
  const int64_t sequences = device >= Bytes(int64_t{70} << 30) ? 1024 : 256;
  return Bytes(77 * sequences / 2 * model.vocab_size);
}

TextbookErrors CompareWithTextbook(const ModelConfig& model, const InferencePlan& plan,
                                   const WantedLoad& load) {
  TextbookErrors errors{};
  errors.parameters = TextbookParameters(model);
  errors.parameters_error = errors.parameters ? PercentOff(static_cast<double>(*errors.parameters),
                                                           static_cast<double>(model.Parameters()))
                                              : 0.0;
  errors.load = load;
  errors.serving_least_bytes = OneAndAHalfTimes(plan.weights_bytes);
  errors.serving_most_bytes = TwoAndAHalfTimes(plan.weights_bytes);
  const Bytes draft_weights = plan.draft_bytes - plan.draft_block_bytes * plan.blocks.value();
  errors.itemised_bytes = plan.weights_bytes + draft_weights + plan.io_bytes +
                          plan.activation_bytes + plan.runtime_bytes + plan.margin_bytes +
                          PoolBytesOf(plan, load);
  const double exact = ToDouble(errors.itemised_bytes);
  errors.serving_least_error = PercentOff(ToDouble(errors.serving_least_bytes), exact);
  errors.serving_most_error = PercentOff(ToDouble(errors.serving_most_bytes), exact);
  errors.itemised_ratio = exact / ToDouble(plan.weights_bytes);
  errors.vllm_peak_bytes = VllmPeak(model, plan.device_bytes);
  return errors;
}

}  // namespace plimsoll
