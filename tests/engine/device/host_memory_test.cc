// What a process may have, from folders that look like /proc and /sys.
#include "engine/device/host_memory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace plimsoll {
namespace {

constexpr Bytes kMebibyte(1 << 20);
constexpr char kMeminfo[] =
    "MemTotal:        8388608 kB\nMemFree: 1 kB\nMemAvailable:    4194304 kB\n";

// A root with these files in it, gone at the end.
class HostMemoryTest : public testing::Test {
 protected:
  absl::StatusOr<DeviceMemory> With(const std::map<std::string, std::string>& files) {
    std::filesystem::remove_all(root_);
    for (const auto& [name, text] : files) {
      const std::filesystem::path path = root_ / name;
      std::filesystem::create_directories(path.parent_path());
      std::ofstream(path) << text;
    }
    return HostMemory(root_.string() + "/");
  }
  void ExpectMebibytes(const absl::StatusOr<DeviceMemory>& memory, int64_t total, int64_t free) {
    ASSERT_TRUE(memory.ok()) << memory.status();
    EXPECT_EQ(memory->total, total * kMebibyte);
    EXPECT_EQ(memory->free, free * kMebibyte);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  const std::filesystem::path root_ =
      std::filesystem::path(testing::TempDir()) /
      (std::string("host_memory_") + testing::UnitTest::GetInstance()->current_test_info()->name() +
       std::to_string(getpid()));
};

TEST_F(HostMemoryTest, IsTheMachinesWithoutALimit) {
  ExpectMebibytes(With({{"proc/meminfo", kMeminfo}}), 8192, 4096);
  ExpectMebibytes(With({{"proc/meminfo", kMeminfo},
                        {"proc/self/cgroup", "0::/a\n"},
                        {"sys/fs/cgroup/a/memory.max", "max\n"}}),
                  8192, 4096);
}

TEST_F(HostMemoryTest, IsTheGroupsWhereThatIsLess) {
  ExpectMebibytes(With({{"proc/meminfo", kMeminfo},
                        {"proc/self/cgroup", "0::/a\n"},
                        {"sys/fs/cgroup/a/memory.max", "1073741824\n"},
                        {"sys/fs/cgroup/a/memory.current", "524288000\n"},
                        {"sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 104857600\n"}}),
                  1024, 624);  // 1024 - (500 - 100)
}

TEST_F(HostMemoryTest, TheTightestOfNestedGroupsCounts) {
  ExpectMebibytes(With({{"proc/meminfo", kMeminfo},
                        {"proc/self/cgroup", "0::/a/b/c\n"},
                        {"sys/fs/cgroup/a/memory.max", "536870912\n"},
                        {"sys/fs/cgroup/a/b/c/memory.max", "1073741824\n"},
                        {"sys/fs/cgroup/a/b/c/memory.current", "943718400\n"}}),
                  512, 124);  // the outer limit; what the inner one leaves, 1024 - 900
}

TEST_F(HostMemoryTest, ReadsTheFirstVersionOfControlGroups) {
  ExpectMebibytes(With({{"proc/meminfo", kMeminfo},
                        {"proc/self/cgroup", "9:memory:/docker/x\n1:cpu:/docker/x\n"},
                        {"sys/fs/cgroup/memory/memory.limit_in_bytes", "2147483648\n"},
                        {"sys/fs/cgroup/memory/memory.usage_in_bytes", "1073741824\n"}}),
                  2048, 1024);
}

TEST_F(HostMemoryTest, AGroupOverItsLimitHasNothingFree) {
  ExpectMebibytes(With({{"proc/meminfo", kMeminfo},
                        {"proc/self/cgroup", "0::/\n"},
                        {"sys/fs/cgroup/memory.max", "1048576\n"},
                        {"sys/fs/cgroup/memory.current", "2097152\n"}}),
                  1, 0);
}

TEST_F(HostMemoryTest, NoMeminfoIsReportedByPath) {
  const absl::StatusOr<DeviceMemory> memory = With({});
  EXPECT_EQ(memory.status().code(), absl::StatusCode::kInternal);
  EXPECT_NE(memory.status().message().find("proc/meminfo"), std::string::npos);
}

}  // namespace
}  // namespace plimsoll
