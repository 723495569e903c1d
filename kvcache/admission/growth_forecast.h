// What running requests will need some steps from now.
//
// While a request runs it takes a token slot each step; when it ends it gives all back. So at each
// horizon t of OutputLengths::kHorizons the need is at most what it would be if nobody ended, less
// what those give back who end within t steps. Of that the mean and the variance are known: each
// request is still there with the probability that OutputLengths says for its age. A request of
// length l counts as l and half a block, because its last block is half full on average.
//
// The sums over running requests are kept by bin of age, not by request, and are corrected as
// requests grow from bin to bin. Means and variances at the horizons are added up from them once a
// step, and corrected by each start and end in between.
//
// How long an output will be shows in whose it is and in how long the prompt is: prompts of like
// length are often the same application's. So there is a distribution for everybody, for each
// tenant, and within these for each bin of the prompt's length; each leans on the one above it
// while it knows little. The first 15 tenants have their own; there are at most 272 in all.
//
// Threads: none; the owner serialises calls. Cost: Add, Remove and Fits O(horizons), Grew O(bins
// that it passes), Refresh O(occupied bins x horizons), and O(bins x horizons) for a distribution
// that learned of more ends. At most 4 MiB. Errors: misuse aborts.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kvcache/admission/admission_policy.h"
#include "kvcache/admission/output_lengths.h"

namespace plimsoll {

class GrowthForecast {
 public:
  using Place = AdmissionPolicy::Place;

  GrowthForecast(Blocks total, Tokens block_tokens);

  // The pool is of so many blocks now: what others were promised is none of it.
  void SetRoom(Blocks room) { room_ = static_cast<double>((room.value() * block_tokens_).value()); }

  // Whether what runs, and `more`, stays within the pool at every horizon, where what is given back
  // by then falls short of its mean by `deviations` times its standard deviation.
  bool Fits(const Demand& more, double deviations) const;

  Place Add(const Demand& demand);
  void Grew(Place place, Tokens more = Tokens(1));
  // Removes a request that is over, or one that was cut off.
  void End(Place place);
  void CutOff(Place place);
  // A step is over: adds everything up anew.
  void Refresh();

  int64_t running() const { return running_; }

 private:
  static constexpr size_t kHorizons = OutputLengths::kHorizons.size();
  using AtHorizons = std::array<double, kHorizons>;

  struct Request {
    size_t kind = 0;
    int bin = 0;
    int64_t age = 0;
    double length = 0;
    double longest = 0;  // with all that it may generate
  };
  struct Sums {
    int64_t requests = 0;
    double length = 0;
    double square = 0;
  };
  // Requests that are alike.
  struct Kind {
    std::unique_ptr<OutputLengths> lengths;
    size_t parent = 0;  // everybody is its own
    int64_t running = 0;
    std::array<Sums, OutputLengths::kBins> bins = {};
    int64_t ends = 0;  // since its distribution was learned
  };
  struct Tenant {
    size_t kind = 0;
    std::array<size_t, OutputLengths::kBins> by_prompt = {};  // kinds; zero where there is none
  };

  size_t MakeKind(size_t parent, const OutputLengths::Options& options);
  size_t TenantOf(std::string_view name) const;
  size_t AddTenant(std::string_view name);
  // The most special kind there is for it, or can be made.
  size_t KindOf(const Demand& demand) const;
  size_t AddKind(const Demand& demand);
  // The kind, and all that are above it.
  template <class What>
  void Upwards(size_t kind, What what);
  Request Describe(const Demand& demand, size_t kind) const;
  void Remove(Place place);
  void Count(const Request& request, double sign);
  void CountInBin(const Request& request, int64_t sign);
  void AddUp(const Kind& kind);

  const Tokens block_tokens_;
  const double half_block_;
  double room_;                  // token slots
  std::vector<Kind> kinds_;      // the first is everybody
  std::vector<Tenant> tenants_;  // and here too
  std::unordered_map<std::string, size_t> by_name_;
  std::vector<Request> requests_;  // by place
  std::vector<Place> unused_;
  int64_t running_ = 0;
  double length_ = 0;   // of all that run
  double longest_ = 0;  // the same, if each used all it may
  AtHorizons mean_ = {};
  AtHorizons variance_ = {};
};

}  // namespace plimsoll
