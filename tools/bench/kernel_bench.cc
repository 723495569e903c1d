#include "tools/bench/kernel_bench.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "tools/bench/bench_memory.h"
#include "tools/bench/kernel_cases.h"
#include "tools/bench/read_bandwidth.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

constexpr double kTimedWell = 5e-3;  // seconds of one run
constexpr int kRuns = 5;
constexpr int64_t kLayersOfABlock = 8;
constexpr int64_t kCopied = int64_t{256} << 20;  // bytes, beyond any cache

// Of a GPU: bytes read and written together.
absl::StatusOr<double> CopyBandwidth(const DeviceBackend& device) {
  BenchMemory memory(device);
  const absl::StatusOr<std::byte*> from = memory.Take(kCopied);
  if (!from.ok()) return from.status();
  const absl::StatusOr<std::byte*> to = memory.Take(kCopied);
  if (!to.ok()) return to.status();
  const absl::StatusOr<double> seconds =
      SecondsOf(device, [&] { return device.CopyOnDevice(*to, *from, Bytes(kCopied)); });
  if (!seconds.ok()) return seconds.status();
  return 2 * static_cast<double>(kCopied) / *seconds;
}

std::vector<LinearCase> LinearCases(Device device, bool small) {
  const int64_t outputs = small ? 256 : 28672;
  const int64_t inputs = small ? 1024 : 8192;
  const std::vector<int64_t> rows = small                     ? std::vector<int64_t>{1, 9}
                                    : device == Device::kCuda ? std::vector<int64_t>{1, 4, 16, 64}
                                                              : std::vector<int64_t>{1, 8};
  std::vector<LinearCase> cases;
  for (const ElementType type : {ElementType::kBf16, ElementType::kInt8, ElementType::kInt4}) {
    for (const int64_t count : rows) cases.push_back({type, outputs, inputs, count});
  }
  return cases;
}

std::vector<AttentionCase> AttentionCases(Device device, bool small) {
  std::vector<AttentionCase> cases;
  for (const ElementType type :
       {ElementType::kBf16, ElementType::kFp8, ElementType::kInt8, ElementType::kInt4}) {
    if (small) {
      cases.push_back({type, 8, 2, 64, 3, 300});
    } else if (device == Device::kCuda) {
      cases.push_back({type, 32, 8, 128, 64, 8192});
      cases.push_back({type, 32, 8, 128, 16, 4096});
      cases.push_back({type, 32, 32, 128, 64, 1024});
    } else {
      cases.push_back({type, 32, 8, 128, 8, 4096});
    }
  }
  // What it costs that a block holds several layers, of which a call reads one.
  AttentionCase block_major = small ? AttentionCase{ElementType::kBf16, 8, 2, 64, 3, 300}
                              : device == Device::kCuda
                                  ? AttentionCase{ElementType::kBf16, 32, 8, 128, 16, 4096}
                                  : AttentionCase{ElementType::kBf16, 32, 8, 128, 8, 4096};
  block_major.layers = kLayersOfABlock;
  cases.push_back(block_major);
  return cases;
}

// A chunk of a prompt at the end of a long context, and prompts that are chunks.
std::vector<AttentionCase> ChunkCases(bool small) {
  std::vector<AttentionCase> cases;
  for (const ElementType type : {ElementType::kBf16, ElementType::kInt8}) {
    if (small) {
      cases.push_back({type, 4, 1, 64, 1, 40, 1, 19});
    } else {
      cases.push_back({type, 32, 8, 128, 1, 16384, 1, 2048});
      cases.push_back({type, 32, 8, 128, 4, 2048, 1, 2048});
    }
  }
  return cases;
}

// What the library reaches with matrices too large for memory to matter.
absl::StatusOr<double> MeasureFlops(const DeviceBackend& device, bool small) {
  if (device.ops().library_linear == nullptr) return 0.0;
  const LinearCase test = small ? LinearCase{ElementType::kBf16, 64, 64, 64}
                                : LinearCase{ElementType::kBf16, 8192, 8192, 4096};
  const absl::StatusOr<KernelResult> result = MeasureLinear(device, test);
  if (!result.ok()) return result.status();
  return 2.0 * static_cast<double>(test.outputs * test.inputs * test.rows) / result->peer_seconds;
}

double Milli(double seconds) { return 1e3 * seconds; }

}  // namespace

absl::StatusOr<double> MeasureBandwidth(const DeviceBackend& device) {
  if (device.ops().device == Device::kCpu) return MeasureReadBandwidth(device);
  return CopyBandwidth(device);
}

