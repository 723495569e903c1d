#include "tools/report/html_text.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/grouped_number.h"

namespace plimsoll {
namespace {

std::string_view EntityOf(char c) {
  switch (c) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return "";
  }
}

bool IsDigitAt(std::string_view text, size_t at) {
  return at < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[at]));
}

bool IsWordAt(std::string_view text, size_t at) {
  return at < text.size() &&
         (absl::ascii_isalpha(static_cast<unsigned char>(text[at])) || text[at] == '_');
}

bool IsPointAt(std::string_view text, size_t at) {
  return at < text.size() && (text[at] == '.' || text[at] == ',');
}

// A whole number of five digits or more that stands alone: no part of a name, a fraction or a
// number that is grouped already.
bool IsLongNumber(std::string_view text, size_t begin, size_t end) {
  if (end - begin < 5 || end - begin > 18) return false;
  if (begin > 0 && (IsWordAt(text, begin - 1) || IsPointAt(text, begin - 1))) return false;
  return !IsWordAt(text, end) && !(IsPointAt(text, end) && IsDigitAt(text, end + 1));
}

}  // namespace

std::string FormulaText(std::string_view formula) {
  std::string text;
  for (size_t i = 0; i < formula.size();) {
    size_t end = i;
    while (IsDigitAt(formula, end)) ++end;
    if (end > i) {
      const std::string digits(formula.substr(i, end - i));
      text += IsLongNumber(formula, i, end) ? Grouped(std::stoll(digits)) : digits;
      i = end;
    } else if (formula.substr(i, 3) == " x ") {
      text += " \u00d7 ";
      i += 3;
    } else {
      text += formula[i++];
    }
  }
  return text;
}

std::string Escaped(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    const std::string_view entity = EntityOf(c);
    if (entity.empty()) {
      safe += c;
    } else {
      safe += entity;
    }
  }
  return safe;
}

std::string ShareText(Bytes part, Bytes whole) {
  return absl::StrFormat("%.2f%%", 100.0 * static_cast<double>(part.value()) /
                                       static_cast<double>(std::max<int64_t>(whole.value(), 1)));
}

std::string TermRow(std::string_view name, std::string_view formula, Bytes bytes, Bytes whole,
                    std::string_view classes) {
  const std::string small =
      formula.empty() ? ""
                      : "<small class=\"formula\">" + Escaped(FormulaText(formula)) + "</small>";
  return absl::StrFormat(
      "<tr class=\"%s\" data-term=\"%s\" data-bytes=\"%d\"><th scope=\"row\">%s%s</th>"
      "<td>%s<small>%s&nbsp;B</small></td><td>%s</td></tr>\n",
      std::string(classes), Escaped(name), bytes.value(), Escaped(name), small, FormatSize(bytes),
      Grouped(bytes.value()), ShareText(bytes, whole));
}

std::string TermTable(std::string_view caption, const std::string& rows,
                      const std::string& footer) {
  return "<div class=\"scroll\"><table class=\"terms\"><caption>" + Escaped(caption) +
         "</caption>\n<thead><tr><th scope=\"col\">Term and formula</th>"
         "<th scope=\"col\">Size</th><th scope=\"col\">Share</th></tr></thead>\n<tbody>\n" +
         rows + "</tbody>\n<tfoot>\n" + footer + "</tfoot></table></div>\n";
}

std::string Section(std::string_view heading, const std::string& body) {
  return "<section>\n<h2>" + Escaped(heading) + "</h2>\n" + body + "</section>\n";
}

}  // namespace plimsoll
