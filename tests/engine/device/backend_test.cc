// Which backend is chosen, and what is said when it cannot be the GPU.
#include "engine/device/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <string>

#include "engine/device/choose_device.h"
#include "engine/device/cuda_loader.h"
#include "engine/device/cuda_module.h"

namespace plimsoll {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string Fake(const char* name) {
  return std::string(PLIMSOLL_FAKE_MODULES) + "/lib" + name + ".so";
}

absl::StatusOr<const DeviceBackend*> LoadForGood(const std::vector<std::string>& paths) {
  absl::StatusOr<std::unique_ptr<DeviceBackend>> backend = LoadCudaBackendFrom(paths);
  if (!backend.ok()) return backend.status();
  static std::vector<std::unique_ptr<DeviceBackend>> loaded;
  loaded.push_back(*std::move(backend));
  return loaded.back().get();
}

std::string WhyNot(const std::vector<std::string>& paths) {
  const absl::Status status = LoadCudaBackendFrom(paths).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("\n")));
  return std::string(status.message());
}

TEST(CudaLoader, LooksBesideTheProgramThenInLibThenWhereTheLoaderDoes) {
  const std::vector<std::string> paths = CudaModulePaths();
  ASSERT_EQ(paths.size(), 3u);
  const std::string build = PLIMSOLL_BINARY_DIR;
  EXPECT_EQ(paths[0], build + "/tests/libplimsoll_cuda.so");
  EXPECT_EQ(paths[1], build + "/lib/libplimsoll_cuda.so");
  EXPECT_EQ(paths[2], "libplimsoll_cuda.so");
}

TEST(CudaLoader, AMissingModuleIsReportedWithWhereItWasLookedFor) {
  EXPECT_EQ(WhyNot({"/nowhere/a.so", "libplimsoll_no_such_module.so"}),
            "no CUDA module: not at /nowhere/a.so, the loader's path");
}

TEST(CudaLoader, AFileThatIsNoLibraryIsReported) {
  EXPECT_THAT(WhyNot({PLIMSOLL_SOURCE_DIR "/CMakeLists.txt", Fake("fake_cuda")}),
              HasSubstr("CUDA module does not load: "));
}

TEST(CudaLoader, ALibraryOfSomethingElseIsReported) {
  EXPECT_THAT(WhyNot({Fake("foreign_module")}), HasSubstr("CUDA module is not ours: "));
}

TEST(CudaLoader, AnotherVersionIsReportedWithBoth) {
  EXPECT_EQ(WhyNot({Fake("fake_cuda_of_version_999")}),
            "CUDA module has interface version 999, this program wants " +
                std::to_string(PLIMSOLL_CUDA_VERSION));
}

TEST(CudaLoader, AMachineWithoutGpuIsReportedByTheModule) {
  EXPECT_EQ(WhyNot({Fake("fake_cuda_without_gpu")}), "no GPU: cudaGetDeviceCount: pretended (35)");
}

TEST(CudaLoader, TakesTheFirstThatIsThere) {
  const auto backend = LoadForGood({"/nowhere/a.so", Fake("fake_cuda"), Fake("foreign_module")});
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_EQ((*backend)->name(), "cuda");
  EXPECT_EQ((*backend)->Memory()->total, Bytes(int64_t{16} << 20));
}

TEST(CudaBackend, OperationsWithoutAKernelSaySo) {
  const auto backend = LoadForGood({Fake("fake_cuda")});
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_EQ((*backend)->CanDecode().code(), absl::StatusCode::kUnimplemented);
  const Ops& ops = (*backend)->ops();
  EXPECT_EQ(ops.device, Device::kCuda);
  EXPECT_EQ(ops.embed({}).message(), "cuda: embed has no kernel yet");
  EXPECT_EQ(ops.rms_norm({}).message(), "cuda: rms_norm has no kernel yet");
  EXPECT_EQ(ops.linear({}).message(), "cuda: linear has no kernel yet");
  EXPECT_EQ(ops.rotate_and_append({}).message(), "cuda: rotate_and_append has no kernel yet");
  EXPECT_EQ(ops.attention({}).message(), "cuda: attention has no kernel yet");
  EXPECT_EQ(ops.gated_activation({}).message(), "cuda: gated_activation has no kernel yet");
}

