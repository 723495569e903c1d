#include "tools/top/styled_line.h"

#include <algorithm>
#include <array>

namespace plimsoll {
namespace {

// Select Graphic Rendition, in the order of Style.
constexpr std::array<std::string_view, 7> kCodes = {
    "", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[34m", "\x1b[1;7;31m"};

}  // namespace

void StyledLine::Begin(Style style) {
  if (colour_) text_ += kCodes[static_cast<size_t>(style)];
}

void StyledLine::End(Style style) {
  if (colour_ && style != Style::kPlain) text_ += "\x1b[0m";
}

StyledLine& StyledLine::Add(std::string_view text, Style style) {
  const size_t shown = std::min(text.size(), left());
  if (shown == 0) return *this;
  Begin(style);
  for (const char c : text.substr(0, shown)) text_ += c >= ' ' && c <= '~' ? c : '?';
  End(style);
  columns_ += shown;
  return *this;
}

StyledLine& StyledLine::Glyph(const char* glyph, size_t times, Style style) {
  const size_t shown = std::min(times, left());
  if (shown == 0) return *this;
  Begin(style);
  for (size_t i = 0; i < shown; ++i) text_ += glyph;
  End(style);
  columns_ += shown;
  return *this;
}

StyledLine& StyledLine::Pad(size_t column) {
  if (column > columns_) Glyph(" ", column - columns_);
  return *this;
}

StyledLine& StyledLine::Right(std::string_view text, Style style) {
  if (text.size() + 1 > left()) return *this;
  return Pad(width_ - text.size()).Add(text, style);
}

}  // namespace plimsoll
