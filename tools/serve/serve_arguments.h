// What `plimsoll serve` was asked to do, read and bounded.
//
// Threads: a value. Cost: none. Errors: InvalidArgument naming the argument.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "kvcache/base/clock.h"
#include "tools/serve/network_arguments.h"

namespace plimsoll {

// As typed.
struct ServeText {
  std::string model;
  std::string device = "auto";
  std::string memory;
  std::string kv;
  std::string weights;  // empty: as stored
  std::optional<int64_t> blocks;
  std::optional<int64_t> max_blocks;
  std::string export_socket;
  std::string swap;  // empty: none
  std::string eviction = "off";
  std::vector<std::string> listen = {"127.0.0.1:8470"};
  std::string http = "127.0.0.1:8471";
  std::vector<std::string> http_names;
  std::string policy = "never-evict";
  std::string victim = "cheapest";
  double watermark = 0.01, overflow_goal = 0.01;
  std::vector<std::string> classes;  // see tenant_rules.h
  std::vector<std::string> quotas;
  int64_t block_tokens = 16;
  int64_t max_batched_tokens = 512;
  int64_t max_sequences = 256;
  double utilization = 0.92;
  std::string lease = "30s";
  std::string drain_timeout = "10s";
  bool no_reflection = false;
  bool learning = false, no_learning = false;
  NetworkText network;
};

struct ServeArguments {
  EngineOptions engine;  // a ledger uses all of it but the device
  ServerOptions server;  // what does not depend on the pool
  std::string http;      // empty: none
  std::vector<std::string> http_names;
  LogOptions log;
  Duration drain_timeout;

  bool ledger() const { return engine.device == "none"; }
};

absl::StatusOr<ServeArguments> ReadServeArguments(const ServeText& text);

}  // namespace plimsoll
