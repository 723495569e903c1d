// Linear layers: 16 different rows of weights, repeated, so that a matrix of any size is made and
// judged at once.
#include <algorithm>
#include <random>

#include "absl/strings/str_format.h"
#include "engine/ops/float16.h"
#include "engine/ops/weight_element.h"
#include "engine/weights/fragment_layout.h"
#include "engine/weights/quantise.h"
#include "kvcache/base/check.h"
#include "tools/bench/bench_memory.h"
#include "tools/bench/kernel_cases.h"

namespace plimsoll {
namespace {

constexpr int64_t kDifferentRows = 16;
constexpr int64_t kInt4Columns = 128;  // to a scale

std::vector<float> Normal(int64_t count, float deviation, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(rng);
  return values;
}

std::vector<std::byte> Stored(ElementType type, const std::vector<float>& values) {
  std::vector<std::byte> bytes(static_cast<size_t>(BytesOf(type, std::ssize(values)).value()));
  for (int64_t i = 0; i < std::ssize(values); ++i) {
    WriteElement(bytes.data(), type, i, values[static_cast<size_t>(i)]);
  }
  return bytes;
}

// The rows that repeat, in host memory, row-major.
struct Rows {
  WeightView view;
  std::vector<std::byte> data, scales;
};

Rows RowsOf(ElementType type, int64_t inputs) {
  Rows rows{.view = {.data = nullptr, .type = type, .rows = kDifferentRows, .cols = inputs},
            .data = {},
            .scales = {}};
  const std::vector<float> values = Normal(kDifferentRows * inputs, 0.02f, 1);
  if (IsFloatStorage(type)) {
    rows.data = Stored(type, values);
  } else {
    rows.view.group = type == ElementType::kInt4 ? kInt4Columns : inputs;
    rows.data.resize(static_cast<size_t>(kDifferentRows * RowBytesOf(rows.view)));
    rows.scales.resize(static_cast<size_t>(ScaleBytesOf(rows.view)));
    for (int64_t r = 0; r < kDifferentRows; ++r) {
      QuantiseRow(
          type, rows.view.group,
          std::span(values).subspan(static_cast<size_t>(r * inputs), static_cast<size_t>(inputs)),
          rows.data.data() + r * RowBytesOf(rows.view),
          rows.scales.data() + r * (std::ssize(rows.scales) / kDifferentRows));
    }
    rows.view.scales = rows.scales.data();
  }
  rows.view.data = rows.data.data();
  return rows;
}

absl::StatusOr<WeightView> PutMatrix(BenchMemory& memory, const Rows& rows, int64_t outputs,
                                     bool fragments) {
  std::vector<std::byte> data = rows.data;
  std::vector<std::byte> scales = rows.scales;
  if (fragments && rows.view.scales != nullptr) {
    ToFragments(rows.view, data.data(), scales.data());
  }
  const int64_t copies = outputs / kDifferentRows;
  const absl::StatusOr<std::byte*> there = memory.Repeat(data, copies);
  if (!there.ok()) return there.status();
  WeightView view = rows.view;
  view.data = *there;
  view.rows = outputs;
  if (rows.view.scales == nullptr) return view;
  const absl::StatusOr<std::byte*> scales_there = memory.Repeat(scales, copies);
  if (!scales_there.ok()) return scales_there.status();
  view.scales = *scales_there;
  return view;
}

// x as the device reads it, and as the reference then does.
struct Inputs {
  float* x = nullptr;
  Narrowed narrowed;
  std::vector<float> exact;
};

absl::StatusOr<Inputs> PutInputs(BenchMemory& memory, const DeviceBackend& device,
                                 const LinearCase& test) {
  Inputs inputs;
  inputs.exact = Normal(test.rows * test.inputs, 1, 2);
  if (device.ops().device == Device::kCpu) {
    const absl::StatusOr<float*> x = memory.Put(inputs.exact);
    if (!x.ok()) return x.status();
    inputs.x = *x;
    return inputs;
  }
  const ElementType type = IsFloatStorage(test.type) ? test.type : ElementType::kBf16;
  const std::vector<std::byte> narrow = Stored(type, inputs.exact);
  for (int64_t i = 0; i < std::ssize(inputs.exact); ++i) {
    inputs.exact[static_cast<size_t>(i)] = ReadElement(narrow.data(), type, i);
  }
  const absl::StatusOr<std::byte*> there = memory.Repeat(narrow, 1);
  if (!there.ok()) return there.status();
  inputs.narrowed = {*there, type};
  return inputs;
}

std::vector<float> Reference(const Rows& rows, const Inputs& inputs, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count * kDifferentRows));
  PLIMSOLL_CHECK(ReferenceOps()
                     .linear({.x = inputs.exact.data(),
                              .rows = count,
                              .weight = rows.view,
                              .bias = {},
                              .accumulate = false,
                              .out = out.data()})
                     .ok());
  return out;
}

