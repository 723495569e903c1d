#include "kvcache/sizing/training_placement.h"

#include <algorithm>
#include <string>
#include <utility>

namespace plimsoll {
namespace {

constexpr int64_t kBucket = 500'000'000;  // elements, as are all below
constexpr int64_t kLiveWindow = 1'000'000'000;
constexpr int64_t kPrefetch = 50'000'000;
constexpr int64_t kWeightsKeptInHost = 1'000'000'000;
constexpr int64_t kWeightSwapElements = int64_t{5} * 100'000'000;
constexpr int64_t kStateSwapBuffers = 4;
constexpr int64_t kStateSwapElements = 1'000'000'000;

std::string Text(int64_t n) { return std::to_string(n); }

// Places the states of one rank; a class only to keep what every step of it reads.
class Placer {
 public:
  Placer(const TrainingParameters& parameters, const TrainingOptions& options)
      : parameters_(parameters), options_(options), recipe_(RecipeOf(options.method)) {}

  TrainingPlacement Place() && {
    PlaceWeights();
    PlaceGradients();
    PlaceOptimizer();
    AddBuffers();
    if (to_nvme()) AddSwapBuffers();
    if (offloads()) AddTraffic();
    return std::move(placement_);
  }

 private:
  bool offloads() const { return options_.offload != Offload::kNone; }
  bool to_nvme() const { return options_.offload == Offload::kNvme; }
  bool offloads_weights() const { return offloads() && options_.zero_stage == 3; }

  // What a GPU would hold without ZeRO: of all kinds, and of them in experts.
  struct Whole {
    Bytes all, experts;

    friend Whole operator+(Whole a, Whole b) { return {a.all + b.all, a.experts + b.experts}; }
  };

  // Replicas that hold the same experts, and can split their states.
  int64_t expert_replicas() const { return options_.replicas() / options_.expert_parallel; }

  // A replica's part of what is split from `stage` on.
  Bytes Share(Whole whole, int stage) const {
    if (options_.zero_stage < stage) return whole.all;
    const Bytes others = whole.all - whole.experts;
    return Bytes(CeilDivide(others.value(), options_.replicas()) +
                 CeilDivide(whole.experts.value(), expert_replicas()));
  }
  std::string SharedBy(int stage) const {
    if (options_.zero_stage < stage || options_.replicas() == 1) return "";
    const std::string shared = " / " + Text(options_.replicas()) + " replicas";
    if (options_.expert_parallel == 1) return shared;
    return shared + " (experts / " + Text(expert_replicas()) + ")";
  }

  OffloadedBytes& Far() {
    std::optional<OffloadedBytes>& far = to_nvme() ? placement_.nvme : placement_.host;
    if (!far) far.emplace();
    return *far;
  }
  OffloadedBytes& Host() {
    if (!placement_.host) placement_.host.emplace();
    return *placement_.host;
  }

  void Add(TrainingGroup group, std::string term, std::string formula, Bytes bytes) {
    if (bytes == Bytes(0)) return;
    placement_.terms.push_back({group, std::move(term), std::move(formula), bytes});
  }

  // Adds a state on the GPU, or, where `offloaded` names its sum, where offload takes it.
  void AddState(TrainingGroup group, const std::string& term, const std::string& formula,
                Whole whole, int stage, Bytes OffloadedBytes::*offloaded) {
    const Bytes bytes = Share(whole, stage);
    const std::string shared = formula + SharedBy(stage);
    if (offloaded == nullptr) return Add(group, term, shared, bytes);
    Far().*offloaded += bytes;
    const TrainingGroup far = to_nvme() ? TrainingGroup::kNvme : TrainingGroup::kHost;
    Add(far, std::string(NameOf(far)) + "_" + term, shared, bytes);
  }

  std::string Trained(int64_t width) const {
    const char* const what =
        options_.trains_adapters() ? " adapter parameters x " : " parameters x ";
    return Text(parameters_.trained) + what + Text(width) + " bytes";
  }

  // Bytes of one element as ZeRO-3 counts them: a packed byte of NF4 is one.
  int64_t weight_width() const {
    if (options_.method == TrainingMethod::kQlora) return 1;
    return options_.trains_adapters() ? 2 : recipe_.weights;
  }

  // Host memory keeps the first elements, the disk the rest.
  void PlaceWeightsOnDisk() {
    const Bytes share = Share(WholeWeights(), 3);
    const Bytes kept = std::min(share, Bytes(kWeightsKeptInHost * weight_width()));
    Add(TrainingGroup::kHost, "host_weights",
        "the first 1e9 elements x " + Text(weight_width()) + " bytes", kept);
    Add(TrainingGroup::kNvme, "nvme_weights",
        Text(WholeWeights().all.value()) + " bytes" + SharedBy(3) + ", less what host memory keeps",
        share - kept);
    Host().weights = kept;
    Far().weights = share - kept;
  }

  void PlaceWeights() {
    if (offloads_weights() && to_nvme()) return PlaceWeightsOnDisk();
    const auto place = offloads_weights() ? &OffloadedBytes::weights : nullptr;
    AddState(TrainingGroup::kWeights, options_.trains_adapters() ? "base_weights" : "weights",
             options_.trains_adapters() ? parameters_.frozen_formula : Trained(recipe_.weights),
             options_.trains_adapters() ? FrozenWeights() : TrainedWeights(), 3, place);
    if (!options_.trains_adapters()) return;
    AddState(TrainingGroup::kWeights, "adapter_weights", Trained(recipe_.weights), TrainedWeights(),
             3, place);
  }

