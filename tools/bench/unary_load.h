// Reserving and releasing over one connection, as fast as so many callers at once can: each asks,
// releases what it was granted, and begins again.
//
// Threads: gRPC's do the work; the caller waits. Cost: the time asked for, and eight bytes for
// each call. Errors: Internal with the first answer that is no grant or no release, since figures
// of wrong answers are none.
#pragma once

#include <grpcpp/channel.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"
#include "plimsoll/v1/admission.grpc.pb.h"

namespace plimsoll {

inline constexpr int64_t kBenchPromptTokens = 1000;  // with the new ones, 64 blocks of 16
inline constexpr int64_t kBenchNewTokens = 24;

struct LoadResult {
  int64_t calls = 0;   // a reservation and its release are two
  int64_t grants = 0;  // each released
  double seconds = 0;
  double p50_us = 0, p99_us = 0;  // of one call

  double CallsPerSecond() const { return static_cast<double>(calls) / seconds; }
};

absl::StatusOr<LoadResult> RunUnaryLoad(v1::AdmissionService::Stub& stub, int outstanding,
                                        Duration time);

// Of one run's requests: ids of a series differ from those of every other of this process.
uint64_t NextBenchSeries();

// The request that every measurement sends, with an id no other has.
v1::ReserveCapacityRequest BenchRequest(uint64_t series, uint64_t number);

// A connection of its own to `address`.
std::shared_ptr<grpc::Channel> BenchChannel(const std::string& address, int number = 0);

// The value below which `share` of them lie; reorders them.
double Percentile(std::vector<float>& values, double share);

}  // namespace plimsoll
