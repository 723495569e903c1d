// What `plimsoll top` shows: a screenful, a line, or a JSON object.
//
// Threads: pure functions. Cost: some strings. Errors: none; a screen too small shows the first
// lines, and each line as far as it fits.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tools/top/top_state.h"

namespace plimsoll {

struct TopLook {
  size_t width = 80;   // columns, at least 1
  size_t height = 24;  // lines, at least 1
  bool colour = false;
  bool unicode = false;  // whether eighths of a block may be drawn
};

// At most `height` lines of at most `width` columns. The first says the sentence.
std::vector<std::string> TopScreen(const TopState& state, const TopLook& look);

// The state in one line, without a line feed.
std::string TopLine(const TopState& state);

// The keys of `capacity --format json`, and sentence, room_requests, shape_blocks, full_in_seconds
// (null where they are unknown), the counts since the start, stale_seconds (null: it is not) and
// fault; without a line feed.
std::string TopJson(const TopState& state);

}  // namespace plimsoll
