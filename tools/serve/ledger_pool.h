// The pool of a ledger server: counted, never filled, sized by the plan or by a number of blocks.
//
// Threads: Create from one; the parts say for themselves. Cost: a few words per block.
// Errors: those of reading the model; ResourceExhausted where it does not fit the memory given.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "kvcache/admission/shared_admission.h"

namespace plimsoll {

class LedgerPool {
 public:
  // Uses the model (may be none where blocks are given), memory, blocks, max_blocks, utilization,
  // block_tokens and admission of `options`. `clock` outlives it.
  static absl::StatusOr<std::unique_ptr<LedgerPool>> Create(const EngineOptions& options,
                                                            const Clock& clock);

  const std::string& model() const { return model_; }  // empty where there is none
  Blocks blocks() const { return blocks_; }
  Bytes block_bytes() const { return block_bytes_; }  // zero where there is no model
  SharedAdmission& admission() { return *admission_; }
  // There is nothing to move: only the count changes. As AdmissionController::Resize says.
  absl::StatusOr<PoolResized> Resize(Blocks total);

 private:
  LedgerPool() = default;
  absl::Status Size(const EngineOptions& options);

  std::string model_;
  Blocks blocks_;
  Bytes block_bytes_;
  Tokens max_context_ = Tokens(kMaxTokens);
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<SharedAdmission> admission_;
};

}  // namespace plimsoll
