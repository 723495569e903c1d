#include "kvcache/sizing/solve.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/block_demand.h"

namespace plimsoll {
namespace {

absl::Status CheckSequences(int64_t sequences) {
  if (sequences >= 1 && sequences <= kMaxPlannedSequences) return absl::OkStatus();
  return BadField("sequences", sequences, "1 to " + std::to_string(kMaxPlannedSequences));
}

absl::StatusOr<InferencePlan> PlanAt(const ModelConfig& model, InferenceOptions options,
                                     Tokens context) {
  options.contexts = {context};
  return PlanInference(model, options);
}

// By all replicas together.
int64_t HeldBy(const InferencePlan& plan) {
  const auto all = CheckedProduct({plan.max_sequences.front().sequences, plan.replicas});
  return all.value_or(std::numeric_limits<int64_t>::max());
}

// Adds one candidate; a type that the model cannot be planned with is left out.
void Try(const ModelConfig& model, const InferenceOptions& options, const WantedLoad& wanted,
         Bytes InferencePlan::*part, std::string type, std::vector<TypeTried>& tried) {
  const absl::StatusOr<InferencePlan> plan = PlanAt(model, options, wanted.context);
  if (!plan.ok()) return;
  tried.push_back({.type = std::move(type),
                   .bytes = (*plan).*part,
                   .sequences = HeldBy(*plan),
                   .holds = plan->fits() && HeldBy(*plan) >= wanted.sequences});
}

void SortByFallingBytes(std::vector<TypeTried>& tried) {
  std::stable_sort(tried.begin(), tried.end(),
                   [](const TypeTried& a, const TypeTried& b) { return a.bytes > b.bytes; });
}

// Nobody widens what is stored narrow: leaves the first, and of the others what is narrower.
void EraseWider(std::vector<TypeTried>& tried) {
  const Bytes stored = tried.front().bytes;
  const auto wider = [&](const TypeTried& one) { return one.bytes >= stored; };
  tried.erase(std::remove_if(tried.begin() + 1, tried.end(), wider), tried.end());
}

// Nothing is planned with what `options` and `wanted` say where this fails.
absl::Status CheckAsked(const ModelConfig& model, const InferenceOptions& options,
                        const WantedLoad& wanted) {
  PLIMSOLL_RETURN_IF_ERROR(CheckSequences(wanted.sequences));
  return PlanAt(model, options, wanted.context).status();
}

}  // namespace

absl::StatusOr<int64_t> SequencesHeld(const ModelConfig& model, const InferenceOptions& options,
                                      Tokens context) {
  const absl::StatusOr<InferencePlan> plan = PlanAt(model, options, context);
  if (!plan.ok()) return plan.status();
  return plan->fits() ? HeldBy(*plan) : 0;
}

absl::StatusOr<Tokens> LongestContext(const ModelConfig& model, const InferenceOptions& options,
                                      int64_t sequences) {
  PLIMSOLL_RETURN_IF_ERROR(CheckAsked(model, options, {.sequences = sequences}));
  int64_t held = 0;  // the longest context known to be held, and the shortest known not to be
  int64_t beyond = model.max_context.value() + 1;
  while (beyond - held > 1) {
    const int64_t middle = held + (beyond - held) / 2;
    (*SequencesHeld(model, options, Tokens(middle)) >= sequences ? held : beyond) = middle;
  }
  return Tokens(held);
}

absl::StatusOr<std::vector<TypeTried>> TryWeights(const ModelConfig& model,
                                                  const InferenceOptions& options,
                                                  const WantedLoad& wanted) {
  InferenceOptions changed = options;
  changed.weights = std::nullopt;
  std::vector<TypeTried> tried;
  PLIMSOLL_RETURN_IF_ERROR(CheckSequences(wanted.sequences));
  Try(model, changed, wanted, &InferencePlan::weights_bytes, std::string(kAsStored), tried);
  for (const ElementType type :
       {ElementType::kBf16, ElementType::kFp8, ElementType::kInt8, ElementType::kInt4}) {
    changed.weights = type;
    Try(model, changed, wanted, &InferencePlan::weights_bytes, std::string(NameOf(type)), tried);
  }
  if (tried.empty()) return PlanAt(model, changed, wanted.context).status();
  if (tried.front().type == kAsStored) EraseWider(tried);
  SortByFallingBytes(tried);
  return tried;
}

absl::StatusOr<std::vector<TypeTried>> TryKv(const ModelConfig& model,
                                             const InferenceOptions& options,
                                             const WantedLoad& wanted) {
  PLIMSOLL_RETURN_IF_ERROR(CheckAsked(model, options, wanted));
  InferenceOptions changed = options;
  std::vector<TypeTried> tried;
  for (const ElementType type :
       {DefaultKvType(model), ElementType::kInt8, ElementType::kFp8, ElementType::kInt4}) {
    changed.kv = type;
    Try(model, changed, wanted, &InferencePlan::kv_bytes_per_token, std::string(NameOf(type)),
        tried);
  }
  SortByFallingBytes(tried);
  return tried;
}

}  // namespace plimsoll
