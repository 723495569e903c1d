// Plans through the C interface: JSON in, JSON out.
#include <nlohmann/json.hpp>
#include <string>

#include "tests/kvcache/c/c_pool.h"

namespace plimsoll {
namespace {

// Two layers of 64, two KV heads of 16: K and V of one token take 2 x 2 x 2 x 16 x 2 = 256 bytes.
const char* const kModel = R"({
  "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
  "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 1000,
  "max_position_embeddings": 2048, "torch_dtype": "bfloat16", "rms_norm_eps": 1e-5,
  "tie_word_embeddings": false})";

std::string WhyNot(const char* model, const char* options) {
  std::string text(100, ' ');
  plimsoll_text plan = {text.data(), text.size(), 0};
  Line why;
  EXPECT_EQ(plimsoll_plan(model, options, &plan, &why), PLIMSOLL_INVALID_ARGUMENT);
  return why.text();
}

TEST(CPlan, SaysWhatFits) {
  const char* const options =
      R"({"memory": "64MiB", "kv": "bf16", "contexts": [256], "max_batched_tokens": 256})";
  plimsoll_text plan = {nullptr, 0, 0};
  Line why;
  ASSERT_EQ(plimsoll_plan(kModel, options, &plan, &why), PLIMSOLL_OUT_OF_RANGE);
  EXPECT_NE(why.text().find("plan.capacity=0"), std::string::npos) << why.text();
  std::string text(plan.length + 1, ' ');
  plan = {text.data(), text.size(), 0};
  ASSERT_EQ(plimsoll_plan(kModel, options, &plan, &why), PLIMSOLL_OK) << why.text();

  const nlohmann::json json = nlohmann::json::parse(text.c_str());
  EXPECT_EQ(json["model"]["kv_bytes_per_token"], 256);
  EXPECT_EQ(json["capacity"]["block_bytes"], 256 * 16);
  const nlohmann::json& memory = json["memory"];
  EXPECT_EQ(memory["device_bytes"], 64 << 20);
  int64_t sum = 0;
  for (const char* term :
       {"weights", "draft", "io", "activation", "runtime", "margin", "kv_pool", "unused"}) {
    sum += memory[std::string(term) + "_bytes"].get<int64_t>();
  }
  EXPECT_EQ(memory["budget_bytes"], sum);
  EXPECT_EQ(json["capacity"]["max_sequences"][0]["sequences"].get<int64_t>(),
            json["capacity"]["blocks"].get<int64_t>() / 16);
}

TEST(CPlan, AGpuByNameHasARuntimeToo) {
  std::string text(1 << 16, ' ');
  plimsoll_text plan = {text.data(), text.size(), 0};
  ASSERT_EQ(plimsoll_plan(kModel, R"({"gpu": "h100", "memory": 85899345920})", &plan, nullptr),
            PLIMSOLL_OK);
  const nlohmann::json json = nlohmann::json::parse(text.c_str());
  EXPECT_EQ(json["memory"]["device_bytes"], 80LL << 30);
  EXPECT_GT(json["memory"]["runtime_bytes"], 100 << 20);
}

TEST(CPlan, NamesTheOptionThatIsWrong) {
  const auto says = [](const char* options, const char* expected) {
    EXPECT_NE(WhyNot(kModel, options).find(expected), std::string::npos)
        << WhyNot(kModel, options) << " for " << options;
  };
  says("{}", "no device; give gpu or memory");
  says("[]", "options: want an object");
  says("{", "options: ");
  says(R"({"memory": "64MiB", "block_token": 16})", "no option \"block_token\"");
  says(R"({"memory": -1})", "memory=-1: want a size");
  says(R"({"memory": "64MiB", "block_tokens": -16})", "block_tokens=-16: want a whole number");
  says(R"({"memory": "64MiB", "block_tokens": 1e30})", "block_tokens=1e+30: want a whole number");
  says(R"({"memory": "64MiB", "max_sequences": 9223372036854775808})", "max_sequences=");
  says(R"({"memory": "64MiB", "contexts": [16, "x"]})", "contexts=\"x\"");
  says(R"({"memory": "64MiB", "contexts": 16})", "contexts=16: want a list");
  says(R"({"memory": "64MiB", "kv": "fp7"})", "kv=fp7");
  says(R"({"memory": "64MiB", "weights": 4})", "weights=4: want a text");
  says(R"({"memory": "64MiB", "flash_attention": 1})", "flash_attention=1: want true or false");
  says(R"({"memory": "64MiB", "utilization": 1.5})", "utilization");
  says(R"({"memory": "64MiB", "tensor_parallel": 3})", "tensor_parallel");
  says(R"({"gpu": "h1000"})", "h1000");
  says(R"({"memory": "64MiB", "draft_model": {}})", "draft_model: ");
  EXPECT_NE(WhyNot(R"({"architectures": ["None"]})", R"({"memory": 1})").find("None"),
            std::string::npos);
}

TEST(CPlan, NullIsAnError) {
  std::string text(100, ' ');
  plimsoll_text plan = {text.data(), text.size(), 0};
  EXPECT_EQ(plimsoll_plan(nullptr, "{}", &plan, nullptr), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(plimsoll_plan(kModel, nullptr, &plan, nullptr), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(plimsoll_plan(kModel, "{}", nullptr, nullptr), PLIMSOLL_INVALID_ARGUMENT);
}

}  // namespace
}  // namespace plimsoll
