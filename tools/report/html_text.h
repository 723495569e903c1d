// Text, sizes and rows as HTML.
//
// Everything that comes from outside (names of folders, formulas, settings) passes through
// Escaped; the other functions take text that is HTML already where they say so.
//
// Threads: pure. Cost: builds a string. Errors: none.
#pragma once

#include <string>
#include <string_view>

#include "kvcache/base/units.h"

namespace plimsoll {

// Safe inside an element and inside an attribute in double quotes.
std::string Escaped(std::string_view text);

// A formula as people read it: "8030261248 parameters x 2 bytes" as "8,030,261,248 parameters × 2
// bytes". Not escaped.
std::string FormulaText(std::string_view formula);

// "20.32%"; of nothing, "0.00%".
std::string ShareText(Bytes part, Bytes whole);

// A row of a table of terms: the name with its formula beneath, the size with its bytes beneath,
// the share. `classes` is put into the row's class attribute.
std::string TermRow(std::string_view name, std::string_view formula, Bytes bytes, Bytes whole,
                    std::string_view classes = "");

// A table of such rows, in a frame that scrolls by itself where it is too wide. `rows` and `footer`
// are HTML.
std::string TermTable(std::string_view caption, const std::string& rows, const std::string& footer);

// A section with a heading; `body` is HTML.
std::string Section(std::string_view heading, const std::string& body);

}  // namespace plimsoll
