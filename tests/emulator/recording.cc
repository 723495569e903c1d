#include "tests/emulator/recording.h"

#include <optional>

#include "kvcache/base/check.h"

namespace plimsoll::emulator {
namespace {

std::optional<Recording> recording;

}  // namespace

bool IsRecording() { return recording.has_value(); }

void BeginRecording() {
  PLIMSOLL_CHECK(!IsRecording());
  recording.emplace();
}

Recording EndRecording() {
  PLIMSOLL_CHECK(IsRecording());
  Recording done = *std::move(recording);
  recording.reset();
  return done;
}

void Record(std::function<void()> work) {
  PLIMSOLL_CHECK(IsRecording());
  recording->push_back(std::move(work));
}

}  // namespace plimsoll::emulator
