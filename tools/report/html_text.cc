#include "tools/report/html_text.h"

#include <algorithm>

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

}  // namespace

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
      formula.empty() ? "" : "<small class=\"formula\">" + Escaped(formula) + "</small>";
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
