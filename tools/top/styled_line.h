// One line of a terminal: pieces of text with a style each, never wider than it may be.
//
// What comes from outside (names, messages) is shown as printable ASCII, so that it can neither
// move the cursor nor take more columns than characters.
//
// Threads: none. Cost: a string. Errors: none.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace plimsoll {

enum class Style { kPlain, kBold, kDim, kGreen, kYellow, kBlue, kAlarm };

class StyledLine {
 public:
  StyledLine(size_t width, bool colour) : width_(width), colour_(colour) {}

  // Printable ASCII; anything else becomes '?'. What does not fit is cut.
  StyledLine& Add(std::string_view text, Style style = Style::kPlain);
  // A glyph of one column, repeated.
  StyledLine& Glyph(const char* glyph, size_t times, Style style = Style::kPlain);
  // Blanks up to this column.
  StyledLine& Pad(size_t column);
  // The text, moved so that it ends in the last column; nothing where that does not fit.
  StyledLine& Right(std::string_view text, Style style = Style::kPlain);

  size_t left() const { return width_ - columns_; }
  const std::string& text() const { return text_; }

 private:
  void Begin(Style style);
  void End(Style style);

  size_t width_;
  bool colour_;
  size_t columns_ = 0;
  std::string text_;
};

}  // namespace plimsoll
