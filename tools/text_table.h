// Rows of cells as text for people: columns as wide as their widest cell, numbers to the right and
// names in the first column to the left.
//
// Threads: pure. Cost: builds a string. Errors: none; a row may have fewer cells than others.
#pragma once

#include <string>
#include <vector>

namespace plimsoll {

using TextRow = std::vector<std::string>;

enum class FirstColumn { kNames, kNumbers };

// Each line starts with two blanks; no line ends in any.
std::string TextTable(const std::vector<TextRow>& rows, FirstColumn first = FirstColumn::kNames);

}  // namespace plimsoll
