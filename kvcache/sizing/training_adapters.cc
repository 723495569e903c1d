#include "kvcache/sizing/training_adapters.h"

#include <optional>
#include <set>
#include <string_view>

#include "kvcache/base/errors.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

constexpr std::string_view kAllLinear = "all-linear";
constexpr std::string_view kWeight = ".weight";

// A matrix that can be adapted, under the name by which people ask for it.
struct Matrix {
  std::string name;
  int64_t out_and_in;
  int64_t copies;
  int64_t active;
  bool is_expert;
};

// "model.layers.{layer}.self_attn.q_proj.weight" as "q_proj".
std::string ShortName(std::string_view name) {
  if (name.size() > kWeight.size() && name.substr(name.size() - kWeight.size()) == kWeight) {
    name.remove_suffix(kWeight.size());
  }
  const size_t dot = name.rfind('.');
  return std::string(dot == std::string_view::npos ? name : name.substr(dot + 1));
}

std::vector<Matrix> MatricesOf(const ModelConfig& model) {
  std::vector<Matrix> matrices;
  for (const TensorSpec& tensor : model.tensors) {
    if (!IsMatrix(tensor.role)) continue;
    matrices.push_back({.name = ShortName(tensor.name),
                        .out_and_in = tensor.shape[0] + tensor.shape[1],
                        .copies = tensor.Copies(),
                        .active = tensor.Copies() / tensor.experts * tensor.active_experts,
                        .is_expert = tensor.experts > 1});
  }
  return matrices;
}

std::vector<Matrix> MatricesOf(const TextbookModel& model) {
  std::vector<Matrix> matrices;
  for (const char* const name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
    matrices.push_back({name, 2 * model.hidden, model.layers, model.layers, false});
  }
  for (const char* const name : {"up_proj", "down_proj"}) {
    matrices.push_back({name, 5 * model.hidden, model.layers, model.layers, false});
  }
  return matrices;
}

std::string NamesOf(const std::vector<Matrix>& matrices) {
  std::set<std::string> names;
  for (const Matrix& matrix : matrices) names.insert(matrix.name);
  constexpr size_t kMost = 20;
  std::string list;
  size_t shown = 0;
  for (const std::string& name : names) {
    if (shown++ < kMost) list += Excerpt(name) + ", ";
  }
  if (shown > kMost) list += std::to_string(shown - kMost) + " more, ";
  return list + std::string(kAllLinear);
}

// Adds r x (in + out) for each copy; false beyond what a model may have.
bool Add(const Matrix& matrix, int64_t rank, AdapterCount& count) {
  const std::optional<int64_t> more = CheckedProduct({rank, matrix.out_and_in, matrix.copies});
  if (!more || *more > kMaxTextbookParameters - count.parameters) return false;
  count.parameters += *more;
  count.matrices += matrix.copies;
  count.active += matrix.active;
  if (matrix.is_expert) count.of_experts += *more;
  return true;
}

absl::StatusOr<AdapterCount> AdaptersOf(const std::vector<Matrix>& matrices,
                                        const std::vector<std::string>& targets, int64_t rank) {
  std::set<std::string> missing(targets.begin(), targets.end());
  const std::set<std::string> wanted = missing;
  const bool all = missing.erase(std::string(kAllLinear)) > 0;
  AdapterCount count;
  for (const Matrix& matrix : matrices) {
    missing.erase(matrix.name);
    if (!all && !wanted.contains(matrix.name)) continue;
    if (!Add(matrix, rank, count)) return BadField("lora_rank", rank, "a smaller rank");
  }
  if (missing.empty()) return count;
  return BadField("lora_targets", Excerpt(*missing.begin()), "some of " + NamesOf(matrices));
}

}  // namespace

absl::StatusOr<AdapterCount> CountAdapters(const ModelConfig& model,
                                           const std::vector<std::string>& targets, int64_t rank) {
  return AdaptersOf(MatricesOf(model), targets, rank);
}

absl::StatusOr<AdapterCount> CountAdapters(const TextbookModel& model,
                                           const std::vector<std::string>& targets, int64_t rank) {
  return AdaptersOf(MatricesOf(model), targets, rank);
}

std::vector<std::string> TargetsIn(const ModelConfig& part,
                                   const std::vector<std::string>& targets) {
  std::set<std::string> names = {std::string(kAllLinear)};
  for (const Matrix& matrix : MatricesOf(part)) names.insert(matrix.name);
  std::vector<std::string> found;
  for (const std::string& target : targets) {
    if (names.contains(target)) found.push_back(target);
  }
  return found;
}

}  // namespace plimsoll
