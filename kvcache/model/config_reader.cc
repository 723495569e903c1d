#include "kvcache/model/config_reader.h"

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/model/config_fields.h"
#include "kvcache/model/decoder_parts.h"
#include "kvcache/model/families.h"
#include "kvcache/model/quantization_fields.h"
#include "kvcache/model/strict_json.h"
#include "kvcache/model/vision_towers.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;

// Where a checkpoint with other towers beside the language model keeps it: what its names have in
// place of "model.". Its fields are then under text_config.
constexpr std::string_view kModelInside = "model.language_model.";
constexpr std::string_view kModelOutside = "language_model.model.";

struct Family {
  std::string_view architecture;
  void (*read)(ConfigFields& fields, ModelConfig& model);
  std::string_view nested = "";  // one of the two above
  int64_t (*vision)(ConfigFields& fields, const ModelConfig& model) = nullptr;
};

constexpr std::array kFamilies = {
    Family{"LlamaForCausalLM", ReadLlama},
    Family{"MistralForCausalLM", ReadMistral},
    Family{"MixtralForCausalLM", ReadMixtral},
    Family{"Qwen2ForCausalLM", ReadQwen2},
    Family{"Qwen2MoeForCausalLM", ReadQwen2Moe},
    Family{"Qwen3ForCausalLM", ReadQwen3},
    Family{"Qwen3MoeForCausalLM", ReadQwen3Moe},
    Family{"Qwen3NextForCausalLM", ReadQwen3Next},
    Family{"MiMoForCausalLM", ReadMiMo},
    Family{"GemmaForCausalLM", ReadGemma},
    Family{"Gemma2ForCausalLM", ReadGemma2},
    Family{"Gemma3ForCausalLM", ReadGemma3},
    Family{"PhiForCausalLM", ReadPhi},
    Family{"Phi3ForCausalLM", ReadPhi3},
    Family{"PhimoeForCausalLM", ReadPhiMoe},
    Family{"PhiMoEForCausalLM", ReadPhiMoe},
    Family{"GPT2LMHeadModel", ReadGpt2},
    Family{"GPTJForCausalLM", ReadGptJ},
    Family{"GPTNeoXForCausalLM", ReadGptNeoX},
    Family{"MPTForCausalLM", ReadMpt},
    Family{"MptForCausalLM", ReadMpt},
    Family{"OPTForCausalLM", ReadOpt},
    Family{"BloomForCausalLM", ReadBloom},
    Family{"FalconForCausalLM", ReadFalcon},
    Family{"Starcoder2ForCausalLM", ReadStarcoder2},
    Family{"DeepseekV2ForCausalLM", ReadDeepseekV2},
    Family{"DeepseekV3ForCausalLM", ReadDeepseekV3},
    Family{"DeepseekV32ForCausalLM", ReadDeepseekV32},
    Family{"GlmMoeDsaForCausalLM", ReadGlmDsa},
    Family{"GptOssForCausalLM", ReadGptOss},
    Family{"ChatGLMModel", ReadChatGlm},
    Family{"ChatGLMForConditionalGeneration", ReadChatGlm},
    Family{"GlmForCausalLM", ReadGlm},
    Family{"Glm4ForCausalLM", ReadGlm4},
    Family{"CohereForCausalLM", ReadCohere},
    Family{"Cohere2ForCausalLM", ReadCohere2},
    Family{"Olmo2ForCausalLM", ReadOlmo2},
    Family{"GraniteForCausalLM", ReadLlama},
    Family{"GraniteMoeHybridForCausalLM", ReadGraniteHybrid},
    Family{"MambaForCausalLM", ReadMamba},
    Family{"FalconMambaForCausalLM", ReadMamba},
    Family{"JambaForCausalLM", ReadJamba},
    Family{"BambaForCausalLM", ReadBamba},
    Family{"NemotronHForCausalLM", ReadNemotronH},
    Family{"DeciLMForCausalLM", ReadDeciLm},
    Family{"MiniMaxM2ForCausalLM", ReadMiniMaxM2},
    Family{"Qwen3VLForConditionalGeneration", ReadQwen3, kModelInside, QwenVisionElements},
    Family{"Qwen3VLMoeForConditionalGeneration", ReadQwen3Moe, kModelInside, QwenVisionElements},
    Family{"Qwen3_5ForConditionalGeneration", ReadQwen35, kModelInside, QwenVisionElements},
    Family{"Qwen3_5MoeForConditionalGeneration", ReadQwen35Moe, kModelInside, QwenVisionElements},
    Family{"Gemma3ForConditionalGeneration", ReadGemma3, kModelInside, GemmaVisionElements},
    Family{"Gemma4ForConditionalGeneration", ReadGemma4, kModelInside},
    Family{"KimiK25ForConditionalGeneration", ReadDeepseekV3, kModelOutside},
    Family{"Llama4ForConditionalGeneration", ReadLlama4, kModelOutside},
};

const Family* FamilyOf(std::string_view architecture) {
  for (const Family& family : kFamilies) {
    if (family.architecture == architecture) return &family;
  }
  return nullptr;
}

std::string ReadArchitecture(ConfigFields& fields) {
  const std::vector<std::string> names = fields.Texts("architectures");
  if (names.size() != 1) fields.Refuse("architectures", "a list of one name");
  if (names.size() == 1 && FamilyOf(names[0]) == nullptr) {
    fields.Fail(absl::InvalidArgumentError("unknown architecture " + Excerpt(names[0])));
  }
  return names.empty() ? "" : names[0];
}

