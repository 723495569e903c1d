// Configurations changed at random: each is planned exactly, as formulas written here from scratch
// say, or refused in one line that names the field. Never a wrong number.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "kvcache/sizing/inference_plan.h"
#include "tests/kvcache/model/config_texts.h"
#include "tests/kvcache/model/published_models.h"

namespace plimsoll {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr int kMutants = 200;
constexpr int64_t kMaxKvElements = int64_t{1} << 26;  // of one token, the reader's bound
constexpr std::array kFields = {
    "hidden_size",         "intermediate_size", "num_hidden_layers",      "num_attention_heads",
    "num_key_value_heads", "vocab_size",        "max_position_embeddings"};

// What a file of one of these architectures says, by the textbook and no table of tensors.
struct Naive {
  int64_t parameters;
  int64_t kv_bytes_per_token;  // 2 bytes a number, every layer
  int64_t layers;
};

bool IsFlag(const json& config, const char* name) {
  return config.contains(name) && config[name] == true;
}

Naive NaiveCounts(const json& config) {
  const std::string architecture = config["architectures"][0];
  const auto count = [&](const char* name) { return config[name].get<int64_t>(); };
  const int64_t d = count("hidden_size"), f = count("intermediate_size"), v = count("vocab_size");
  const int64_t layers = count("num_hidden_layers"), heads = count("num_attention_heads");
  const int64_t kv_heads = count("num_key_value_heads");
  const int64_t head = config.contains("head_dim") ? count("head_dim") : d / heads;
  const int64_t q = heads * head, kv = kv_heads * head;
  int64_t attention = d * q + 2 * d * kv + q * d;
  if (architecture == "Qwen2ForCausalLM") attention += q + 2 * kv;  // biases of q, k and v
  if (architecture == "Qwen3ForCausalLM") attention += 2 * head;    // norms of q and k
  if (IsFlag(config, "attention_bias")) attention += q + 2 * kv + d;
  int64_t mlp = 3 * d * f;
  if (IsFlag(config, "mlp_bias")) mlp += 2 * f + d;
  if (architecture == "MixtralForCausalLM") {
    mlp = count("num_local_experts") * mlp + count("num_local_experts") * d;
  }
  const int64_t ends = v * d * (IsFlag(config, "tie_word_embeddings") ? 1 : 2) + d;
  return {.parameters = layers * (attention + mlp + 2 * d) + ends,
          .kv_bytes_per_token = 2 * 2 * layers * kv,
          .layers = layers};
}

// Configurations of the architectures above that say all they mean.
std::vector<json> Bases() {
  std::vector<json> bases;
  for (const char* const architecture :
       {"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MixtralForCausalLM"}) {
    json config = SmallConfig(architecture);
    config["head_dim"] = 16;
    config["tie_word_embeddings"] = false;
    if (config["architectures"][0] == "MixtralForCausalLM") {
      config["num_local_experts"] = 4;
      config["num_experts_per_tok"] = 2;
    }
    bases.push_back(config);
  }
  for (const PublishedModel& model : kPublishedModels) {
    json config = json::parse(model.config);
    const std::string name = config["architectures"][0];
    const bool known = name == "LlamaForCausalLM" || name == "Qwen2ForCausalLM" ||
                       name == "Qwen3ForCausalLM" || name == "MixtralForCausalLM";
    const bool whole = config.contains("num_key_value_heads") && config.contains("vocab_size") &&
                       config.contains("tie_word_embeddings") && !config.contains("rope_scaling");
    if (known && whole) bases.push_back(config);
  }
  return bases;
}

// What a mutant must come to.
struct Mutant {
  std::string text;
  std::string what;                           // was done to it
  std::optional<Naive> exact = std::nullopt;  // accepted, and with these counts
  std::string refused_for = "";               // refused, and the message has this
};

class Mutator {
 public:
  explicit Mutator(uint32_t seed) : rng_(seed), bases_(Bases()) {}

  Mutant Next() {
    const json base = bases_[Below(bases_.size())];
    switch (Below(10)) {
      case 0:
        return Hostile(base);
      case 1:
        return Deleted(base);
      case 2:
        return Duplicated(base);
      case 3:
        return Truncated(base);
      case 4:
        return Renamed(base);
      case 5:
        return Harmless(base);
      case 6:
        return Flipped(base);
      default:
        return Changed(base);
    }
  }

 private:
  size_t Below(size_t n) { return rng_() % n; }
  std::string AnyField() { return kFields[Below(kFields.size())]; }

  // Another count: exact where it contradicts nothing, else refused by the field or its partner.
  Mutant Changed(json config) {
    const std::string field = AnyField();
    const auto bits = static_cast<int>(1 + Below(14));
    const int64_t value = static_cast<int64_t>(1 + Below(size_t{1} << bits));
    config[field] = value;
    Mutant mutant{.text = config.dump(), .what = field + " = " + std::to_string(value)};
    const int64_t heads = config["num_attention_heads"], kv = config["num_key_value_heads"];
    const bool derived = !config.contains("head_dim");
    const int64_t hidden = config["hidden_size"];
    if (heads % kv != 0) {
      mutant.refused_for = "num_key_value_heads=";
    } else if (derived && hidden % heads != 0) {
      mutant.refused_for = "hidden_size=";
    } else if (derived && hidden / heads % 2 != 0) {
      mutant.refused_for = "even number";  // a rotation turns pairs
    } else if (NaiveCounts(config).kv_bytes_per_token / 2 > kMaxKvElements) {
      mutant.refused_for = "K and V elements per token=";
    } else {
      mutant.exact = NaiveCounts(config);
    }
    return mutant;
  }

