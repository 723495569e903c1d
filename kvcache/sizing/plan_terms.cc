#include "kvcache/sizing/plan_terms.h"

#include <utility>

#include "kvcache/sizing/buffer_bytes.h"
#include "kvcache/sizing/plan_options.h"
#include "kvcache/sizing/weight_layout.h"

namespace plimsoll {
namespace {

WeightSum WeightsOf(const ModelShare& share, const WeightLayout& layout) {
  WeightSum sum;
  for (size_t i = 0; i < share.whole.size(); ++i) {
    layout.Add(*share.whole[i], TensorPart::Whole(share.model.tensors[i]), sum);
  }
  return sum;
}

// Adds terms up as it writes them down.
class Sum {
 public:
  Sum(const GpuShare& share, const InferenceOptions& options)
      : share_(share),
        options_(options),
        layout_(share.whole, options.weights),
        width_(layout_.width()) {}

  void AddWeights();
  void AddIo();
  void AddActivations();
  void AddRuntime();

  GpuTerms terms;

 private:
  Bytes Add(std::string term, BufferBytes buffer) {
    terms.formulas.push_back({std::move(term), std::move(buffer.formula), buffer.bytes});
    return buffer.bytes;
  }
  // A term that most plans do not have.
  Bytes AddIfAny(std::string term, BufferBytes buffer) {
    return buffer.bytes > Bytes(0) ? Add(std::move(term), std::move(buffer)) : Bytes(0);
  }
  BufferBytes Activations() const;

  const GpuShare& share_;
  const InferenceOptions& options_;
  const WeightLayout layout_;
  const ElementType width_;
};

void Sum::AddWeights() {
  const WeightSum weights = WeightsOf(share_.share, layout_);
  terms.weights_resident = weights.resident();
  terms.weights = Add("weights", {.bytes = weights.total(), .formula = layout_.FormulaOf(weights)});
  if (!share_.draft) return;
  const WeightLayout layout(*options_.draft, std::nullopt);
  const WeightSum draft = WeightsOf(*share_.draft, layout);
  terms.draft = Add("draft", {.bytes = draft.total(),
                              .formula = options_.draft->name + " in " + layout.name() + ": " +
                                         layout.FormulaOf(draft)});
}

void Sum::AddIo() {
  const BufferBytes hidden =
      HiddenStateBytes(share_.share.model, width_, options_.max_batched_tokens);
  terms.io += Add("input", hidden);
  terms.io += Add("output", hidden);
  const BufferBytes none{.bytes = Bytes(0), .formula = "on the last stage"};
  terms.io += Add("logits", share_.is_last ? LogitBytes(share_.share.model, options_.max_sequences,
                                                        options_.lookahead_tokens)
                                           : none);
}

// One model steps after the other, in the same memory.
BufferBytes Sum::Activations() const {
  BufferBytes most = ActivationBytes(share_.share.model, width_, options_.max_batched_tokens);
  if (!share_.draft) return most;
  BufferBytes draft =
      ActivationBytes(share_.draft->model, WeightLayout(*options_.draft, std::nullopt).width(),
                      options_.max_batched_tokens);
  if (draft.bytes <= most.bytes) return most;
  draft.formula += ", of the draft";
  return draft;
}

void Sum::AddActivations() {
  terms.activations += Add("activations", Activations());
  terms.activations += AddIfAny(
      "attention", options_.flash_attention
                       ? AttentionPartialBytes(share_.share.model, options_.max_sequences,
                                               options_.attention_pieces)
                       : AttentionScoreBytes(share_.share.model, options_.max_batched_tokens));
  if (share_.is_last) terms.activations += Add("sampler", SamplerBytes(share_.share.model));
  terms.activations += AddIfAny("dequantisation", DequantisationBytes(share_.share.model, width_));
}

void Sum::AddRuntime() {
  terms.runtime += Add("runtime", {.bytes = options_.runtime, .formula = options_.runtime_formula});
  terms.runtime +=
      AddIfAny("exchange",
               ExchangeBytes(share_.whole, width_, options_.max_batched_tokens, SplitOf(options_)));
  terms.margin = options_.margin;
}

}  // namespace

GpuTerms TermsOf(const GpuShare& share, const InferenceOptions& options) {
  Sum sum(share, options);
  sum.AddWeights();
  sum.AddIo();
  sum.AddActivations();
  sum.AddRuntime();
  return sum.terms;
}

}  // namespace plimsoll