// What a nested language model takes from the file around it, where it does not say it itself.
nlohmann::json TextConfig(ConfigFields& outer, const nlohmann::json& object) {
  nlohmann::json text = nlohmann::json::object();
  if (const nlohmann::json* const inner = outer.Object("text_config")) text = *inner;
  if (text.empty()) outer.Refuse("text_config", "an object with the language model's fields");
  const bool typed = text.contains("torch_dtype") || text.contains("dtype");
  for (const char* const name : {"torch_dtype", "dtype"}) {
    if (!typed && outer.Has(name)) text[name] = object.at(name);
  }
  for (const char* const name : {"tie_word_embeddings", "quantization_config"}) {
    if (!outer.Has(name)) continue;
    if (text.contains(name) && text[name] != object.at(name)) {
      outer.Refuse(name, "what text_config says");
    }
    text[name] = object.at(name);
  }
  return text;
}

void ReadNested(const Family& family, ConfigFields& outer, const nlohmann::json& object,
                ModelConfig& model) {
  const nlohmann::json text = TextConfig(outer, object);
  ConfigFields fields(text, "text_config.");
  family.read(fields, model);
  constexpr std::string_view kFlat = "model.";
  for (TensorSpec& tensor : model.tensors) {
    if (tensor.name.starts_with(kFlat)) tensor.name.replace(0, kFlat.size(), family.nested);
  }
  ReadQuantization(fields, model);
  outer.Fail(fields.status());
  if (const nlohmann::json* const vision = outer.Object("vision_config")) {
    ConfigFields tower(*vision, "vision_config.");
    LeftOut left{.part = "vision tower"};
    if (family.vision != nullptr && outer.status().ok())
      left.elements = family.vision(tower, model);
    outer.Fail(tower.status());
    model.left_out.push_back(left);
  }
  if (outer.Has("audio_config")) model.left_out.push_back({.part = "audio tower"});
}

absl::StatusOr<ModelConfig> Parse(std::string_view text, std::string name) {
  absl::StatusOr<nlohmann::json> json = ParseStrictJson(text);
  if (!json.ok()) return json.status();
  if (!json->is_object()) return absl::InvalidArgumentError("not a JSON object");
  ConfigFields fields(*json);
  ModelConfig model;
  model.name = std::move(name);
  model.architecture = ReadArchitecture(fields);
  if (fields.IsText("transformers_version")) {
    model.transformers_version = *fields.Text("transformers_version");
  }
  PLIMSOLL_RETURN_IF_ERROR(fields.status());
  const Family& family = *FamilyOf(model.architecture);
  if (family.nested.empty()) {
    family.read(fields, model);
    ReadQuantization(fields, model);
  } else {
    ReadNested(family, fields, *json, model);
  }
  PLIMSOLL_RETURN_IF_ERROR(fields.status());
  PLIMSOLL_RETURN_IF_ERROR(CheckSize(model));
  return model;
}

absl::Status Unreadable(int error_number) {
  return absl::InvalidArgumentError(std::generic_category().message(error_number));
}

// The whole file, unless it is longer than a JSON text may be.
absl::StatusOr<std::string> ReadText(const fs::path& file) {
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) return Unreadable(errno);
  std::string text;
  std::array<char, 65536> buffer;
  while (in && std::ssize(text) <= kMaxJsonBytes) {
    in.read(buffer.data(), buffer.size());
    text.append(buffer.data(), static_cast<size_t>(in.gcount()));
  }
  if (in.bad()) return Unreadable(errno);
  return text;
}

// Some publishers describe how the checkpoint is quantised in a file of its own.
absl::Status ReadFileBeside(const fs::path& config, ModelConfig& model) {
  const fs::path file = config.parent_path() / "hf_quant_config.json";
  std::error_code ignored;
  if (model.quantization || !fs::exists(file, ignored)) return absl::OkStatus();
  const absl::StatusOr<std::string> text = ReadText(file);
  if (!text.ok()) return Annotate(text.status(), file.string());
  const absl::StatusOr<nlohmann::json> json = ParseStrictJson(*text);
  if (!json.ok()) return Annotate(json.status(), file.string());
  if (!json->is_object()) return absl::InvalidArgumentError(file.string() + ": not a JSON object");
  ConfigFields fields(*json);
  ReadQuantizationBeside(fields, model);
  return Annotate(fields.status(), file.string());
}

// The folder's name for a config.json, else the file's name without its ending.
std::string NameOfModel(const fs::path& file) {
  std::error_code ignored;
  if (file.filename() != "config.json") return file.stem().string();
  return fs::absolute(file, ignored).lexically_normal().parent_path().filename().string();
}

}  // namespace

absl::StatusOr<ModelConfig> ReadModelConfig(const std::string& path) {
  std::error_code ignored;
  const fs::path file =
      fs::is_directory(path, ignored) ? fs::path(path) / "config.json" : fs::path(path);
  const absl::StatusOr<std::string> text = ReadText(file);
  if (!text.ok()) return Annotate(text.status(), file.string());
  absl::StatusOr<ModelConfig> model = Parse(*text, NameOfModel(file));
  if (!model.ok()) return Annotate(model.status(), file.string());
  PLIMSOLL_RETURN_IF_ERROR(ReadFileBeside(file, *model));
  return model;
}

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json, const std::string& name) {
  absl::StatusOr<ModelConfig> model = Parse(json, name);
  if (!model.ok()) return Annotate(model.status(), name);
  return model;
}

std::vector<std::string> SupportedArchitectures() {
  std::vector<std::string> names;
  for (const Family& family : kFamilies) names.emplace_back(family.architecture);
  return names;
}

}  // namespace plimsoll
