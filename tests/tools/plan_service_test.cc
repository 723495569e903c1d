// PlanCapacity of a real server says what `plimsoll plan --format json` says.
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "rpc/operator_client.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

constexpr char kLlama31[] = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
  "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
  "tie_word_embeddings": false, "max_position_embeddings": 131072, "rms_norm_eps": 1e-05,
  "rope_theta": 500000.0, "torch_dtype": "bfloat16"})";

class PlanService : public testing::Test {
 protected:
  PlanService()
      : server_(
            {"--device", "none", "--listen", "127.0.0.1:0", "--http", "none", "--blocks", "10"}) {
    folder_.Write("llama31/config.json", kLlama31);
    EXPECT_NE(server_.address(), "") << server_.output();
    client_ = std::move(OperatorClient::Create({.server = server_.address()})).value();
  }

  std::string Plan(std::vector<std::string> arguments) const {
    const std::vector<std::string> start = {PlimsollProgram(),       "plan",     "--model",
                                            folder_.File("llama31"), "--format", "json"};
    arguments.insert(arguments.begin(), start.begin(), start.end());
    return RunProgram(arguments).out;
  }
  absl::StatusOr<PlanAnswer> Ask(const std::function<void(PlanQuery&)>& change) const {
    PlanQuery query{.model_config = kLlama31, .model_name = "llama31", .gpu = "h100"};
    change(query);
    return client_->Plan(query);
  }
  void ExpectFault(const std::string& says, const std::function<void(PlanQuery&)>& change) const {
    const absl::Status status = Ask(change).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_NE(status.message().find(says), std::string::npos) << status;
  }

  TempDir folder_;
  ServerProcess server_;
  std::unique_ptr<OperatorClient> client_;
};

TEST_F(PlanService, SaysWhatTheCommandSays) {
  const absl::StatusOr<PlanAnswer> plain = Ask([](PlanQuery&) {});
  ASSERT_TRUE(plain.ok()) << plain.status();
  EXPECT_EQ(plain->json, Plan({"--gpu", "h100"}));
  const nlohmann::json json = nlohmann::json::parse(plain->json);
  EXPECT_TRUE(plain->fits);
  EXPECT_EQ(plain->blocks.value(), json.at("capacity").at("blocks"));
  EXPECT_EQ(plain->block_tokens.value(), json.at("capacity").at("block_tokens"));
  EXPECT_EQ(plain->block_bytes.value(), json.at("capacity").at("block_bytes"));
  EXPECT_EQ(plain->kv_pool_bytes.value(), json.at("memory").at("kv_pool_bytes"));
  const absl::StatusOr<PlanAnswer> detailed = Ask([](PlanQuery& query) {
    query.memory = Bytes(int64_t{40} << 30);
    query.weights = "int4";
    query.kv = "fp8";
    query.utilization = 0.8;
    query.margin = Bytes(1 << 20);
    query.block_tokens = 32;
    query.max_batched_tokens = 2048;
    query.max_sequences = 64;
    query.tensor_parallel = 2;
    query.lookahead_tokens = 4;
    query.shared_prefix = 64;
    query.no_flash_attention = true;
    query.contexts = {4096, 32768};
    query.sequences = 8;
  });
  ASSERT_TRUE(detailed.ok()) << detailed.status();
  EXPECT_EQ(detailed->json, Plan({"--gpu",
                                  "h100",
                                  "--memory",
                                  "40GiB",
                                  "--weights",
                                  "int4",
                                  "--kv",
                                  "fp8",
                                  "--utilization",
                                  "0.8",
                                  "--margin",
                                  "1MiB",
                                  "--block-tokens",
                                  "32",
                                  "--max-batched-tokens",
                                  "2048",
                                  "--max-sequences",
                                  "64",
                                  "--tensor-parallel",
                                  "2",
                                  "--lookahead-tokens",
                                  "4",
                                  "--shared-prefix",
                                  "64",
                                  "--no-flash-attention",
                                  "--context",
                                  "4096",
                                  "32768",
                                  "--sequences",
                                  "8"}));
}

TEST_F(PlanService, WhatDoesNotFitSaysByHowMuch) {
  const absl::StatusOr<PlanAnswer> answer = Ask([](PlanQuery& query) {
    query.gpu.clear();
    query.memory = Bytes(int64_t{8} << 30);
  });
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_FALSE(answer->fits);
  EXPECT_GT(answer->shortfall_bytes, Bytes(0));
  EXPECT_EQ(answer->json, Plan({"--memory", "8GiB"}));
}

TEST_F(PlanService, NamesTheFieldThatIsWrong) {
  ExpectFault("model_config: ", [](PlanQuery& query) { query.model_config = "{"; });
  ExpectFault("hidden_size", [](PlanQuery& query) {
    query.model_config.replace(query.model_config.find("4096"), 4, "-1");
  });
  ExpectFault("model_config=", [](PlanQuery& query) { query.model_config.clear(); });
  ExpectFault("model_config=", [](PlanQuery& query) { query.model_config.resize(262145, ' '); });
  ExpectFault("draft_model_config: ", [](PlanQuery& query) { query.draft_model_config = "[]"; });
  ExpectFault("weights=int5", [](PlanQuery& query) { query.weights = "int5"; });
  ExpectFault("no-such-gpu", [](PlanQuery& query) { query.gpu = "no-such-gpu"; });
  ExpectFault("block_tokens", [](PlanQuery& query) { query.block_tokens = 17; });
  ExpectFault("memory_bytes", [](PlanQuery& query) { query.gpu.clear(); });
  ExpectFault("sequences=", [](PlanQuery& query) { query.sequences = int64_t{1} << 39; });
  ExpectFault("tensor_parallel", [](PlanQuery& query) { query.tensor_parallel = 1 << 20; });
}

}  // namespace
}  // namespace plimsoll
