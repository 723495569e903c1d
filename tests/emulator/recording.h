// What a stream is given while a graph is captured: it is not done but kept, with copies of its
// arguments, and done each time that the graph is launched.
//
// Threads: one. Cost: an allocation for each thing kept; where nothing is recorded, none. Errors:
// beginning twice, or ending what did not begin, aborts.
#pragma once

#include <functional>
#include <utility>
#include <vector>

namespace plimsoll::emulator {

using Recording = std::vector<std::function<void()>>;

bool IsRecording();
void BeginRecording();
Recording EndRecording();
void Record(std::function<void()> work);

template <class Work>
void DoOrRecord(Work&& work) {
  if (IsRecording()) {
    Record(std::forward<Work>(work));
  } else {
    work();
  }
}

}  // namespace plimsoll::emulator
