// Room for what a step appends, under policies that promise less than a request may ever use.
//
// Each share is granted in order of arrival. Where there is no room, a victim is suspended: it
// gives all its blocks back and its share of the step is dropped. It resumes before anybody new
// starts, and computes its tokens again, unless swap space keeps what it held. Who came first is
// never a victim; where it alone runs and others hold the room without running, it waits for them.
//
// Threads: under the admission lock. Cost: O(shares), and O(generations) for each victim; allocates
// nothing once `candidates` has room, but for what is swapped. Errors: none.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/loop/generation.h"
#include "engine/loop/step_plan.h"
#include "engine/loop/swap_space.h"
#include "kvcache/admission/admission_controller.h"
#include "kvcache/admission/victim.h"

namespace plimsoll {

class StepRoom {
 public:
  // `swap` outlives it; null: nothing is kept of who stops.
  StepRoom(VictimRule rule, SwapSpace* swap) : rule_(rule), swap_(swap) {}

  using Generations = std::vector<std::shared_ptr<Generation>>;

  // Resumes those that are suspended, as far as there is room, in order of arrival; one whose
  // tenant is at its maximum holds up nobody of another.
  void Resume(AdmissionController& admission, const Generations& active);
  // Grants what the shares append, which are of `running`, and drops those for which there is no
  // room. All in `active` that are not suspended may be victims. Returns how many were.
  int64_t Grant(AdmissionController& admission, const Generations& active,
                const std::vector<Generation*>& running, std::vector<StepShare>& shares);
  void ReserveRoom(size_t generations) {
    candidates_.reserve(generations);
    held_by_.reserve(generations);
  }

 private:
  Reason ResumeOne(AdmissionController& admission, Generation& generation);
  // Takes all that it holds, and forgets what it computed, where it is not kept.
  void Suspend(AdmissionController& admission, Generation& victim);
  // For one that does not grow for that reason. Null where nobody else would make room for it.
  Generation* SuspendOne(AdmissionController& admission, const Generations& active,
                         const Generation& grows, Reason reason);

  const VictimRule rule_;
  SwapSpace* const swap_;
  std::vector<VictimCandidate> candidates_;
  std::vector<Generation*> held_by_;  // each candidate
};

}  // namespace plimsoll
