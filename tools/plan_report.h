// An inference plan for people: the answer in one sentence, a table of terms, then the capacity.
// At most 100 columns wide, but for names and words that are wider. plan_json.h is its twin for
// programs.
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kvcache/model/stored_checkpoint.h"
#include "kvcache/sizing/capacity_curve.h"
#include "kvcache/sizing/inference_plan.h"
#include "kvcache/sizing/nearest_fit.h"
#include "kvcache/sizing/stored_counts.h"
#include "kvcache/sizing/textbook_plan.h"

namespace plimsoll {

// Everything that a report says.
struct PlanReport {
  InferencePlan plan;
  StoredCounts counts;
  // The load that was asked for, if any, and how many sequences of its context the plan holds.
  std::optional<WantedLoad> wanted = std::nullopt;
  int64_t held = 0;
  std::vector<FitSetting> fits = {};  // where it does not hold: what would
  std::vector<CapacityCurve> curves = {};
  std::optional<TextbookErrors> textbook = std::nullopt;
  std::optional<StoredCheckpoint> checkpoint = std::nullopt;  // where its headers were read

  bool holds() const { return plan.fits() && (!wanted || held >= wanted->sequences); }
};

// "57 sequences of 8,192 tokens"
std::string LoadText(const WantedLoad& load);
// "Fits: 29,386 blocks = 470,176 tokens; 57 sequences of 8,192.", or by how much it does not.
std::string AnswerSentence(const PlanReport& report);

std::string PlanAsText(const PlanReport& report);

}  // namespace plimsoll
