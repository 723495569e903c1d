// A `plimsoll serve` with a small model on the CPU, which really decodes, and its HTTP port.
//
// Threads: the test's. Errors: fail the test.
#pragma once

#include <gtest/gtest.h>
#include <httplib.h>

#include <chrono>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/kvcache/model/published_models.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {

// Whether `holds` becomes true within half a minute, which no test needs unless it fails.
inline bool InTime(const std::function<bool()>& holds) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

class SmallEngine {
 public:
  SmallEngine() {
    folder_.Write("llama/config.json", Published("meta-llama/Llama-3.1-8B").config);
    const ProgramResult made = RunProgram({PlimsollProgram(), "make-model",
                                           "--like",          folder_.File("llama"),
                                           "--out",           folder_.File("small"),
                                           "--layers",        "2",
                                           "--hidden",        "64",
                                           "--intermediate",  "128",
                                           "--heads",         "4",
                                           "--kv-heads",      "2",
                                           "--head-dim",      "16",
                                           "--vocab",         "500"});
    EXPECT_EQ(made.exit_code, 0) << made.err;
  }

  // At the ports of the one before, if there was one.
  void Start() {
    server_ = std::make_unique<ServerProcess>(
        std::vector<std::string>{"--model", folder_.File("small"), "--device", "cpu", "--blocks",
                                 "400", "--listen", grpc_, "--http", http_});
    ASSERT_NE(server_->address(), "") << server_->output();
    grpc_ = server_->address();
    http_ = server_->http();
  }
  void Signal(int signal) { server_->Signal(signal); }
  // Ends it at once.
  void Kill() { server_.reset(); }

  const std::string& http() const { return http_; }
  const std::string& grpc() const { return grpc_; }
  const TempDir& folder() const { return folder_; }

  ProgramResult Ask(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), PlimsollProgram());
    arguments.insert(arguments.end(), {"--server", grpc_, "--format", "json"});
    return RunProgram(arguments);
  }
  nlohmann::json Capacity() const {
    return nlohmann::json::parse(Ask({"capacity"}).out, nullptr, false);
  }
  // A second of traffic that decodes.
  ProgramResult Replay() const {
    std::string lines;
    for (int i = 0; i < 20; ++i) {
      lines += R"({"timestamp": )" + std::to_string(i * 50) +
               R"(, "input_length": 60, "output_length": 20, "hash_ids": []})" + "\n";
    }
    const std::string trace = folder_.Write("trace.jsonl", lines);
    return Ask({"replay", "--trace", trace, "--work", "generate"});
  }

 private:
  const TempDir folder_;
  std::string grpc_ = "127.0.0.1:0", http_ = "127.0.0.1:0";
  std::unique_ptr<ServerProcess> server_;
};

}  // namespace plimsoll
