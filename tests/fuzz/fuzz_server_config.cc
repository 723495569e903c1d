// Any text as a server's file of settings, as JSON or in protobuf's text format. What is accepted,
// written out as JSON and read again, is the same.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "kvcache/base/check.h"
#include "rpc/config_file.h"
#include "rpc/descriptor.h"
#include "tests/fuzz/judge.h"

namespace plimsoll {
namespace {

// A file that is nowhere but in memory.
class MemoryFile {
 public:
  MemoryFile(const uint8_t* data, size_t size) : fd_(memfd_create("settings", MFD_CLOEXEC)) {
    PLIMSOLL_CHECK(fd_.open());
    PLIMSOLL_CHECK(write(fd_.get(), data, size) == static_cast<ssize_t>(size));
  }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_.get()); }

 private:
  const Descriptor fd_;
};

}  // namespace
}  // namespace plimsoll

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  const MemoryFile file(data, size);
  const absl::StatusOr<std::vector<Setting>> settings = ReadConfigFile(file.path());
  if (!settings.ok()) {
    JudgeRefusal(settings.status());
    return 0;
  }
  const absl::StatusOr<std::string> json = ConfigJson(*settings);
  PLIMSOLL_CHECK(json.ok(), json.status());
  const MemoryFile again(reinterpret_cast<const uint8_t*>(json->data()), json->size());
  const absl::StatusOr<std::vector<Setting>> same = ReadConfigFile(again.path());
  PLIMSOLL_CHECK(same.ok(), same.status(), *json);
  PLIMSOLL_CHECK(*same == *settings, *json);
  return 0;
}
