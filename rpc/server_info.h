// What a server says about itself.
//
// Threads: a value. Cost: a few strings. Errors: none.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace plimsoll {

using MemoryTeller = std::function<std::vector<MemoryStage>()>;
using PoolResizer = std::function<void(Blocks total, PoolResizedHandler done)>;

enum class ServerMode : uint8_t {
  kEngine,  // owns the memory and decodes
  kLedger,  // only counts, in front of another engine
};

struct ServerInfo {
  std::string version;
  std::string epoch;  // the server life
  ServerMode mode = ServerMode::kLedger;
  std::string model;                          // its name; empty where none was given
  std::string device;                         // "cpu", "cuda", "none"
  std::vector<MemoryStage> memory = {};       // engine mode: predicted and measured
  std::optional<LoopStats> loop = {};         // engine mode
  VictimRule victim = VictimRule::kCheapest;  // engine mode: who stops where there is no room
};

}  // namespace plimsoll
