#include "kvcache/sizing/plan_terms.h"

#include <utility>

#include "kvcache/sizing/buffer_bytes.h"
#include "kvcache/sizing/plan_options.h"

namespace plimsoll {
namespace {

// Adds terms up as it writes them down.
class Sum {
 public:
  Sum(const GpuShare& share, const InferenceOptions& options)
      : share_(share),
        options_(options),
        format_(WeightFormatOf(share.model, options)),
        width_(WidthOf(format_)) {}

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
  const WeightFormat format_;
  const ElementType width_;
};

void Sum::AddWeights() {
  const WeightBytes weights = WeightBytesOf(share_.model, options_.weights);
  terms.weights_resident = weights.resident;
  terms.weights = Add("weights", {.bytes = weights.total, .formula = weights.formula});
  if (!share_.draft) return;
  const WeightBytes draft = WeightBytesOf(*share_.draft, std::nullopt);
  terms.draft =
      Add("draft", {.bytes = draft.total,
                    .formula = share_.draft->name + " in " + NameOf(StoredFormatOf(*share_.draft)) +
                               ": " + draft.formula});
}

void Sum::AddIo() {
  const BufferBytes hidden = HiddenStateBytes(share_.model, width_, options_.max_batched_tokens);
  terms.io += Add("input", hidden);
  terms.io += Add("output", hidden);
  const BufferBytes none{.bytes = Bytes(0), .formula = "on the last stage"};
  terms.io += Add("logits", share_.is_last ? LogitBytes(share_.model, options_.max_sequences,
                                                        options_.lookahead_tokens)
                                           : none);
}

// One model steps after the other, in the same memory.
BufferBytes Sum::Activations() const {
  BufferBytes most = ActivationBytes(share_.model, width_, options_.max_batched_tokens);
  if (!share_.draft) return most;
  BufferBytes draft = ActivationBytes(*share_.draft, WidthOf(StoredFormatOf(*share_.draft)),
                                      options_.max_batched_tokens);
  if (draft.bytes <= most.bytes) return most;
  draft.formula += ", of the draft";
  return draft;
}

void Sum::AddActivations() {
  terms.activations += Add("activations", Activations());
  terms.activations += AddIfAny(
      "attention",
      options_.flash_attention
          ? AttentionPartialBytes(share_.model, options_.max_sequences, options_.attention_pieces)
          : AttentionScoreBytes(share_.model, options_.max_batched_tokens));
  if (share_.is_last) terms.activations += Add("sampler", SamplerBytes(share_.model));
  terms.activations += AddIfAny("dequantisation", DequantisationBytes(share_.model, width_));
}

void Sum::AddRuntime() {
  terms.runtime += Add("runtime", {.bytes = options_.runtime, .formula = options_.runtime_formula});
  terms.runtime +=
      AddIfAny("exchange",
               ExchangeBytes(share_.model, width_, options_.max_batched_tokens, SplitOf(options_)));
  terms.margin = options_.margin;
}

}  // namespace

WeightFormat WeightFormatOf(const ModelConfig& model, const InferenceOptions& options) {
  return options.weights ? *options.weights : StoredFormatOf(model);
}

GpuTerms TermsOf(const GpuShare& share, const InferenceOptions& options) {
  Sum sum(share, options);
  sum.AddWeights();
  sum.AddIo();
  sum.AddActivations();
  sum.AddRuntime();
  return sum.terms;
}

}  // namespace plimsoll
