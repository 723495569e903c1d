// Room for what a step appends, under policies that promise less than a request may ever use.
//
// Each share is granted in order of arrival. Where there is no room, a victim is suspended: it
// gives all its blocks back and its share of the step is dropped. It resumes before anybody new
// starts, and computes its tokens again. Who came first is never a victim; where it alone runs and
// others hold the room without running, it waits for them.
//
// Threads: under the admission lock. Cost: O(shares), and O(generations) for each victim; allocates
// nothing once `candidates` has room. Errors: none.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/loop/generation.h"
#include "engine/loop/step_plan.h"
#include "kvcache/admission/admission_controller.h"
#include "kvcache/admission/victim.h"

namespace plimsoll {

class StepRoom {
 public:
  explicit StepRoom(VictimRule rule) : rule_(rule) {}

  using Generations = std::vector<std::shared_ptr<Generation>>;

  // Resumes those that are suspended, as far as there is room, in order of arrival; one whose
  // tenant is at its maximum holds up nobody of another.
  static void Resume(AdmissionController& admission, const Generations& active);
  // Grants what the shares append, which are of `running`, and drops those for which there is no
  // room. All in `active` that are not suspended may be victims. Returns how many were.
  int64_t Grant(AdmissionController& admission, const Generations& active,
                const std::vector<Generation*>& running, std::vector<StepShare>& shares);
  void ReserveRoom(size_t generations) {
    candidates_.reserve(generations);
    held_by_.reserve(generations);
  }

 private:
  // For one that does not grow for that reason. Null where nobody else would make room for it.
  Generation* SuspendOne(AdmissionController& admission, const Generations& active,
                         const Generation& grows, Reason reason);

  const VictimRule rule_;
  std::vector<VictimCandidate> candidates_;
  std::vector<Generation*> held_by_;  // each candidate
};

}  // namespace plimsoll
