#include "kvcache/c/plan_request.h"

#include <array>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "kvcache/base/errors.h"
#include "kvcache/base/size_text.h"
#include "kvcache/model/config_reader.h"
#include "kvcache/model/strict_json.h"
#include "kvcache/sizing/gpu_catalogue.h"
#include "kvcache/sizing/solve.h"

namespace plimsoll::c_interface {
namespace {

using Json = nlohmann::json;

constexpr std::array kKeys = {"gpu",
                              "memory",
                              "utilization",
                              "margin",
                              "weights",
                              "kv",
                              "block_tokens",
                              "max_batched_tokens",
                              "max_sequences",
                              "contexts",
                              "tensor_parallel",
                              "pipeline_parallel",
                              "name",
                              "expert_parallel",
                              "lookahead_tokens",
                              "shared_prefix",
                              "draft_model",
                              "flash_attention",
                              "decompress_latent"};

absl::Status Wrong(std::string_view key, const Json& value, std::string_view wanted) {
  return BadField(key, Excerpt(value.dump(-1, ' ', true, Json::error_handler_t::replace)), wanted);
}

// The readers of one option each: what is not there stays as it is.
class Options {
 public:
  explicit Options(const Json& json) : json_(json) {}

  absl::Status CheckKeys() const {
    const std::set<std::string> known(kKeys.begin(), kKeys.end());
    for (const auto& [key, value] : json_.items()) {
      if (known.contains(key)) continue;
      return absl::InvalidArgumentError("options: no option \"" + Excerpt(key) + "\"");
    }
    return absl::OkStatus();
  }
  const Json* Find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }
  absl::Status Read(const char* key, int64_t& to) const {
    const Json* const value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_number_integer() || *value < 0 || value->get<uint64_t>() > kMost) {
      return Wrong(key, *value, "a whole number that is not negative");
    }
    to = value->get<int64_t>();
    return absl::OkStatus();
  }
  absl::Status Read(const char* key, Tokens& to) const {
    int64_t n = to.value();
    PLIMSOLL_RETURN_IF_ERROR(Read(key, n));
    to = Tokens(n);
    return absl::OkStatus();
  }
  absl::Status Read(const char* key, bool& to) const {
    const Json* const value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_boolean()) return Wrong(key, *value, "true or false");
    to = value->get<bool>();
    return absl::OkStatus();
  }
  absl::Status Read(const char* key, std::string& to) const {
    const Json* const value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_string()) return Wrong(key, *value, "a text");
    to = value->get<std::string>();
    return absl::OkStatus();
  }
  // A size is a text as on the command line, or a number of bytes.
  absl::Status Read(const char* key, Bytes& to) const {
    const Json* const value = Find(key);
    if (value == nullptr) return absl::OkStatus();
    if (!value->is_string() && !value->is_number_unsigned()) {
      return Wrong(key, *value, "a size like \"80GiB\", or bytes");
    }
    const absl::StatusOr<Bytes> size =
        ParseSize(value->is_string() ? value->get<std::string>() : value->dump(), key);
    if (!size.ok()) return size.status();
    to = *size;
    return absl::OkStatus();
  }

 private:
  // Of a count of anything; each has closer limits of its own.
  static constexpr uint64_t kMost = uint64_t{1} << 40;
  const Json& json_;
};

absl::Status ReadTypes(const Options& in, InferenceOptions& out) {
  std::string weights;
  PLIMSOLL_RETURN_IF_ERROR(in.Read("weights", weights));
  if (!weights.empty()) {
    out.weights = WeightFormatFromName(weights);
    if (!out.weights) {
      return BadField("weights", Excerpt(weights), "one of " + WeightFormatNames());
    }
  }
  std::string kv;
  PLIMSOLL_RETURN_IF_ERROR(in.Read("kv", kv));
  if (kv.empty()) return absl::OkStatus();
  out.kv = ElementTypeFromName(kv);
  if (out.kv) return absl::OkStatus();
  return BadField("kv", Excerpt(kv), "fp32, tf32, fp16, bf16, fp8, int8 or int4");
}

