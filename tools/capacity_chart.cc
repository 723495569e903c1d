#include "tools/capacity_chart.h"

#include <bit>
#include <utility>

#include "tools/grouped_number.h"
#include "tools/text_table.h"

namespace plimsoll {
namespace {

// Twice the logarithm of n to the base two, rounded down; 0 for nothing.
int64_t HalfOctaves(int64_t n) {
  if (n <= 0) return 0;
  const auto octave = static_cast<int64_t>(std::bit_width(static_cast<uint64_t>(n))) - 1;
  const int64_t half = octave > 0 && n >= (int64_t{3} << (octave - 1)) ? 1 : 0;
  return 2 * octave + half + 1;
}

std::string Bar(int64_t half_characters) {
  std::string bar;
  for (int64_t whole = half_characters / 2; whole > 0; --whole) bar += "█";
  return half_characters % 2 == 0 ? bar : bar + "▌";
}

TextRow HeadRow(const std::vector<CapacityCurve>& curves) {
  TextRow row = {"context"};
  for (const CapacityCurve& curve : curves) {
    // "--kv fp8" without what marks an option.
    row.push_back(curve.setting.starts_with("--") ? curve.setting.substr(2) : curve.setting);
  }
  return row;
}

}  // namespace

std::string CapacityChart(const std::vector<CapacityCurve>& curves) {
  std::vector<TextRow> rows = {HeadRow(curves)};
  for (size_t i = 0; i < curves.front().points.size(); ++i) {
    TextRow row = {Grouped(curves.front().points[i].context.value())};
    for (const CapacityCurve& curve : curves) row.push_back(Grouped(curve.points[i].sequences));
    rows.push_back(std::move(row));
  }
  const std::string table = TextTable(rows, FirstColumn::kNumbers);
  std::string out =
      "\nSequences at each context. The bar is the plan as given: one mark longer, twice as "
      "many.\n\n";
  size_t begin = 0;
  for (size_t line = 0; line < rows.size(); ++line) {
    const size_t end = table.find('\n', begin);
    out += table.substr(begin, end - begin);
    const std::string bar =
        line == 0 ? "" : Bar(HalfOctaves(curves.front().points[line - 1].sequences));
    if (!bar.empty()) out += "  " + bar;
    out += '\n';
    begin = end + 1;
  }
  return out;
}

}  // namespace plimsoll
