// What `--quota` and `--class` of `plimsoll serve` say, read.
//
//   --quota TENANT=MIN:MAX           in blocks; TENANT * is all others; no MAX: as much as there is
//   --class NAME=POLICY[:SETTING]    never-evict, watermark[:share of the pool] or
//                                    quantile[:overflow goal]
//
// Threads: pure functions. Cost: none. Errors: InvalidArgument naming the argument. Whether the
// numbers make sense together is for AdmissionController::Create to say, which knows the pool.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/admission/admission_policy.h"
#include "kvcache/admission/tenants.h"

namespace plimsoll {

absl::StatusOr<Quotas> ReadQuotas(const std::vector<std::string>& texts);
absl::StatusOr<std::map<std::string, PolicyOptions>> ReadClasses(
    const std::vector<std::string>& texts);

}  // namespace plimsoll
