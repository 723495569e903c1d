// Any text as a file of tokens: a refusal never says one, and a token that is known is in the file,
// whole or as its digest.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "kvcache/base/check.h"
#include "rpc/tokens.h"
#include "tests/fuzz/judge.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace plimsoll;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<TokenTable> table = TokenTable::Parse(text);
  if (!table.ok()) {
    JudgeRefusal(table.status());
    return 0;
  }
  PLIMSOLL_CHECK(!table->Find("").has_value());
  PLIMSOLL_CHECK(!table->Find(text).has_value(), "the file itself is no token");
  // Whatever stands at the end of a line behind the role is one, unless it is a digest.
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    start = end + 1;
    const size_t role = line.find(':');
    const size_t token = role == std::string::npos ? role : line.find(':', role + 1);
    if (token == std::string::npos || line.find('#') != std::string::npos) continue;
    const std::string word = line.substr(token + 1);
    const bool plain = std::all_of(word.begin(), word.end(), [](char c) { return c > ' '; });
    if (word.rfind("sha256:", 0) == 0 || !plain) continue;
    PLIMSOLL_CHECK(table->Find(word).has_value(), line);
  }
  return 0;
}