  void PlaceGradients() {
    // On the host they are as wide as the weights that the optimizer there updates.
    const int64_t width = offloads() && recipe_.master > 0 ? recipe_.master : recipe_.gradients;
    AddState(TrainingGroup::kGradients, "gradients", Trained(width), TrainedTimes(width),
             offloads() ? 1 : 2, offloads() ? &OffloadedBytes::gradients : nullptr);
  }

  void PlaceOptimizer() {
    const auto place = offloads() ? &OffloadedBytes::optimizer : nullptr;
    if (recipe_.master > 0) {
      AddState(TrainingGroup::kOptimizer, "master_weights", Trained(recipe_.master),
               TrainedTimes(recipe_.master), 1, place);
    }
    if (recipe_.moments_in_8_bits) {
      AddState(TrainingGroup::kOptimizer, "moments",
               Text(parameters_.trained) + " parameters x 2 bytes + 8 for each block of 256",
               {parameters_.moments_8bit, parameters_.moments_8bit_experts}, 1, place);
      return;
    }
    AddState(TrainingGroup::kOptimizer, "moments", Trained(recipe_.moments),
             TrainedTimes(recipe_.moments), 1, place);
  }

  // A buffer of at most `elements`, no larger than the `through` that pass through it.
  void AddBuffer(std::string term, int64_t elements, int64_t through, int64_t width) {
    const int64_t held = std::min(elements, through);
    Add(TrainingGroup::kBuffers, std::move(term),
        Text(held) + " elements x " + Text(width) + " bytes", Bytes(held * width));
  }

  void AddBuffers() {
    const int stage = options_.zero_stage;
    if (stage > 0 || offloads()) {
      AddBuffer("gradient_bucket", kBucket, parameters_.trained, recipe_.backward_gradient);
    }
    if (stage == 1 || stage == 2) {
      AddBuffer("gather_bucket", kBucket, parameters_.trained, recipe_.weights);
    }
    if (stage == 3) AddWindow();
    if (options_.method == TrainingMethod::kQlora) {
      AddBuffer("dequantised_matrix", parameters_.largest_matrix, parameters_.largest_matrix, 2);
    }
  }

  // Weights that ZeRO-3 has gathered at a time.
  void AddWindow() {
    const int64_t width = weight_width();
    const int64_t all = CeilDivide(WholeWeights().all.value(), width);
    AddBuffer("live_weights", kLiveWindow, all, width);
    AddBuffer("prefetched_weights", kPrefetch, std::max<int64_t>(all - kLiveWindow, 0), width);
    AddBuffer("unpartitioned_weights", parameters_.small, all, width);
  }

  // What host memory needs to pass weights and states between disk and GPU.
  void AddSwapBuffers() {
    const int64_t ranks = options_.zero_stage > 0 ? options_.replicas() : 1;
    const int64_t elements = std::min(kStateSwapElements, CeilDivide(parameters_.trained, ranks));
    const Bytes states = Bytes(kStateSwapBuffers * elements * 4);
    const Bytes weights = std::min(Far().weights, Bytes(kWeightSwapElements * weight_width()));
    Add(TrainingGroup::kHost, "host_state_buffers",
        Text(kStateSwapBuffers) + " buffers x " + Text(elements) + " x 4 bytes", states);
    Add(TrainingGroup::kHost, "host_weight_buffers",
        "5 buffers of 1e8 elements, no more than the weights on disk", weights);
    Host().buffers = states + weights;
  }

  void AddTraffic() {
    const int64_t passes = options_.recompute == Recompute::kFull ? 3 : 2;
    const Bytes gradients = Share(TrainedTimes(recipe_.backward_gradient), 1);
    Host().written_per_step = gradients;
    Host().read_per_step =
        offloads_weights() ? Share(WholeWeights(), 3) * passes : Share(TrainedWeights(), 1);
    if (!to_nvme()) return;
    OffloadedBytes& disk = Far();
    const Bytes states = disk.gradients + disk.optimizer;
    const Bytes changed = std::min(disk.weights, Share(TrainedWeights(), 3));
    disk.read_per_step = states + disk.weights * passes;
    disk.written_per_step = states + changed;
  }

  Whole TrainedTimes(int64_t width) const {
    return {Bytes(parameters_.trained * width), Bytes(parameters_.trained_experts * width)};
  }
  Whole TrainedWeights() const { return TrainedTimes(recipe_.weights); }
  Whole FrozenWeights() const { return {parameters_.frozen, parameters_.frozen_experts}; }
  Whole WholeWeights() const { return FrozenWeights() + TrainedWeights(); }

  const TrainingParameters& parameters_;
  const TrainingOptions& options_;
  const StateRecipe recipe_;
  TrainingPlacement placement_;
};

}  // namespace

TrainingPlacement PlaceStates(const TrainingParameters& parameters,
                              const TrainingOptions& options) {
  return Placer(parameters, options).Place();
}

}  // namespace plimsoll