  // No count at all, however it is written.
  Mutant Hostile(const json& config) {
    static constexpr std::array kValues = {"0",
                                           "-1",
                                           "-9223372036854775808",
                                           "1.5",
                                           "4.0",
                                           "1e3",
                                           "9223372036854775808",
                                           "[4]",
                                           "{}",
                                           "true",
                                           "18446744073709551616",
                                           "\"4\"",
                                           "1e400",
                                           "NaN",
                                           "-Infinity"};
    const std::string field = AnyField(), value = kValues[Below(kValues.size())];
    json marked = config;
    marked[field] = "@";
    std::string text = marked.dump();
    text.replace(text.find("\"@\""), 3, value);
    const bool overflows = value == "1e400";  // no JSON reader has a number for it
    return {.text = text,
            .what = field + " = " + value,
            .refused_for = overflows ? "not JSON" : field + "="};
  }

  Mutant Deleted(json config) {
    static constexpr std::array kRequired = {"hidden_size", "intermediate_size",
                                             "num_hidden_layers", "num_attention_heads",
                                             "vocab_size"};
    const std::string field = kRequired[Below(kRequired.size())];
    config.erase(field);
    return {.text = config.dump(), .what = "no " + field, .refused_for = field};
  }

  Mutant Duplicated(const json& config) {
    const std::string field = AnyField();
    std::string text = config.dump();
    text.back() = ',';
    text += "\"" + field + "\":" + config[field].dump() + "}";
    return {
        .text = text, .what = field + " twice", .refused_for = "duplicate key \"" + field + "\""};
  }

  Mutant Truncated(const json& config) {
    const std::string text = config.dump();
    const size_t length = Below(text.size());
    return {.text = text.substr(0, length),
            .what = "cut at " + std::to_string(length),
            .refused_for = "not JSON"};
  }

  Mutant Renamed(json config) {
    std::string name = config["architectures"][0];
    name[Below(name.size())] = '_';
    config["architectures"] = {name};
    return {.text = config.dump(), .what = name, .refused_for = "unknown architecture " + name};
  }

  // Fields that nobody needs, other white space: nothing changes.
  Mutant Harmless(json config) {
    config["x" + std::to_string(Below(1000))] = {{"deep", {1, 2.5, nullptr}}};
    config["initializer_range"] = "not a number";
    return {.text = config.dump(static_cast<int>(Below(8))),
            .what = "fields that nobody reads",
            .exact = NaiveCounts(config)};
  }

  Mutant Flipped(json config) {
    config["tie_word_embeddings"] = !config["tie_word_embeddings"].get<bool>();
    if (config["architectures"][0] == "LlamaForCausalLM") {
      config["attention_bias"] = Below(2) == 0;
      config["mlp_bias"] = Below(2) == 0;
    }
    return {.text = config.dump(), .what = "flags", .exact = NaiveCounts(config)};
  }

  std::mt19937 rng_;
  std::vector<json> bases_;
};

void ExpectExact(const ModelConfig& model, const Naive& naive) {
  EXPECT_EQ(model.Parameters(), naive.parameters);
  EXPECT_EQ(model.layers, naive.layers);
  const auto plan = PlanInference(
      model,
      {.device_bytes = Bytes(int64_t{1} << 50), .utilization = 1.0, .weights = ElementType::kBf16});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->weights_bytes, Bytes(2 * naive.parameters));
  EXPECT_EQ(plan->kv_bytes_per_token, Bytes(naive.kv_bytes_per_token));
}

void ExpectRefused(const absl::StatusOr<ModelConfig>& model, const std::string& reason) {
  ASSERT_FALSE(model.ok()) << "accepted with " << model->Parameters() << " parameters";
  const std::string message(model.status().message());
  EXPECT_THAT(message, HasSubstr(reason));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_LT(message.size(), 300u);
}

TEST(MutatedConfigs, EachIsExactOrRefusedByName) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  Mutator mutator(static_cast<uint32_t>(seed));
  int exact = 0;
  for (int i = 0; i < kMutants; ++i) {
    const Mutant mutant = mutator.Next();
    SCOPED_TRACE(mutant.what + " in " + mutant.text);
    const absl::StatusOr<ModelConfig> model = ParseModelConfig(mutant.text, "mutant");
    if (!mutant.exact) {
      ExpectRefused(model, mutant.refused_for);
      continue;
    }
    ++exact;
    ASSERT_TRUE(model.ok()) << model.status();
    ExpectExact(*model, *mutant.exact);
  }
  EXPECT_GT(exact, kMutants / 5);
  EXPECT_LT(exact, kMutants * 4 / 5);
}

// The formulas above are no copy of what they judge: they give the published counts.
TEST(MutatedConfigs, TheNaiveFormulasGiveThePublishedCounts) {
  int seen = 0;
  for (const PublishedModel& model : kPublishedModels) {
    const json config = json::parse(model.config);
    const std::string name = config["architectures"][0];
    if ((name != "LlamaForCausalLM" && name != "Qwen2ForCausalLM") ||
        !config.contains("num_key_value_heads")) {
      continue;
    }
    ++seen;
    EXPECT_EQ(NaiveCounts(config).parameters, model.parameters) << model.name;
    EXPECT_EQ(NaiveCounts(config).kv_bytes_per_token, model.kv_per_token) << model.name;
  }
  EXPECT_GT(seen, 10);
}

}  // namespace
}  // namespace plimsoll