absl::Status ReadContexts(const Options& in, InferenceOptions& out) {
  const Json* const contexts = in.Find("contexts");
  if (contexts == nullptr) return absl::OkStatus();
  if (!contexts->is_array()) return Wrong("contexts", *contexts, "a list of counts of tokens");
  for (const Json& context : *contexts) {
    const Json one = {{"contexts", context}};
    Tokens tokens;
    PLIMSOLL_RETURN_IF_ERROR(Options(one).Read("contexts", tokens));
    out.contexts.push_back(tokens);
  }
  return absl::OkStatus();
}

absl::Status ReadCounts(const Options& in, InferenceOptions& out) {
  PLIMSOLL_RETURN_IF_ERROR(in.Read("block_tokens", out.block_tokens));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("max_batched_tokens", out.max_batched_tokens));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("max_sequences", out.max_sequences));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("tensor_parallel", out.tensor_parallel));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("pipeline_parallel", out.pipeline_parallel));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("expert_parallel", out.expert_parallel));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("lookahead_tokens", out.lookahead_tokens));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("shared_prefix", out.shared_prefix));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("flash_attention", out.flash_attention));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("decompress_latent", out.decompress_latent));
  return ReadContexts(in, out);
}

absl::Status ReadShare(const Options& in, InferenceOptions& out) {
  const Json* const share = in.Find("utilization");
  if (share == nullptr) return absl::OkStatus();
  if (!share->is_number()) return Wrong("utilization", *share, "a number above 0, up to 1");
  out.utilization = share->get<double>();
  return absl::OkStatus();
}

// Device memory, and what the runtime takes of it, from gpu, memory or both.
absl::Status ReadDevice(const Options& in, PlanRequest& request) {
  request.options.runtime_formula = "no GPU named, so none counted";
  std::string name;
  PLIMSOLL_RETURN_IF_ERROR(in.Read("gpu", name));
  if (name.empty() && in.Find("memory") == nullptr) {
    return absl::InvalidArgumentError("options: no device; give gpu or memory");
  }
  if (!name.empty()) {
    const absl::StatusOr<GpuSpec> gpu = FindGpu(name);
    if (!gpu.ok()) return gpu.status();
    request.options.device_bytes = gpu->memory();
    request.options = WithRuntimeOf(*gpu, request.model, std::move(request.options));
  }
  return in.Read("memory", request.options.device_bytes);
}

absl::Status ReadDraft(const Options& in, PlanRequest& request) {
  const Json* const draft = in.Find("draft_model");
  if (draft == nullptr) return absl::OkStatus();
  absl::StatusOr<ModelConfig> model = ParseModelConfig(draft->dump(), "draft");
  if (!model.ok()) return Annotate(model.status(), "draft_model");
  request.draft = std::make_unique<const ModelConfig>(*std::move(model));
  request.options.draft = request.draft.get();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PlanRequest> ParsePlanRequest(std::string_view model_json,
                                             std::string_view options_json) {
  const absl::StatusOr<Json> json = ParseStrictJson(options_json);
  if (!json.ok()) return Annotate(json.status(), "options");
  if (!json->is_object()) return absl::InvalidArgumentError("options: want an object");
  const Options in(*json);
  PLIMSOLL_RETURN_IF_ERROR(in.CheckKeys());
  std::string name = "model";
  PLIMSOLL_RETURN_IF_ERROR(in.Read("name", name));
  absl::StatusOr<ModelConfig> model = ParseModelConfig(model_json, name);
  if (!model.ok()) return model.status();
  PlanRequest request{
      .model = *std::move(model), .draft = nullptr, .options = {.device_bytes = Bytes(0)}};
  PLIMSOLL_RETURN_IF_ERROR(ReadShare(in, request.options));
  PLIMSOLL_RETURN_IF_ERROR(in.Read("margin", request.options.margin));
  PLIMSOLL_RETURN_IF_ERROR(ReadTypes(in, request.options));
  PLIMSOLL_RETURN_IF_ERROR(ReadCounts(in, request.options));
  PLIMSOLL_RETURN_IF_ERROR(ReadDraft(in, request));
  PLIMSOLL_RETURN_IF_ERROR(ReadDevice(in, request));
  return request;
}

}  // namespace plimsoll::c_interface
