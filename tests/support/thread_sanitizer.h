// Whether this program runs under the thread sanitizer, which touches twice the memory that a
// program asks for, whether the program touches it or not.
#pragma once

namespace plimsoll {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
inline constexpr bool kUnderThreadSanitizer = true;
#else
inline constexpr bool kUnderThreadSanitizer = false;
#endif
#elif defined(__SANITIZE_THREAD__)
inline constexpr bool kUnderThreadSanitizer = true;
#else
inline constexpr bool kUnderThreadSanitizer = false;
#endif

}  // namespace plimsoll