TEST(CudaBackend, AnErrorOfTheDeviceIsInternalAndNamed) {
  const auto backend = LoadForGood({Fake("fake_cuda")});
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_EQ((*backend)->Synchronize(),
            absl::InternalError("synchronize: cudaDeviceSynchronize: pretended (700)"));
}

TEST(CudaBackend, TellsWhatTheGpuIsAndHowLongItTook) {
  const auto backend = LoadForGood({Fake("fake_cuda")});
  ASSERT_TRUE(backend.ok()) << backend.status();
  EXPECT_EQ((*backend)->traits().model, "pretended");
  EXPECT_EQ((*backend)->traits().multiprocessors, 4);
  EXPECT_EQ((*backend)->traits().pci_bus_id, "0000:65:00.0");
  EXPECT_EQ((*backend)->traits().context, Bytes(9'000'000));
  EXPECT_EQ((*backend)->traits().context_predicted, Bytes((8 << 20) + 4 * 1024 * 1980));
  EXPECT_EQ((*backend)->traits().libraries, Bytes(3'000'000));
  EXPECT_EQ((*backend)->traits().libraries_predicted, Bytes(2'000'000));
  EXPECT_EQ((*backend)->Time([] { return absl::OkStatus(); }).value(), 0.25);
  EXPECT_EQ((*backend)->Time([] { return absl::AbortedError("x"); }).status(),
            absl::AbortedError("x"));
}

TEST(CudaBackend, SaysWhyAGraphWasNotCaptured) {
  const auto backend = LoadForGood({Fake("fake_cuda")});
  ASSERT_TRUE(backend.ok()) << backend.status();
  const auto work = [] { return absl::InternalError("nothing is queued then"); };
  EXPECT_EQ((*backend)->Capture(work).status(),
            absl::UnimplementedError("graph: cudaStreamBeginCapture: pretended (900)"));
}

// A GPU that could decode, for what ChooseDevice makes of one.
class DecodingGpu final : public DeviceBackend {
 public:
  std::string_view name() const override { return "cuda"; }
  const Ops& ops() const override { return ReferenceOps(); }
  absl::Status CanDecode() const override { return absl::OkStatus(); }
  const DeviceTraits& traits() const override { return traits_; }
  absl::StatusOr<DeviceMemory> Memory() const override { return DeviceMemory{}; }
  Bytes ChunkGranule() const override { return Bytes(1); }
  absl::StatusOr<std::unique_ptr<Arena>> CreateArena(Bytes, Bytes) const override {
    return absl::UnimplementedError("none");
  }
  absl::StatusOr<DeviceSlab> Allocate(Bytes) const override { return DeviceSlab(); }
  absl::Status CopyToDevice(std::byte*, const std::byte*, Bytes) const override { return {}; }
  absl::Status CopyToHost(std::byte*, const std::byte*, Bytes) const override { return {}; }
  absl::Status CopyOnDevice(std::byte*, const std::byte*, Bytes) const override { return {}; }
  absl::Status CopyAll(std::span<const DeviceCopy>) const override { return {}; }
  absl::StatusOr<PinnedMemory> Pin(std::byte*, Bytes) const override { return PinnedMemory(); }
  absl::Status QueueToDevice(std::byte*, const std::byte*, Bytes) const override { return {}; }
  absl::Status QueueToHost(std::byte*, const std::byte*, Bytes) const override { return {}; }
  absl::StatusOr<DeviceGraph> Capture(const std::function<absl::Status()>&) const override {
    return DeviceGraph();
  }
  absl::Status Launch(const DeviceGraph&) const override { return {}; }
  absl::StatusOr<double> Time(const std::function<absl::Status()>&) const override { return 0.0; }
  absl::Status Synchronize() const override { return {}; }

 private:
  DeviceTraits traits_;
};

