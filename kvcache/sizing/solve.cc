#include "kvcache/sizing/solve.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
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

// Nobody widens what is narrow by default: leaves the first, and of the others what is narrower.
void EraseWider(std::vector<TypeTried>& tried) {
  if (tried.empty()) return;
  const Bytes first = tried.front().bytes;
  const auto wider = [&](const TypeTried& one) { return one.bytes >= first; };
  tried.erase(std::remove_if(tried.begin() + 1, tried.end(), wider), tried.end());
}

// The last of `first` to `last` for which `holds`, which turns from true to false at most once;
// `first` - 1 where it is true for none.
template <class Predicate>
int64_t LastThat(int64_t first, int64_t last, const Predicate& holds) {
  int64_t held = first - 1;
  int64_t beyond = last + 1;
  while (beyond - held > 1) {
    const int64_t middle = held + (beyond - held) / 2;
    (holds(middle) ? held : beyond) = middle;
  }
  return held;
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

Bytes PoolBytesOf(const InferencePlan& plan, const WantedLoad& load) {
  const bool keeps_tokens = plan.kv_bytes_per_token > Bytes(0);
  const Blocks blocks = BlocksForSequence(load.context + plan.lookahead_tokens, plan.block_tokens);
  const Tokens own_token(1);
  const Tokens prefix = std::min(plan.shared_prefix, load.context - own_token);
  const int64_t shared = keeps_tokens ? prefix / plan.block_tokens : 0;
  const int64_t own = keeps_tokens ? blocks.value() - shared : 1;
  const int64_t block = (plan.block_bytes + plan.draft_block_bytes).value();
  const Bytes state = keeps_tokens ? plan.sequence_state_bytes : Bytes(0);
  const auto tokens = CheckedProduct({own, block});
  const auto each = tokens ? CheckedAdd(*tokens, state.value()) : std::nullopt;
  const auto apart = each ? CheckedProduct({*each, load.sequences}) : std::nullopt;
  const auto together = CheckedProduct({shared, block});
  const auto all = apart && together ? CheckedAdd(*apart, *together) : std::nullopt;
  return all && *all < kMaxBytes.value() ? Bytes(*all) : kMaxBytes;
}

absl::StatusOr<Tokens> LongestContext(const ModelConfig& model, const InferenceOptions& options,
                                      int64_t sequences) {
  PLIMSOLL_RETURN_IF_ERROR(CheckAsked(model, options, {.sequences = sequences}));
  const auto holds = [&](int64_t context) {
    return *SequencesHeld(model, options, Tokens(context)) >= sequences;
  };
  const int64_t block = options.block_tokens.value();
  const int64_t most = model.max_context.value();
  const auto first_of = [&](int64_t period) { return period * block + 1; };
  const int64_t period =
      LastThat(0, (most - 1) / block, [&](int64_t n) { return holds(first_of(n)); });
  if (period < 0) return Tokens(0);
  return Tokens(LastThat(first_of(period), std::min(first_of(period + 1) - 1, most), holds));
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
  EraseWider(tried);  // and the default's second entry
  SortByFallingBytes(tried);
  return tried;
}

}  // namespace plimsoll
