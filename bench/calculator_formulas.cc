#include "bench/calculator_formulas.h"

#include <array>

namespace plimsoll {
namespace {

using Fields = CalculatorFields;

double HeadDim(const Fields& f) { return f.head_dim.value_or(f.hidden / f.heads); }

std::optional<double> Textbook(const Fields& f) {
  return 2 * (f.hidden * f.vocabulary + f.layers * (12 * f.hidden * f.hidden + 13 * f.hidden) +
              2 * f.hidden);
}

std::optional<double> WithoutHead(const Fields& f) {
  return 2 * (f.parameters - f.head_parameters);
}

// By the name of a model on the Hub: two matrices of an FFN, no heads shared, two embeddings.
double CookbookParameters(const Fields& f) {
  const double expansion = f.is_gpt2 ? 4.0 : f.intermediate.value_or(f.hidden) / f.hidden;
  const double context = f.is_gpt2 ? 2048 : f.context.value_or(2048);
  return 2 * f.vocabulary * f.hidden + f.hidden * context + 8 * f.hidden * f.layers + 2 * f.hidden +
         4 * f.layers * f.hidden * f.hidden + 2 * f.layers * f.hidden * expansion * f.hidden;
}
std::optional<double> Cookbook(const Fields& f) { return 2 * CookbookParameters(f); }

std::optional<double> LlmAnalysis(const Fields& f) {
  if (f.is_gpt2) return std::nullopt;  // comes with a file of its own
  const double h = f.hidden;
  const double layer = 2 * h * h + 2 * h * h * f.kv_heads / f.heads + 2 * h * 4 * h + 2 * h;
  return 2 * (h * f.vocabulary + f.layers * layer + h);
}

constexpr std::array<Calculator, 4> kWeights = {{
    {"textbook", "2 x (hV + L(12h^2 + 13h) + 2h)", "the count that papers and guides print",
     Textbook},
    {"accelerate", "2 x parameters of AutoModel, which has no head",
     "huggingface/accelerate, src/accelerate/commands/estimate.py at 00e4d26", WithoutHead},
    {"cookbook", "2 x (2Vh + hs + 8hL + 2h + 4Lh^2 + 2Lfh)",
     "EleutherAI/cookbook, calc/calc_transformer_mem.py at 069ae2e, by the Hub's name", Cookbook},
    {"llm-analysis", "2 x (hV + L(2h^2 + 2h^2 k/a + 8h^2 + 2h) + h)",
     "cli99/llm-analysis, config.py at 0b979dd and analysis.py, by the Hub's name", LlmAnalysis},
}};

std::optional<double> CookbookKv(const Fields& f) { return 2 * f.hidden * f.layers; }
std::optional<double> NoSharedHeads(const Fields& f) { return 2 * 2 * f.hidden * f.layers; }
// Reads the header of a GGUF file, which names the one head of a multi-query model.
std::optional<double> DerivedHeadDim(const Fields& f) {
  if (f.is_hybrid) return std::nullopt;
  return 2 * 2 * f.layers * (f.multi_query ? 1 : f.kv_heads) * f.hidden / f.heads;
}
std::optional<double> EveryHead(const Fields& f) {
  if (f.multi_query || f.is_hybrid) return std::nullopt;
  return 2 * 2 * f.layers * f.kv_heads * HeadDim(f);
}
std::optional<double> WithLatent(const Fields& f) {
  if (f.latent) return 2 * f.layers * (*f.latent + f.rope_dim.value_or(0));
  return EveryHead(f);
}

constexpr std::array<Calculator, 5> kKv = {{
    {"cookbook", "2hL", "EleutherAI/cookbook, calc/calc_transformer_mem.py at 069ae2e", CookbookKv},
    {"gpu_poor", "4hL", "RahulSChand/gpu_poor, 2 x length x hidden a layer", NoSharedHeads},
    {"Ollama pre-check", "4L k h/a", "ollama/ollama, llm/llama_server.go", DerivedHeadDim},
    {"hf-mem", "4L k d", "alvarobartt/hf-mem, src/hf_mem/safetensors", EveryHead},
    {"llm-d planner", "4L k d, or 2L(c + r) with a latent", "llm-d-incubation/llm-d-planner",
     WithLatent},
}};

std::optional<double> AccelerateTraining(const Fields& f) {
  return 8 * (f.parameters - f.head_parameters);
}
std::optional<double> CookbookTraining(const Fields& f) { return 18 * CookbookParameters(f); }
std::optional<double> EighteenBytes(const Fields& f) { return 18 * f.parameters; }
std::optional<double> DeepSpeedZero2(const Fields& f) {
  return 2 * f.parameters + 18 * f.parameters / 8;
}
std::optional<double> DeepSpeedZero3(const Fields& f) {
  return 4 * f.largest_layer + 18 * f.parameters / 8;
}

constexpr std::array<Calculator, 5> kTraining = {{
    {"accelerate", "the largest of four parts, 8 bytes a parameter without the head",
     "huggingface/accelerate, src/accelerate/commands/estimate.py at 00e4d26", AccelerateTraining},
    {"cookbook", "(2 + 4 + 12) x its count of parameters",
     "EleutherAI/cookbook, calc/calc_transformer_mem.py at 069ae2e", CookbookTraining},
    {"LLaMA-Factory", "18 GB for each 1e9 parameters", "hiyouga/LLaMA-Factory, README.md",
     EighteenBytes},
    {"DeepSpeed ZeRO-2", "2P + 18P / 8",
     "deepspeedai/DeepSpeed, deepspeed/runtime/zero/stage_1_and_2.py", DeepSpeedZero2},
    {"DeepSpeed ZeRO-3", "4 x largest module + 18P / 8",
     "deepspeedai/DeepSpeed, deepspeed/runtime/zero/stage3.py", DeepSpeedZero3},
}};

}  // namespace

std::span<const Calculator> WeightCalculators() { return kWeights; }
std::span<const Calculator> KvCalculators() { return kKv; }
std::span<const Calculator> TrainingCalculators() { return kTraining; }

}  // namespace plimsoll
