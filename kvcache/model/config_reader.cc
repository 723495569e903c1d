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
#include "kvcache/model/strict_json.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;

struct Family {
  std::string_view architecture;
  void (*read)(ConfigFields& fields, ModelConfig& model);
};

constexpr std::array kFamilies = {
    Family{"LlamaForCausalLM", ReadLlama},       Family{"MistralForCausalLM", ReadMistral},
    Family{"MixtralForCausalLM", ReadMixtral},   Family{"Qwen2ForCausalLM", ReadQwen2},
    Family{"Qwen2MoeForCausalLM", ReadQwen2Moe}, Family{"Qwen3ForCausalLM", ReadQwen3},
    Family{"Qwen3MoeForCausalLM", ReadQwen3Moe}, Family{"GemmaForCausalLM", ReadGemma},
    Family{"Gemma2ForCausalLM", ReadGemma2},     Family{"Gemma3ForCausalLM", ReadGemma3},
    Family{"Phi3ForCausalLM", ReadPhi3},
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

std::optional<std::string> ReadQuantization(ConfigFields& fields) {
  const nlohmann::json* const object = fields.Object("quantization_config");
  if (object == nullptr) return std::nullopt;
  return ConfigFields(*object).Text("quant_method").value_or("of an unnamed kind");
}

absl::StatusOr<ModelConfig> Parse(std::string_view text, std::string name) {
  absl::StatusOr<nlohmann::json> json = ParseStrictJson(text);
  if (!json.ok()) return json.status();
  if (!json->is_object()) return absl::InvalidArgumentError("not a JSON object");
  ConfigFields fields(*json);
  ModelConfig model;
  model.name = std::move(name);
  model.architecture = ReadArchitecture(fields);
  PLIMSOLL_RETURN_IF_ERROR(fields.status());
  model.quantization = ReadQuantization(fields);
  FamilyOf(model.architecture)->read(fields, model);
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
absl::Status ReadQuantizationBeside(const fs::path& config, ModelConfig& model) {
  const fs::path file = config.parent_path() / "hf_quant_config.json";
  std::error_code ignored;
  if (model.quantization || !fs::exists(file, ignored)) return absl::OkStatus();
  const absl::StatusOr<std::string> text = ReadText(file);
  if (!text.ok()) return Annotate(text.status(), file.string());
  const absl::StatusOr<nlohmann::json> json = ParseStrictJson(*text);
  if (!json.ok()) return Annotate(json.status(), file.string());
  if (!json->is_object()) return absl::InvalidArgumentError(file.string() + ": not a JSON object");
  ConfigFields fields(*json);
  const nlohmann::json* const object = fields.Object("quantization");
  if (object == nullptr) return Annotate(fields.status(), file.string());
  ConfigFields inner(*object, "quantization.");
  model.quantization = inner.Text("quant_algo");
  return Annotate(inner.status(), file.string());
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
  PLIMSOLL_RETURN_IF_ERROR(ReadQuantizationBeside(file, *model));
  return model;
}

absl::StatusOr<ModelConfig> ParseModelConfig(std::string_view json, std::string name) {
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
