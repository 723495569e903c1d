#include "engine/decoder/step_graphs.h"

#include <algorithm>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/base/errors.h"

namespace plimsoll {

std::vector<int64_t> StepGraphs::BucketsUpTo(int64_t most) {
  std::vector<int64_t> buckets;
  for (int64_t rows = 1; rows < most; rows *= 2) buckets.push_back(rows);
  if (most > 0) buckets.push_back(most);
  return buckets;
}

// 10 KiB an operation is what users of graphs report; a layer has 16 of them at most, one of
// quantised experts more.
Bytes StepGraphs::BytesFor(int64_t layers, int64_t most) {
  constexpr int64_t kOfALayer = 16, kBeside = 7, kOperationBytes = 10 << 10;
  return Bytes(std::ssize(BucketsUpTo(most)) * (layers * kOfALayer + kBeside) * kOperationBytes);
}

// Once without a graph first: a library that takes memory when it first sees a shape may not do so
// while a graph is captured.
absl::Status StepGraphs::Capture(const DeviceBackend& device, int64_t most,
                                 const std::function<absl::Status(int64_t rows)>& prepare,
                                 const std::function<absl::Status(int64_t rows)>& queue) {
  if (most <= 0) return absl::OkStatus();
  const absl::StatusOr<DeviceMemory> before = device.Memory();
  if (!before.ok()) return before.status();
  for (const int64_t rows : BucketsUpTo(most)) {
    PLIMSOLL_RETURN_IF_ERROR(prepare(rows));
    PLIMSOLL_RETURN_IF_ERROR(queue(rows));
    PLIMSOLL_RETURN_IF_ERROR(device.Synchronize());
    absl::StatusOr<DeviceGraph> graph = device.Capture([&] { return queue(rows); });
    if (!graph.ok()) return Annotate(graph.status(), "steps of " + std::to_string(rows));
    buckets_.push_back({rows, *std::move(graph)});
  }
  const absl::StatusOr<DeviceMemory> after = device.Memory();
  if (!after.ok()) return after.status();
  if (after->free < before->free) bytes_ = before->free - after->free;
  return absl::OkStatus();
}

int64_t StepGraphs::BucketOf(int64_t rows) const {
  const auto found = std::find_if(buckets_.begin(), buckets_.end(),
                                  [&](const Bucket& bucket) { return bucket.rows >= rows; });
  return found == buckets_.end() ? 0 : found->rows;
}

absl::Status StepGraphs::Launch(const DeviceBackend& device, int64_t bucket) const {
  const auto found = std::find_if(buckets_.begin(), buckets_.end(),
                                  [&](const Bucket& each) { return each.rows == bucket; });
  PLIMSOLL_CHECK(found != buckets_.end(), bucket);
  return device.Launch(found->graph);
}

}  // namespace plimsoll
