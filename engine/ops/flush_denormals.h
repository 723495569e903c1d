// Denormal floats make vector loops several times slower and change no answer worth having, so the
// threads that compute treat them as zero.
//
// Threads: the mode is the calling thread's; an object restores it in its destructor, so it stays
// on one thread. Cost: two register moves. Errors: none; other processors keep their mode.
#pragma once

#include <cstdint>

namespace plimsoll {

class FlushDenormals {
 public:
  FlushDenormals();
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;
  ~FlushDenormals();

 private:
  uint64_t before_ = 0;
};

// Tells the processor that this thread is looking at memory in a loop.
void PauseProcessor();

}  // namespace plimsoll
