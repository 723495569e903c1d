// What `plimsoll top` knows of a server at one moment.
//
// Threads: a value. Errors: none.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kvcache/admission/tenants.h"
#include "rpc/capacity_outlook.h"
#include "rpc/capacity_report.h"

namespace plimsoll {

struct TopState {
  std::string server;                                   // as the command line named it
  std::optional<CapacityReport> report = std::nullopt;  // the newest; none before the first
  CapacityOutlook outlook = {};
  // Share of the pool that is live or reserved, the oldest first, one for each interval.
  std::vector<double> usage = {};
  double admitted_per_second = 0;    // over the last minute or what is known of it
  std::vector<Holding> oldest = {};  // reservations, by age
  // How old what is shown is, where the server has not been heard of for too long.
  std::optional<Duration> stale = std::nullopt;
  std::string fault = {};  // why, where that is known
};

}  // namespace plimsoll