// The same layer with 16-bit weights by the device's library, where it has one.
absl::Status MeasurePeer(BenchMemory& memory, const DeviceBackend& device, const LinearArgs& args,
                         KernelResult& result) {
  if (device.ops().library_linear == nullptr) return absl::OkStatus();
  const Rows rows = RowsOf(args.narrowed.type, args.weight.cols);
  const absl::StatusOr<WeightView> weight = PutMatrix(memory, rows, args.weight.rows, false);
  if (!weight.ok()) return weight.status();
  LinearArgs peer = args;
  peer.weight = *weight;
  const absl::StatusOr<double> seconds =
      SecondsOf(device, [&] { return device.ops().library_linear(peer); });
  if (!seconds.ok()) return seconds.status();
  result.peer = "library, 16 bits";
  result.peer_seconds = *seconds;
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KernelResult> MeasureLinear(const DeviceBackend& device, const LinearCase& test) {
  BenchMemory memory(device);
  const Rows rows = RowsOf(test.type, test.inputs);
  const absl::StatusOr<WeightView> weight =
      PutMatrix(memory, rows, test.outputs, device.ops().device == Device::kCuda);
  if (!weight.ok()) return weight.status();
  const absl::StatusOr<Inputs> inputs = PutInputs(memory, device, test);
  if (!inputs.ok()) return inputs.status();
  const int64_t count = test.rows * test.outputs;
  const absl::StatusOr<std::byte*> out = memory.Take(count * static_cast<int64_t>(sizeof(float)));
  if (!out.ok()) return out.status();
  const LinearArgs args = {.x = inputs->x,
                           .rows = test.rows,
                           .weight = *weight,
                           .bias = {},
                           .accumulate = false,
                           .out = reinterpret_cast<float*>(*out),
                           .narrowed = inputs->narrowed};
  const int64_t copies = test.outputs / kDifferentRows;
  KernelResult result{
      .kernel = absl::StrFormat("linear %s %d -> %d", std::string(NameOf(test.type)), test.inputs,
                                test.outputs),
      .rows = test.rows,
      .bytes = static_cast<double>((std::ssize(rows.data) + std::ssize(rows.scales)) * copies),
      .tolerance = 1e-5,
      .peer = {}};
  PLIMSOLL_RETURN_IF_ERROR(device.ops().linear(args));
  const absl::StatusOr<std::vector<float>> got = memory.Get(args.out, count);
  if (!got.ok()) return got.status();
  result.distance =
      DistanceFromRepeated(*got, Reference(rows, *inputs, test.rows), test.outputs, kDifferentRows);
  const absl::StatusOr<double> seconds =
      SecondsOf(device, [&] { return device.ops().linear(args); });
  if (!seconds.ok()) return seconds.status();
  result.seconds = *seconds;
  PLIMSOLL_RETURN_IF_ERROR(MeasurePeer(memory, device, args, result));
  return result;
}

}  // namespace plimsoll
