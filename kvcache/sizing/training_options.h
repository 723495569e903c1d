// How a model is trained: what the training plan must be told.
//
// Threads: values and pure functions. Cost: none. Errors: InvalidArgument naming the field.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kvcache/base/units.h"

namespace plimsoll {

// What a parameter costs in each of these is the table of training_states.h.
enum class TrainingMethod : uint8_t {
  kFullFp32,
  kMixed,           // 16-bit gradients
  kMixedFp32Grads,  // gradients kept in fp32
  kMixedBothGrads,  // both copies
  kBf16,            // no master weights
  kAdam8bit,        // mixed, moments in 8 bits
  kBf16Adam8bit,    // no master weights, moments in 8 bits
  kSgd,             // mixed, one moment
  kLora,            // fp32 adapters over a frozen 16-bit base
  kQlora,           // the same over a base in NF4 with double quantisation
};

enum class Recompute : uint8_t { kNone, kSelective, kFull };
enum class ActivationFormula : uint8_t { kArchitecture, kClassic };
enum class Offload : uint8_t { kNone, kCpu, kNvme };

struct TrainingOptions {
  TrainingMethod method;
  int64_t batch;    // sequences that one replica works on at once
  Tokens sequence;  // tokens of each
  int64_t lora_rank = 16;
  std::vector<std::string> lora_targets = {"q_proj", "v_proj"};
  int zero_stage = 0;  // 0 to 3
  int64_t gpus = 1;    // in all: tensor_parallel x pipeline_parallel x replicas
  int64_t tensor_parallel = 1;
  int64_t pipeline_parallel = 1;   // stages; a step has at least as many microbatches of `batch`
  int64_t interleave = 1;          // chunks of layers that each stage holds
  int64_t expert_parallel = 1;     // replicas that share one set of experts; divides replicas()
  bool sequence_parallel = false;  // wants tensor_parallel > 1
  Recompute recompute = Recompute::kNone;
  // Default: architecture for a model, classic for a bare number of parameters.
  std::optional<ActivationFormula> activation_formula = std::nullopt;
  Offload offload = Offload::kNone;
  std::optional<Bytes> device_bytes = std::nullopt;  // of one GPU, to say whether it fits
  Bytes runtime = Bytes(0);                          // of device_bytes, what CUDA takes

  // GPUs that hold one replica; where replicas share experts, all but the others'.
  int64_t ranks() const { return tensor_parallel * pipeline_parallel; }
  int64_t replicas() const { return gpus / ranks(); }
  bool trains_adapters() const {
    return method == TrainingMethod::kLora || method == TrainingMethod::kQlora;
  }
};

// Limits of the options. With them and the plan's limit of kMaxBytes on every sum, no figure
// leaves 64 bits.
inline constexpr int64_t kMaxTrainingBatch = int64_t{1} << 24;
inline constexpr int64_t kMaxTrainingGpus = int64_t{1} << 20;
inline constexpr int64_t kMaxTensorParallel = 1024;  // as of stages, chunks and expert ranks
inline constexpr int64_t kMaxLoraRank = int64_t{1} << 16;

// The first limit that is broken, naming the field; else OK. What depends on the model (heads that
// do not divide, targets that it lacks) is refused by the plan.
absl::Status CheckTrainingOptions(const TrainingOptions& options);

// The names of the command line, "mixed-fp32-grads" and so on.
std::string_view NameOf(TrainingMethod method);
std::string_view NameOf(Recompute recompute);
std::string_view NameOf(ActivationFormula formula);
std::string_view NameOf(Offload offload);
absl::StatusOr<TrainingMethod> TrainingMethodFromName(std::string_view name);
absl::StatusOr<Recompute> RecomputeFromName(std::string_view name);
absl::StatusOr<ActivationFormula> ActivationFormulaFromName(std::string_view name);
absl::StatusOr<Offload> OffloadFromName(std::string_view name);

}  // namespace plimsoll