absl::StatusOr<double> SecondsOf(const DeviceBackend& device,
                                 const std::function<absl::Status()>& work) {
  const absl::StatusOr<double> once = device.Time(work);
  if (!once.ok()) return once.status();
  const int calls = static_cast<int>(std::clamp(kTimedWell / std::max(*once, 1e-7), 1.0, 500.0));
  std::array<double, kRuns> seconds = {};
  for (double& run : seconds) {
    const absl::StatusOr<double> taken = device.Time([&] {
      for (int i = 0; i < calls; ++i) PLIMSOLL_RETURN_IF_ERROR(work());
      return absl::OkStatus();
    });
    if (!taken.ok()) return taken.status();
    run = *taken / calls;
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[kRuns / 2];
}

double DistanceFromRepeated(const std::vector<float>& got, const std::vector<float>& want,
                            int64_t got_cols, int64_t want_cols) {
  double distance = 0;
  double length = 0;
  for (int64_t i = 0; i < std::ssize(got); ++i) {
    const int64_t at = i / got_cols * want_cols + i % got_cols % want_cols;
    const double expected = want[static_cast<size_t>(at)];
    const double off = got[static_cast<size_t>(i)] - expected;
    distance += off * off;
    length += expected * expected;
  }
  const double relative = std::sqrt(distance / length);
  return std::isfinite(relative) ? relative : INFINITY;
}

absl::StatusOr<KernelBench> MeasureKernels(const DeviceBackend& device,
                                           const KernelBenchOptions& options) {
  KernelBench bench{.device = std::string(device.name()), .bandwidth = 0, .results = {}};
  if (!device.traits().model.empty()) bench.device += ", " + device.traits().model;
  const absl::StatusOr<double> bandwidth = MeasureBandwidth(device);
  if (!bandwidth.ok()) return bandwidth.status();
  bench.bandwidth = *bandwidth;
  const absl::StatusOr<double> flops = MeasureFlops(device, options.small);
  if (!flops.ok()) return flops.status();
  bench.flops = *flops;
  const auto keep = [&](absl::StatusOr<KernelResult> result) {
    if (!result.ok()) return result.status();
    bench.results.push_back(*std::move(result));
    return absl::OkStatus();
  };
  for (const LinearCase& test : LinearCases(device.ops().device, options.small)) {
    PLIMSOLL_RETURN_IF_ERROR(keep(MeasureLinear(device, test)));
  }
  std::vector<AttentionCase> attention = AttentionCases(device.ops().device, options.small);
  if (device.ops().device == Device::kCuda) {
    for (const AttentionCase& test : ChunkCases(options.small)) attention.push_back(test);
  }
  for (const AttentionCase& test : attention) {
    PLIMSOLL_RETURN_IF_ERROR(keep(MeasureAttention(device, test)));
  }
  return bench;
}

double ShareOfBound(const KernelBench& bench, const KernelResult& result) {
  const double moving = result.bytes / bench.bandwidth;
  const double computing = bench.flops > 0 ? result.flops / bench.flops : 0;
  return std::max(moving, computing) / result.seconds;
}

std::string KernelsAsText(const KernelBench& bench) {
  std::vector<TextRow> rows = {
      {"kernel", "rows", "ms", "GB/s", "of bound", "peer", "ms", "times", "answer"}};
  for (const KernelResult& result : bench.results) {
    TextRow row = {result.kernel, absl::StrFormat("%d", result.rows),
                   absl::StrFormat("%.4f", Milli(result.seconds)),
                   absl::StrFormat("%.1f", result.bytes / result.seconds / 1e9),
                   absl::StrFormat("%.0f%%", 100 * ShareOfBound(bench, result))};
    if (result.peer.empty()) {
      row.insert(row.end(), {"-", "-", "-"});
    } else {
      row.insert(row.end(), {result.peer, absl::StrFormat("%.4f", Milli(result.peer_seconds)),
                             absl::StrFormat("%.2f", result.peer_seconds / result.seconds)});
    }
    row.push_back(result.IsRight() ? "right" : absl::StrFormat("off by %.1e", result.distance));
    rows.push_back(std::move(row));
  }
  const std::string flops =
      bench.flops == 0 ? "" : absl::StrFormat(" and %.1f TFLOP/s", bench.flops / 1e12);
  return absl::StrFormat("%s: %.1f GB/s%s, the bound\n\n%s", bench.device, bench.bandwidth / 1e9,
                         flops, TextTable(rows));
}

std::string KernelsAsJson(const KernelBench& bench) {
  nlohmann::json results = nlohmann::json::array();
  for (const KernelResult& result : bench.results) {
    nlohmann::json one = {
        {"kernel", result.kernel},     {"rows", result.rows},
        {"seconds", result.seconds},   {"bytes", result.bytes},
        {"flops", result.flops},       {"share_of_bound", ShareOfBound(bench, result)},
        {"distance", result.distance}, {"right", result.IsRight()}};
    if (!result.peer.empty()) {
      one["peer"] = result.peer;
      one["peer_seconds"] = result.peer_seconds;
    }
    results.push_back(std::move(one));
  }
  const nlohmann::json all = {{"device", bench.device},
                              {"bytes_per_second", bench.bandwidth},
                              {"flops_per_second", bench.flops},
                              {"results", std::move(results)}};
  return all.dump(2) + "\n";
}

}  // namespace plimsoll
