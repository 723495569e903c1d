#include "engine/ops/flush_denormals.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace plimsoll {

#if defined(__x86_64__)

FlushDenormals::FlushDenormals() : before_(_mm_getcsr()) {
  _mm_setcsr(static_cast<unsigned>(before_) | _MM_FLUSH_ZERO_ON | 0x40u);  // 0x40: inputs as well
}
FlushDenormals::~FlushDenormals() { _mm_setcsr(static_cast<unsigned>(before_)); }
void PauseProcessor() { _mm_pause(); }

#elif defined(__aarch64__)

FlushDenormals::FlushDenormals() {
  asm volatile("mrs %0, fpcr" : "=r"(before_));
  asm volatile("msr fpcr, %0" ::"r"(before_ | (uint64_t{1} << 24)));
}
FlushDenormals::~FlushDenormals() { asm volatile("msr fpcr, %0" ::"r"(before_)); }
void PauseProcessor() { asm volatile("yield"); }

#else

FlushDenormals::FlushDenormals() = default;
FlushDenormals::~FlushDenormals() = default;
void PauseProcessor() {}

#endif

}  // namespace plimsoll
