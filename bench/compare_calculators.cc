// Writes bench/calculators.md: this planner beside the formulas of common calculators, on twelve
// models, with the error of each.
//
// First its own answers are checked against the counts that publishers give; where one differs, the
// program says so and writes no page.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "bench/calculator_formulas.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/sizing/kv_bytes.h"
#include "kvcache/sizing/training_plan.h"
#include "tests/kvcache/model/other_published_models.h"
#include "tests/kvcache/model/published_models.h"

namespace plimsoll {
namespace {

constexpr std::array<std::string_view, 12> kModels = {"openai-community/gpt2",
                                                      "huggyllama/llama-7b",
                                                      "meta-llama/Llama-3.1-8B",
                                                      "meta-llama/Llama-3.3-70B-Instruct",
                                                      "tiiuae/falcon-7b",
                                                      "google/gemma-2-9b",
                                                      "Qwen/Qwen3-0.6B",
                                                      "mistralai/Mistral-Small-24B-Base-2501",
                                                      "mistralai/Mixtral-8x7B-v0.1",
                                                      "Qwen/Qwen3-30B-A3B",
                                                      "deepseek-ai/DeepSeek-V3",
                                                      "ai21labs/Jamba-v0.1"};
constexpr Tokens kContext = Tokens(32768);  // of the sequence whose K and V are compared

// A row of every table: the model, what others read of it, and our answers.
struct Subject {
  std::string name;
  CalculatorFields fields;
  Bytes weights, kv_of_sequence, states, zero2, zero3;
};

// The first of these names that the file has as a number.
std::optional<double> Number(const nlohmann::json& json, std::initializer_list<const char*> names) {
  for (const char* const name : names) {
    const auto field = json.find(name);
    if (field != json.end() && field->is_number()) return field->get<double>();
  }
  return std::nullopt;
}

CalculatorFields FieldsOf(const PublishedModel& published, const ModelConfig& model) {
  const auto json = nlohmann::json::parse(published.config);
  CalculatorFields fields;
  fields.hidden = Number(json, {"hidden_size", "n_embd"}).value_or(0);
  fields.layers = Number(json, {"num_hidden_layers", "n_layer"}).value_or(0);
  fields.heads = Number(json, {"num_attention_heads", "n_head"}).value_or(1);
  fields.kv_heads = Number(json, {"num_key_value_heads"}).value_or(fields.heads);
  fields.vocabulary = Number(json, {"vocab_size"}).value_or(0);
  fields.head_dim = Number(json, {"head_dim"});
  fields.intermediate = Number(json, {"intermediate_size"});
  fields.context = Number(json, {"max_position_embeddings"});
  fields.latent = Number(json, {"kv_lora_rank"});
  fields.rope_dim = Number(json, {"qk_rope_head_dim"});
  fields.is_gpt2 = json.contains("n_embd");
  fields.is_hybrid = json.contains("attn_layer_period");
  fields.multi_query = json.contains("multi_query") && !json.contains("num_key_value_heads");
  fields.parameters = static_cast<double>(model.Parameters());
  for (const TensorSpec& tensor : model.tensors) {
    const auto elements = static_cast<double>(tensor.ElementsOfOne());
    if (tensor.role == TensorRole::kHead) fields.head_parameters += elements;
    fields.largest_layer = std::max(fields.largest_layer, elements);
  }
  return fields;
}

Bytes StatesOf(const ModelConfig& model, int stage) {
  TrainingOptions options{
      .method = TrainingMethod::kMixed, .batch = 1, .sequence = Tokens(1), .zero_stage = stage};
  options.gpus = stage == 0 ? 1 : 8;
  const absl::StatusOr<TrainingPlan> plan = PlanTraining(model, options);
  PLIMSOLL_CHECK(plan.ok(), plan.status().message());
  return plan->weights_bytes + plan->gradients_bytes + plan->optimizer_bytes + plan->buffers_bytes;
}

Subject SubjectOf(const PublishedModel& published, const ModelConfig& model, const KvBytes& kv) {
  return {.name = std::string(published.name.substr(published.name.find('/') + 1)),
          .fields = FieldsOf(published, model),
          .weights = Bytes(2 * model.Parameters()),
          .kv_of_sequence =
              kv.per_token_long * kContext.value() + kv.window_per_sequence + kv.state_per_sequence,
          .states = StatesOf(model, 0),
          .zero2 = StatesOf(model, 2),
          .zero3 = StatesOf(model, 3)};
}

// Whether our answers are the published ones; says on standard error what is not.
bool AgreesWith(const PublishedModel& published, const ModelConfig& model, const KvBytes& kv) {
  const bool agrees = model.Parameters() == published.parameters &&
                      kv.per_token.value() == published.kv_per_token &&
                      kv.per_token_long.value() == published.kv_per_token_long &&
                      kv.window_per_sequence.value() == published.window_per_sequence &&
                      kv.state_per_sequence.value() == published.state_per_sequence;
  if (!agrees) {
    std::fprintf(stderr, "compare_calculators: %s: not the published figures\n",
                 std::string(published.name).c_str());
  }
  return agrees;
}

std::string ErrorText(std::optional<double> answer, double truth) {
  if (!answer) return "-";
  const double percent = 100.0 * (*answer / truth - 1.0);
  if (std::abs(percent) < 0.05) return "exact";
  if (percent >= 1000.0) return absl::StrFormat("%.1f x", *answer / truth);
  return absl::StrFormat("%+.1f %%", percent);
}

std::string GB(Bytes bytes) {
  return absl::StrFormat("%.3f", static_cast<double>(bytes.value()) / 1e9);
}

using Truth = double (*)(const Subject&, const Calculator&);

std::string Table(const std::vector<Subject>& subjects, std::span<const Calculator> calculators,
                  const std::string& head, std::string (*ours)(const Subject&), Truth truth) {
  std::string out = "| model | " + head;
  for (const Calculator& calculator : calculators) out += " | " + std::string(calculator.name);
  out += " |\n|---|---:|";
  for (size_t i = 0; i < calculators.size(); ++i) out += "---:|";
  out += "\n";
  for (const Subject& subject : subjects) {
    out += "| " + subject.name + " | " + ours(subject);
    for (const Calculator& calculator : calculators) {
      out += " | " + ErrorText(calculator.answer(subject.fields), truth(subject, calculator));
    }
    out += " |\n";
  }
  out += "\n";
  for (const Calculator& calculator : calculators) {
    out += absl::StrFormat("- **%s**: %s (%s)\n", std::string(calculator.name),
                           std::string(calculator.formula), std::string(calculator.source));
  }
  return out + "\n";
}

double Value(Bytes bytes) { return static_cast<double>(bytes.value()); }

std::string WeightTable(const std::vector<Subject>& subjects) {
  return "## Weights in 16 bits\n\n" +
         Table(
             subjects, WeightCalculators(), "GB", [](const Subject& s) { return GB(s.weights); },
             [](const Subject& s, const Calculator&) { return Value(s.weights); });
}

// Each calculator's figure of one token, for all tokens of the sequence.
std::string KvTable(const std::vector<Subject>& subjects) {
  return "## K and V of one sequence of 32,768 tokens, in 16 bits\n\n"
         "What attention still reads: windows hold no more than their tokens, latent attention one "
         "vector a\ntoken, recurrent layers their state. Where a model's context is shorter, the "
         "figure is of as many\ntokens all the same.\n\n" +
         Table(
             subjects, KvCalculators(), "GB", [](const Subject& s) { return GB(s.kv_of_sequence); },
             [](const Subject& s, const Calculator&) {
               return Value(s.kv_of_sequence) / static_cast<double>(kContext.value());
             });
}

std::string TrainingTable(const std::vector<Subject>& subjects) {
  return "## States of training, mixed precision with 16-bit gradients, Adam\n\n"
         "Weights, gradients, optimizer and ZeRO's buffers on one GPU, activations apart: alone, "
         "and for the\ntwo columns of DeepSpeed at that stage over eight GPUs. Eighteen bytes are "
         "right where gradients are\nkept in fp32 (`--method mixed-fp32-grads`), and read 12.5 % "
         "high here.\n\n" +
         Table(
             subjects, TrainingCalculators(), "alone / ZeRO-2 / ZeRO-3, GB",
             [](const Subject& s) {
               return GB(s.states) + " / " + GB(s.zero2) + " / " + GB(s.zero3);
             },
             [](const Subject& s, const Calculator& calculator) {
               if (calculator.name == "DeepSpeed ZeRO-2") return Value(s.zero2);
               if (calculator.name == "DeepSpeed ZeRO-3") return Value(s.zero3);
               return Value(s.states);
             });
}

constexpr const char* kIntroduction =
    "# This planner beside other calculators\n\n"
    "Written by `compare_calculators`; a test compares this page with what it prints. The first "
    "column is ours,\nand was checked against published counts before anything was printed: "
    "parameters and bytes of K and V to\nthe last one. The others are the error of each "
    "calculator's formula, as published, with its own defaults and\nno hand to help it: `exact` "
    "within 0.05 %, `-` where it has no answer, or none that could be established. Their formulas "
    "are in\n"
    "`calculator_formulas.cc`. Nobody else's program was run.\n\n";

int Main() {
  std::vector<Subject> subjects;
  for (const std::string_view name : kModels) {
    const PublishedModel& published = PublishedInEither(name);
    const absl::StatusOr<ModelConfig> model = ParseModelConfig(published.config, std::string(name));
    PLIMSOLL_CHECK(model.ok(), model.status().message());
    const KvBytes kv = KvBytesOf(*model, ElementType::kBf16);
    if (!AgreesWith(published, *model, kv)) return 1;
    subjects.push_back(SubjectOf(published, *model, kv));
  }
  const std::string page =
      kIntroduction + WeightTable(subjects) + KvTable(subjects) + TrainingTable(subjects);
  std::fputs(page.substr(0, page.size() - 1).c_str(), stdout);
  return 0;
}

}  // namespace
}  // namespace plimsoll

int main() { return plimsoll::Main(); }
