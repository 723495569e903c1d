// The saved tensors of a model as it is; the classic formula is in training_activations.cc.
#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kvcache/sizing/training_activation_lines.h"
#include "kvcache/sizing/training_activations.h"
#include "kvcache/sizing/training_adapters.h"
#include "kvcache/sizing/weight_bytes.h"

namespace plimsoll {
namespace {

// Values that one token leaves behind in a layer, or in all of them.
struct Saved {
  int64_t norm_inputs = 0;
  int64_t projection_inputs = 0;
  int64_t queries = 0;
  int64_t keys_and_values = 0;
  int64_t attention_output = 0;
  int64_t ffn = 0;
  int64_t recurrent = 0;  // an estimate
  int64_t expert_copies = 0;
  int64_t log_sum_exp = 0;    // in fp32
  int64_t router_scores = 0;  // in fp32

  void Add(const Saved& other) {
    norm_inputs += other.norm_inputs;
    projection_inputs += other.projection_inputs;
    queries += other.queries;
    keys_and_values += other.keys_and_values;
    attention_output += other.attention_output;
    ffn += other.ffn;
    recurrent += other.recurrent;
    expert_copies += other.expert_copies;
    log_sum_exp += other.log_sum_exp;
    router_scores += other.router_scores;
  }
};

// One layer while its tensors are read.
struct Layer {
  Saved saved;
  bool attends = false;
  int64_t norms = 0;  // of the residual
};

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool IsRecurrent(const TensorSpec& tensor) {
  return Contains(tensor.name, "linear_attn") || Contains(tensor.name, "mixer") ||
         Contains(tensor.name, "mamba");
}

bool IsOfAttention(const TensorSpec& tensor) {
  return (Contains(tensor.name, "attn") || Contains(tensor.name, "attention")) &&
         !IsRecurrent(tensor);
}

// The values that a first projection of an FFN gives to one token, 0 for what is none: its outputs,
// which are the rows but where experts are stored the other way round.
int64_t ProjectedWidth(const TensorSpec& tensor, int64_t hidden) {
  if (Contains(tensor.name, "down_proj")) return 0;
  if (tensor.shape[1] == hidden) return tensor.shape[0];
  if (Contains(tensor.name, "gate_up_proj") && tensor.shape[0] == hidden) return tensor.shape[1];
  return Contains(tensor.name, "up_proj") ? tensor.shape[0] : 0;
}

// What the norm reads: the residual, or every query or key head where it normalises heads.
int64_t NormWidth(const ModelConfig& model, const TensorSpec& norm) {
  const int64_t width = norm.shape[0];
  if (model.attention.empty() || !IsOfAttention(norm)) return width;
  const AttentionSpec& heads = model.attention.front();
  if (width != heads.head_dim) return width;
  if (Contains(norm.name, "q_norm")) return width * heads.heads;
  if (Contains(norm.name, "k_norm")) return width * heads.kv_heads;
  return width;
}

void AddAttention(const AttentionSpec& spec, Saved& saved) {
  saved.queries += spec.heads * spec.head_dim;
  saved.keys_and_values += spec.kv_heads * (spec.head_dim + spec.value_dim);
  saved.attention_output += spec.heads * spec.value_dim;
  saved.log_sum_exp += spec.heads;
}

void AddMatrix(const TensorSpec& matrix, int64_t hidden, Layer& layer) {
  if (IsOfAttention(matrix)) {
    layer.attends = true;
    return;
  }
  const int64_t width = ProjectedWidth(matrix, hidden);
  if (width > 0) {
    (IsRecurrent(matrix) ? layer.saved.recurrent : layer.saved.ffn) +=
        2 * matrix.active_experts * width;
  } else if (matrix.role == TensorRole::kExpert) {
    layer.saved.expert_copies += 2 * matrix.active_experts * hidden;  // into and out of experts
  }
}

void AddTensor(const ModelConfig& model, const TensorSpec& tensor, Layer& layer) {
  if (tensor.role == TensorRole::kNorm) {
    layer.saved.norm_inputs += NormWidth(model, tensor);
    if (tensor.shape[0] == model.hidden_size) ++layer.norms;
  }
  if (tensor.role == TensorRole::kRouter) layer.saved.router_scores += tensor.shape[0];
  if (IsMatrix(tensor.role)) AddMatrix(tensor, model.hidden_size, layer);
}

// Attention and FFN side by side under one norm share its output.
void AddProjectionInputs(int64_t hidden, Layer& layer) {
  const int64_t parts =
      (layer.attends ? 1 : 0) + (layer.saved.ffn > 0 ? 1 : 0) + (layer.saved.recurrent > 0 ? 1 : 0);
  layer.saved.projection_inputs = hidden * std::min(parts, std::max<int64_t>(layer.norms, 1));
}

std::vector<Saved> SavedByLayers(const ModelConfig& model) {
  std::vector<Layer> layers(static_cast<size_t>(model.layers));
  for (const TensorSpec& tensor : model.tensors) {
    for (const int32_t index : tensor.layers) {
      AddTensor(model, tensor, layers[static_cast<size_t>(index)]);
    }
  }
  std::vector<Saved> saved;
  size_t attention = 0;  // the layers that attend stand in their order
  for (Layer& layer : layers) {
    if (layer.attends && attention < model.attention.size()) {
      AddAttention(model.attention[attention++], layer.saved);
    }
    AddProjectionInputs(model.hidden_size, layer);
    saved.push_back(layer.saved);
  }
  return saved;
}

Saved SumOf(const std::vector<Saved>& layers) {
  Saved sum;
  for (const Saved& layer : layers) sum.Add(layer);
  return sum;
}

std::vector<ActivationLine> LinesOf(const Saved& saved, int64_t element, Recompute recompute) {
  const auto line = [&](std::string term, int64_t values, int64_t bytes, SplitBy split) {
    return ActivationLine{.term = std::move(term),
                          .formula = std::to_string(values) + " values of all layers x " +
                                     std::to_string(bytes) + " bytes",
                          .per_token = CheckedProduct({values, bytes}),
                          .split = split};
  };
  constexpr SplitBy kSequence = SplitBy::kSequenceParallel;
  constexpr SplitBy kTensor = SplitBy::kTensorParallel;
  std::vector<ActivationLine> lines = {
      line("norm_inputs", saved.norm_inputs, element, kSequence),
      line("projection_inputs", saved.projection_inputs, element, kSequence),
      line("queries", saved.queries, element, kTensor),
      line("keys_and_values", saved.keys_and_values, element, kTensor),
      line("attention_output", saved.attention_output, element, kTensor),
      line("ffn_values", saved.ffn, element, kTensor),
      line("recurrent_values_estimated", saved.recurrent, element, kTensor),
      line("expert_copies", saved.expert_copies, element, kSequence),
      line("router_scores", saved.router_scores, 4, kSequence)};
  if (recompute == Recompute::kNone) {
    lines.push_back(line("log_sum_exp", saved.log_sum_exp, 4, kTensor));
  }
  return lines;
}

// Bytes that one token leaves in the layer that saves most, on one GPU.
int64_t LargestLayer(const ModelConfig& model, int64_t element, const TrainingOptions& options) {
  int64_t largest = 0;
  for (const Saved& saved : SavedByLayers(model)) {
    int64_t bytes = 0;
    for (const ActivationLine& line : LinesOf(saved, element, Recompute::kNone)) {
      const bool split = line.split == SplitBy::kTensorParallel || options.sequence_parallel;
      bytes += CeilDivide(line.per_token.value_or(0), split ? options.tensor_parallel : 1);
    }
    largest = std::max(largest, bytes);
  }
  return largest;
}

std::vector<ActivationLine> FullyRecomputed(const ModelConfig& model, int64_t element,
                                            const TrainingOptions& options) {
  const int64_t inputs = model.hidden_size * model.layers;
  const int64_t largest = LargestLayer(model, element, options);
  return {{.term = "layer_inputs",
           .formula = std::to_string(inputs) + " values of all layers x " +
                      std::to_string(element) + " bytes",
           .per_token = CheckedProduct({inputs, element}),
           .split = SplitBy::kSequenceParallel},
          {.term = "recomputed_layer",
           .formula = std::to_string(largest) + " bytes of the largest layer",
           .per_token = largest,
           .split = SplitBy::kNothing,
           .of_layers = false}};
}

void AddOutside(const ModelConfig& model, int64_t element, std::vector<ActivationLine>& lines) {
  const std::string hidden =
      std::to_string(model.hidden_size) + " hidden x " + std::to_string(element) + " bytes";
  for (const char* const term : {"last_norm_input", "head_input"}) {
    lines.push_back({term, hidden, model.hidden_size * element, SplitBy::kSequenceParallel, false});
  }
  lines.push_back({"logits", std::to_string(model.vocab_size) + " vocabulary x 4 bytes",
                   model.vocab_size * 4, SplitBy::kTensorParallel, false});
}

absl::Status AddAdapters(const ModelConfig& model, const TrainingOptions& options,
                         std::vector<ActivationLine>& lines) {
  const absl::StatusOr<AdapterCount> adapters =
      CountAdapters(model, options.lora_targets, options.lora_rank);
  if (!adapters.ok()) return adapters.status();
  lines.push_back({"adapter_values",
                   std::to_string(adapters->active) + " adapters x rank " +
                       std::to_string(options.lora_rank) + " x 2 bytes",
                   CheckedProduct({adapters->active, options.lora_rank, 2}), SplitBy::kNothing});
  return absl::OkStatus();
}

}  // namespace

std::vector<int64_t> AttendingLayers(const ModelConfig& model) {
  std::vector<bool> attends(static_cast<size_t>(model.layers), false);
  for (const TensorSpec& tensor : model.tensors) {
    if (!IsMatrix(tensor.role) || !IsOfAttention(tensor)) continue;
    for (const int32_t layer : tensor.layers) attends[static_cast<size_t>(layer)] = true;
  }
  std::vector<int64_t> layers;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    if (attends[static_cast<size_t>(layer)]) layers.push_back(layer);
  }
  return layers;
}

absl::StatusOr<std::vector<TrainingTerm>> ArchitectureActivations(const ModelConfig& model,
                                                                  const TrainingOptions& options,
                                                                  const TrainingStage& stage) {
  const int64_t element = options.method == TrainingMethod::kFullFp32 ? 4 : 2;
  const bool full = options.recompute == Recompute::kFull;
  std::vector<ActivationLine> lines =
      full ? FullyRecomputed(model, element, options)
           : LinesOf(SumOf(SavedByLayers(model)), element, options.recompute);
  if (options.trains_adapters() && !full) {
    PLIMSOLL_RETURN_IF_ERROR(AddAdapters(model, options, lines));
  }
  if (stage.last) AddOutside(model, element, lines);
  return TermsOf(lines, options, stage);
}

}  // namespace plimsoll
