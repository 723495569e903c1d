// plimsoll serve --export: this process maps the pool of another, across its sizes.
#include <gtest/gtest.h>

#include "engine/device/pool_import.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

constexpr char kTiny[] = R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
  "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
  "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 500,
  "tie_word_embeddings": false, "max_position_embeddings": 4096, "rms_norm_eps": 1e-05,
  "rope_theta": 10000.0, "torch_dtype": "bfloat16"})";

ProgramResult Plimsoll(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), PlimsollProgram());
  return RunProgram(arguments);
}

// Two layers of two heads of 16 dims, K and V, two bytes each, 16 tokens: 4 KiB a block.
TEST(ServeExportCli, AnotherProcessMapsThePoolOfAnEngine) {
  const TempDir folder;
  folder.Write("like/config.json", kTiny);
  ASSERT_EQ(Plimsoll({"make-model", "--like", folder.File("like"), "--out", folder.File("tiny")})
                .exit_code,
            0);
  const std::string socket = folder.File("pool");
  const ServerProcess server({"--model", folder.File("tiny"), "--device", "cpu", "--blocks", "10",
                              "--max-blocks", "30", "--export", socket, "--listen", "127.0.0.1:0",
                              "--http", "none"});
  ASSERT_NE(server.address(), "") << server.output();
  const auto import = PoolImport::Open(socket, PoolAccess::kRead);
  ASSERT_TRUE(import.ok()) << import.status();
  EXPECT_EQ((*import)->pool().total, Blocks(10));
  EXPECT_EQ((*import)->pool().block_bytes, Bytes(4096));
  EXPECT_EQ((*import)->pool().mapped, Bytes(10 * 4096));
  for (const int64_t blocks : {30, 5}) {
    const ProgramResult resized =
        Plimsoll({"resize", "--blocks", std::to_string(blocks), "--server", server.address()});
    EXPECT_EQ(resized.exit_code, 0) << resized.err;
    ASSERT_TRUE((*import)->AwaitChange().ok());
    EXPECT_EQ((*import)->pool().total, Blocks(blocks));
    EXPECT_EQ((*import)->pool().mapped, Bytes(blocks * 4096));
  }
}

TEST(ServeExportCli, ALedgerHasNothingToMap) {
  const ProgramResult refused =
      Plimsoll({"serve", "--device", "none", "--blocks", "10", "--export", "/tmp/never"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(refused.err, "plimsoll: --export: a ledger has no memory that others could map\n");
}

}  // namespace
}  // namespace plimsoll
