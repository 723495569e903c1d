#include "tools/text_table.h"

#include <algorithm>

namespace plimsoll {
namespace {

// Characters, not bytes: of UTF-8 only those that begin one.
size_t WidthOf(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

std::vector<size_t> WidthsOf(const std::vector<TextRow>& rows) {
  std::vector<size_t> widths;
  for (const TextRow& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], WidthOf(row[i]));
  }
  return widths;
}

std::string LineOf(const TextRow& row, const std::vector<size_t>& widths, FirstColumn first) {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    const std::string blanks(widths[i] - WidthOf(row[i]), ' ');
    const bool left = i == 0 && first == FirstColumn::kNames;
    line += "  " + (left ? row[i] + blanks : blanks + row[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

std::string TextTable(const std::vector<TextRow>& rows, FirstColumn first) {
  const std::vector<size_t> widths = WidthsOf(rows);
  std::string text;
  for (const TextRow& row : rows) text += LineOf(row, widths, first);
  return text;
}

}  // namespace plimsoll