absl::StatusOr<const DeviceBackend*> LoadDecodingGpu() {
  static const DecodingGpu gpu;
  return &gpu;
}
absl::StatusOr<const DeviceBackend*> LoadNothing() {
  return absl::FailedPreconditionError("no GPU: pretended");
}
absl::StatusOr<const DeviceBackend*> LoadWithoutKernels() {
  return LoadForGood({Fake("fake_cuda")});
}
absl::StatusOr<const DeviceBackend*> MustNotLoad() {
  ADD_FAILURE() << "loaded the CUDA module";
  return absl::InternalError("");
}

TEST(ChooseDevice, TakesTheGpuThatCanDecode) {
  for (const char* const wanted : {"auto", "cuda"}) {
    const absl::StatusOr<DeviceChoice> choice = ChooseDevice(wanted, &LoadDecodingGpu);
    ASSERT_TRUE(choice.ok()) << choice.status();
    EXPECT_EQ(choice->backend->name(), "cuda");
    EXPECT_EQ(choice->note, "");
  }
}

TEST(ChooseDevice, AutoFallsBackToTheCpuAndSaysWhy) {
  const absl::StatusOr<DeviceChoice> without = ChooseDevice("auto", &LoadNothing);
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_EQ(without->backend, &CpuBackend());
  EXPECT_EQ(without->note, "no GPU: pretended");

  const absl::StatusOr<DeviceChoice> no_kernels = ChooseDevice("auto", &LoadWithoutKernels);
  ASSERT_TRUE(no_kernels.ok()) << no_kernels.status();
  EXPECT_EQ(no_kernels->backend, &CpuBackend());
  EXPECT_EQ(no_kernels->note, "the CUDA module has no decode kernels yet");
}

TEST(ChooseDevice, CudaFailsWithTheReason) {
  EXPECT_EQ(ChooseDevice("cuda", &LoadNothing).status(),
            absl::FailedPreconditionError("device cuda: no GPU: pretended"));
  EXPECT_EQ(ChooseDevice("cuda", &LoadWithoutKernels).status(),
            absl::UnimplementedError("device cuda: the CUDA module has no decode kernels yet"));
}

TEST(ChooseDevice, CpuLoadsNothing) {
  const absl::StatusOr<DeviceChoice> choice = ChooseDevice("cpu", &MustNotLoad);
  ASSERT_TRUE(choice.ok()) << choice.status();
  EXPECT_EQ(choice->backend, &CpuBackend());
  EXPECT_EQ(choice->note, "");
}

TEST(ChooseDevice, AnyOtherWordIsRefusedByName) {
  const absl::Status status = ChooseDevice("gpu", &MustNotLoad).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(status.message(), "device=gpu: want auto, cuda or cpu");
}

TEST(CpuBackend, HasMemoryAnArenaAndCopies) {
  const DeviceBackend& cpu = CpuBackend();
  EXPECT_TRUE(cpu.CanDecode().ok());
  EXPECT_EQ(&cpu.ops(), &CpuOps());
  const absl::StatusOr<DeviceMemory> memory = cpu.Memory();
  ASSERT_TRUE(memory.ok()) << memory.status();
  EXPECT_GT(memory->total, Bytes(0));
  EXPECT_LE(memory->free, memory->total);
  auto arena = cpu.CreateArena(Bytes(1), cpu.ChunkGranule());
  ASSERT_TRUE(arena.ok()) << arena.status();
  ASSERT_TRUE((*arena)->Commit({.first = 0, .count = 1}).ok());
  const std::array<std::byte, 3> sent = {std::byte{1}, std::byte{2}, std::byte{3}};
  std::array<std::byte, 3> received = {};
  EXPECT_TRUE(cpu.CopyToDevice((*arena)->base(), sent.data(), Bytes(3)).ok());
  EXPECT_TRUE(cpu.CopyToHost(received.data(), (*arena)->base(), Bytes(3)).ok());
  EXPECT_EQ(received, sent);
  EXPECT_TRUE(cpu.Synchronize().ok());
}

}  // namespace
}  // namespace plimsoll
