// Writes what the fuzzers begin with: small files of each kind that are accepted, and the words
// that such files are made of.
//
//   make_seeds FOLDER    FOLDER/config/* and so on, one folder for each kind; FOLDER/*.dict
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kvcache/base/check.h"
#include "kvcache/model/gguf_model.h"
#include "tests/kvcache/model/config_texts.h"
#include "tests/kvcache/model/gguf_writer.h"
#include "tests/kvcache/model/other_published_models.h"
#include "tests/kvcache/model/published_files.h"
#include "tests/kvcache/model/published_models.h"

namespace plimsoll {
namespace {

namespace fs = std::filesystem;

class Seeds {
 public:
  Seeds(const fs::path& folder, std::string kind)
      : folder_(folder / kind), words_(folder / (kind + ".dict")) {
    fs::create_directories(folder_);
  }
  void Add(const std::string& content) {
    const fs::path file = folder_ / std::to_string(count_++);
    std::ofstream out(file, std::ios::binary);
    out << content;
    PLIMSOLL_CHECK(out.good(), file);
  }
  void Word(const std::string& word) { dictionary_.insert(word); }
  void Finish() const {
    std::ofstream out(words_);
    for (const std::string& word : dictionary_) out << '"' << word << "\"\n";
    PLIMSOLL_CHECK(out.good(), words_);
  }

 private:
  fs::path folder_, words_;
  std::set<std::string> dictionary_;
  int count_ = 0;
};

void CollectKeys(const nlohmann::json& value, Seeds& seeds) {
  if (!value.is_structured()) return;
  for (const auto& [name, inner] : value.items()) {
    if (value.is_object()) seeds.Word("\\\"" + name + "\\\"");
    CollectKeys(inner, seeds);
  }
}

void AddConfig(std::string_view text, Seeds& seeds) {
  seeds.Add(std::string(text));
  CollectKeys(nlohmann::json::parse(text), seeds);
}

void WriteConfigs(const fs::path& folder) {
  Seeds seeds(folder, "config");
  for (const std::string& name : SupportedArchitectures()) {
    AddConfig(SmallConfig(name).dump(), seeds);
    seeds.Word("\\\"" + name + "\\\"");
  }
  for (const PublishedModel& model : kPublishedModels) AddConfig(model.config, seeds);
  for (const PublishedModel& model : kOtherPublishedModels) AddConfig(model.config, seeds);
  for (const PublishedFile& file : kPublishedFiles) AddConfig(file.model.config, seeds);
  seeds.Finish();
}

void WriteSafetensors(const fs::path& folder) {
  Seeds seeds(folder, "safetensors");
  for (const char* const part :
       {"model.", "language_model.", "layers.1.", "self_attn.k_proj", "mlp.up_proj", ".weight",
        ".qweight", ".scales", ".weight_scale_inv", "lm_head", "embed_tokens", "visual.", "mtp."}) {
    seeds.Word(part);
  }
  const std::vector<std::string> headers = {
      R"({})",
      R"({"__metadata__":{"format":"pt"}})",
      R"({"model.norm.weight":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}})",
      R"({"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[6],"data_offsets":[2,8]}})",
      R"({"lm_head.weight":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"x":{"dtype":"F8_E4M3","shape":[4,1],"data_offsets":[4,8]}})"};
  for (const std::string& header : headers) {
    const bool empty = header.find("shape") == std::string::npos;
    seeds.Add(LowBytes(header.size(), 8) + header + (empty ? "" : "12345678"));
    CollectKeys(nlohmann::json::parse(header), seeds);
  }
  seeds.Finish();
}

void WriteGgufs(const fs::path& folder) {
  Seeds seeds(folder, "gguf");
  for (const std::string& name : GgufArchitectures()) {
    seeds.Add(Written({.architecture = name}).Head());
    seeds.Word(name);
  }
  for (const GgufType& type : AllGgufTypes()) {
    seeds.Add(
        Written({.hidden = 256, .ffn = 256, .head_dim = 64, .matrices = std::string(type.name)})
            .Head());
  }
  seeds.Add(Written({.head_dim = 8, .output = ""}).Head());
  for (const char* const key :
       {"expert_count", "expert_used_count", "attention.sliding_window", "attention.kv_lora_rank",
        "rope.dimension_count", "nextn_predict_layers", "attention.key_length_mla",
        "ssm.inner_size", "ssm.state_size", "ssm.conv_kernel", "attn_qkv.weight",
        "attn_kv_a_mqa.weight", "ffn_down_exps.weight", "general.alignment", "general.file_type"}) {
    seeds.Word(key);
  }
  seeds.Finish();
}

