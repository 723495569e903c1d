#include "tools/token_list.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>

#include "kvcache/base/errors.h"

namespace plimsoll {
namespace {

constexpr std::string_view kWanted = "token numbers, such as 1,2,3";

absl::StatusOr<std::string> ReadText(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (file && !file.bad()) return text.str();
  return absl::InvalidArgumentError("tokens: " + path + ": " +
                                    std::generic_category().message(errno));
}

absl::StatusOr<int32_t> ParseToken(std::string_view word) {
  int32_t token = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), token);
  if (error == std::errc() && end == word.data() + word.size() && token >= 0) return token;
  return BadField("tokens", Excerpt(word), kWanted);
}

// A list in a file may be laid out in lines and columns.
void SpacesToCommas(std::string& text) {
  std::string joined;
  bool gap = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\r' || c == '\t';
    if (!space && gap && !joined.empty() && joined.back() != ',' && c != ',') joined += ',';
    if (!space) joined += c;
    gap = space;
  }
  text = joined;
}

}  // namespace

absl::StatusOr<std::vector<int32_t>> ParseTokenList(const std::string& text) {
  std::string list = text;
  if (text.starts_with('@')) {
    absl::StatusOr<std::string> file = ReadText(text.substr(1));
    if (!file.ok()) return file.status();
    list = *std::move(file);
    SpacesToCommas(list);
  }
  std::vector<int32_t> tokens;
  for (size_t begin = 0; begin <= list.size();) {
    const size_t end = std::min(list.find(',', begin), list.size());
    const absl::StatusOr<int32_t> token =
        ParseToken(std::string_view(list).substr(begin, end - begin));
    if (!token.ok()) return token.status();
    tokens.push_back(*token);
    begin = end + 1;
  }
  return tokens;
}

std::string FormatTokenList(const std::vector<int32_t>& tokens) {
  std::string text;
  for (const int32_t token : tokens) text += (text.empty() ? "" : ",") + std::to_string(token);
  return text;
}

}  // namespace plimsoll
