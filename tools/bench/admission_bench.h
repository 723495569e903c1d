// The service beside what bounds it, in one run: reserving and releasing over gRPC beside a bare
// echo of the same messages, with watchers beside without, many live reservations beside few.
//
// Server and echo are processes of their own, driven by this one in turn, round by round; what is
// judged is the median over the rounds of the ratio within a round, so that what else the machine
// does falls on both. Before a figure counts, the ledger has to have given back every grant.
//
// Threads: one calls. Cost: two processes and the time asked for, some dozen times over.
// Errors: Internal where an answer or what is left of a ledger is wrong.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

struct AdmissionBenchOptions {
  Duration time = std::chrono::milliseconds(250);  // of one load of one round
  int rounds = 20;
  int watchers = 1000;
  int64_t live = 10'000;  // reservations, of the figures in process
  std::string only = {};  // figures whose names have this in them
  // Hears what is measured next.
  std::function<void(const std::string&)> on_progress = [](const std::string&) {};
};

// One line of the table.
struct AdmissionFigure {
  std::string what, unit;
  double ours = 0;
  std::optional<double> peer;  // of the echo, or of the same without what is asked about
  double judged = 0;           // ours over the peer's, or ours where there is none
  std::optional<double> goal;  // of `judged`; none: said for the reader
  bool at_least = true;        // else at most

  bool Met() const { return !goal || (at_least ? judged >= *goal : judged <= *goal); }
};

using AdmissionFigures = std::vector<AdmissionFigure>;

absl::StatusOr<AdmissionFigures> MeasureAdmission(const AdmissionBenchOptions& options);

std::string AdmissionAsText(const AdmissionFigures& figures);
std::string AdmissionAsJson(const AdmissionFigures& figures);

// The middle one, or the mean of the middle two.
double MedianOf(std::vector<double> values);

}  // namespace plimsoll