void WriteSettings(const fs::path& folder) {
  Seeds seeds(folder, "server_config");
  seeds.Add("blocks: 100  # so many\nlisten: \"127.0.0.1:0\"\nlisten: 'unix:/x'\nwatermark: 0.5\n");
  seeds.Add("class: \"a=quantile:0.1\" learning: true utilization: nan");
  seeds.Add(R"({"blocks": "100", "quota": ["a=1:2", "*=0"], "noReflection": true, "lease": "3s"})");
  for (const char* const word : {"blocks", "listen", "watermark", "quota", "http_name", "tokens",
                                 "utilization", "no_learning", "1e308", "infinity", "true"}) {
    seeds.Word(word);
  }
  seeds.Finish();
}

void WriteTokens(const fs::path& folder) {
  Seeds seeds(folder, "tokens");
  seeds.Add("# who\nrouter:admission:0123456789abcdef\n\nops:admin:sha256:" + std::string(64, 'a'));
  for (const char* const word : {":read:", ":admission:", ":admin:", "sha256:"}) seeds.Word(word);
  seeds.Finish();
}

// The first byte says which format is asked for.
void WriteTraces(const fs::path& folder) {
  Seeds seeds(folder, "traces");
  seeds.Add(
      "0"
      R"({"timestamp": 0, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]})"
      "\n"
      R"({"timestamp": 27, "input_length": 1, "output_length": 0, "hash_ids": [1]})");
  seeds.Add(
      "0TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,4808,10\n"
      "2023-11-16 18:17:04.0319600,3180,8\n");
  seeds.Add("0num_prefill_tokens,num_decode_tokens,pd_ratio\n374,44,8.5\n1,1,1\n");
  for (const char* const word : {"timestamp", "input_length", "hash_ids", "2024-02-29 23:59:60",
                                 "+00:00", "ContextTokens", "num_decode_tokens"}) {
    seeds.Word(word);
  }
  seeds.Finish();
}

void WriteRequests(const fs::path& folder) {
  Seeds seeds(folder, "http");
  seeds.Add(std::string(1, '\0') + "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
  seeds.Add(std::string(1, '\0') + "HEAD / HTTP/1.1\r\nHost: [::1]:80\r\nRange: bytes=0-9\r\n\r\n");
  for (const char* const word :
       {"Content-Length: 5\\x0d\\x0a", "Transfer-Encoding: chunked\\x0d\\x0a",
        "Expect: 100-continue", "Last-Event-ID: ", "Accept-Encoding: gzip", "%2f", "HTTP/1.0",
        "/api/v1/watch"}) {
    seeds.Word(word);
  }
  seeds.Finish();
}

// Where any bytes are calls, long sequences of them are what short ones cannot find.
void WriteCalls(const fs::path& folder) {
  for (const char* const kind : {"cache", "calls", "session", "c_abi"}) {
    Seeds seeds(folder, kind);
    for (uint32_t seed = 0; seed < 16; ++seed) {
      std::mt19937 random(seed);
      std::string bytes(64 * (seed + 1), '\0');
      for (char& byte : bytes) byte = static_cast<char>(random());
      seeds.Add(bytes);
    }
    seeds.Finish();
  }
}

}  // namespace
}  // namespace plimsoll

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_seeds FOLDER\n");
    return 2;
  }
  plimsoll::WriteConfigs(argv[1]);
  plimsoll::WriteSafetensors(argv[1]);
  plimsoll::WriteGgufs(argv[1]);
  plimsoll::WriteSettings(argv[1]);
  plimsoll::WriteTokens(argv[1]);
  plimsoll::WriteTraces(argv[1]);
  plimsoll::WriteRequests(argv[1]);
  plimsoll::WriteCalls(argv[1]);
  return 0;
}
