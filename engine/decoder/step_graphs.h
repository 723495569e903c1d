// Passes in which every sequence decodes one token, captured once and launched again: a graph for
// each of a few numbers of rows, the buckets. A pass takes the smallest bucket that holds it; what
// is left of its rows is nobody's.
//
// Nothing that a graph was captured with depends on the pass: what differs is read from the step's
// inputs.
//
// Threads: one caller. Cost: a graph takes some 10 KB of the device for each operation; finding one
// is O(buckets). Errors: those of the device.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "engine/device/backend.h"
#include "kvcache/base/units.h"

namespace plimsoll {

class StepGraphs {
 public:
  // 1, 2, 4, ..., and `most` itself.
  static std::vector<int64_t> BucketsUpTo(int64_t most);

  // What the graphs of a model may take of the device, by count of operations.
  static Bytes BytesFor(int64_t layers, int64_t most);

  // Captures what `queue` queues for each bucket, after `prepare` got the inputs ready.
  absl::Status Capture(const DeviceBackend& device, int64_t most,
                       const std::function<absl::Status(int64_t rows)>& prepare,
                       const std::function<absl::Status(int64_t rows)>& queue);

  // By how much the device's free memory fell while they were captured.
  Bytes bytes() const { return bytes_; }

  // The rows of the bucket that holds `rows`; 0 if there is none.
  int64_t BucketOf(int64_t rows) const;
  // Queues the graph of a bucket.
  absl::Status Launch(const DeviceBackend& device, int64_t bucket) const;

 private:
  struct Bucket {
    int64_t rows;
    DeviceGraph graph;
  };
  std::vector<Bucket> buckets_;  // rising
  Bytes bytes_;
};

}  // namespace plimsoll
