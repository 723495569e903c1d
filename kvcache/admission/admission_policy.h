// How much of what a request may ever use is promised when it starts, and when it may start.
//
//   never-evict  all of it; what was admitted never has to stop for another.
//   watermark    room for the prompt and one token more, while a constant share of the pool stays
//                free; nothing is kept free for the first.
//   quantile     room for the prompt and one token more, as long as what runs outgrows the pool
//                with a probability below a stated one; see quantile_policy.h.
//
// Under the last two running requests take free blocks as they grow, and when there are none some
// request has to stop, is preempted, and starts over later with the tokens that it had.
//
// A policy is told what becomes of the requests it let start. It decides on numbers only: it holds
// no block, and the same calls give the same answers.
//
// Invariant: a request that would fit beside all that run if each of them used all it may ever use
// is never told to wait for lack of a forecast.
//
// Threads: none; the owner serialises calls. Cost: O(1) for each call, whatever runs; bounds are
// given in quantile_policy.h. Errors: InvalidArgument from the options; misuse aborts.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "kvcache/base/units.h"

namespace plimsoll {

class GrowthForecast;

enum class Policy : uint8_t { kNeverEvict, kWatermark, kQuantile };

std::string_view NameOf(Policy policy);  // "never-evict", "watermark", "quantile"
std::optional<Policy> PolicyFromName(std::string_view name);

struct PolicyOptions {
  Policy policy = Policy::kNeverEvict;
  double watermark = 0.01;      // share of the pool, in [0, 1)
  double overflow_goal = 0.01;  // of decisions to start something, in (0, 0.5]

  friend bool operator==(const PolicyOptions&, const PolicyOptions&) = default;
};

// A request that wants to start, or to start over.
struct Demand {
  std::string_view tenant = {};
  Tokens prompt;
  Tokens max_new;                // that it may generate in all, not less than `generated`
  Tokens generated = Tokens(0);  // before it was preempted

  Tokens length() const { return prompt + generated; }
  // What it needs room for when it starts.
  Tokens first_step() const { return std::min(length() + Tokens(1), prompt + max_new); }
};

class AdmissionPolicy {
 public:
  // A running request, to the policy; used again after its end.
  using Place = size_t;

  // For a pool of `total` blocks. Policies that share a forecast answer for each other's requests
  // too; without one given, a policy that needs one has its own. InvalidArgument, naming the field,
  // for an option out of range.
  static absl::StatusOr<std::unique_ptr<AdmissionPolicy>> Create(
      const PolicyOptions& options, Blocks total, Tokens block_tokens,
      std::shared_ptr<GrowthForecast> forecast = nullptr);
  virtual ~AdmissionPolicy() = default;

  // Blocks that a request takes when it starts.
  virtual Blocks AtStart(const Demand& demand) const = 0;
  // Whether it may start when so many blocks are free.
  virtual bool MayStart(const Demand& demand, Blocks free) const = 0;

  virtual Place Started(const Demand& demand) = 0;
  // It has so many tokens more.
  virtual void Grew(Place /*place*/, Tokens /*more*/) {}
  // It is over.
  virtual void Ended(Place place) = 0;
  // It had to stop, and says nothing about how long requests are.
  virtual void Preempted(Place place) = 0;
  // The pool is of so many blocks now.
  virtual void Resized(Blocks /*total*/) {}
  // All that run had their turn; `overflowed` if there was too little room for them.
  virtual void Stepped(bool /*overflowed*/) {}
};

}  // namespace plimsoll
