#include "tools/report/charts.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_format.h"
#include "kvcache/base/size_text.h"
#include "tools/report/html_text.h"

namespace plimsoll {
namespace {

using Json = nlohmann::ordered_json;

std::string_view NameOf(PartColour colour) {
  switch (colour) {
    case PartColour::kWeights:
      return "weights";
    case PartColour::kDraft:
      return "draft";
    case PartColour::kBuffers:
      return "buffers";
    case PartColour::kActivations:
      return "activations";
    case PartColour::kRuntime:
      return "runtime";
    case PartColour::kMargin:
      return "margin";
    case PartColour::kKv:
      return "kv";
    case PartColour::kUnused:
      return "unused";
    case PartColour::kGradients:
      return "gradients";
    case PartColour::kOptimizer:
      return "optimizer";
  }
  return "unused";
}

// Nothing in it can end the script element that holds it, and bytes that are not UTF-8 are
// replaced.
std::string ScriptText(const Json& json) {
  const std::string text =
      json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace);
  std::string safe;
  for (const char c : text) {
    if (c == '<') {
      safe += "\\u003c";
    } else {
      safe += c;
    }
  }
  return safe;
}

std::string Figure(const std::string& id, const std::string& kind, const std::string& title,
                   const std::string& alternative, const std::string& legend) {
  return absl::StrFormat(
      "<figure class=\"%s\"><figcaption>%s</figcaption>\n%s"
      "<div class=\"canvas\"><canvas id=\"%s\" role=\"img\" aria-label=\"%s\"></canvas></div>"
      "</figure>\n",
      kind, Escaped(title), legend, Escaped(id), Escaped(alternative));
}

// With one bar the legend says how much each part is.
std::string LegendOf(const BarChart& chart) {
  std::string items;
  for (const BarPart& part : chart.parts) {
    std::string size;
    if (part.bytes.size() == 1) size = " <b>" + FormatSize(part.bytes.front()) + "</b>";
    items += absl::StrFormat(
        "<li><span class=\"swatch\" style=\"background:var(--part-%s)\"></span>%s%s</li>",
        std::string(NameOf(part.colour)), Escaped(part.name), size);
  }
  return "<ul class=\"legend\">" + items + "</ul>\n";
}

template <class Chart>
std::string LegendOfLines(const Chart& chart) {
  std::string items;
  for (size_t i = 0; i < chart.lines.size(); ++i) {
    items += absl::StrFormat(
        "<li><span class=\"swatch line\" style=\"background:var(--line-%d)\"></span>%s</li>", i,
        Escaped(chart.lines[i].name));
  }
  return "<ul class=\"legend\">" + items + "</ul>\n";
}

Json PartsJson(const BarChart& chart) {
  Json parts = Json::array();
  for (const BarPart& part : chart.parts) {
    Json values = Json::array();
    for (const Bytes bytes : part.bytes) values.push_back(bytes.value());
    parts.push_back({{"name", part.name}, {"colour", NameOf(part.colour)}, {"values", values}});
  }
  return parts;
}

Json LinesJson(const LineChart& chart) {
  Json lines = Json::array();
  for (const ChartLine& line : chart.lines) {
    Json points = Json::array();
    for (const ChartPoint& point : line.points) {
      if (point.x > 0 && point.y > 0) points.push_back({{"x", point.x}, {"y", point.y}});
    }
    lines.push_back({{"name", line.name}, {"points", std::move(points)}});
  }
  return lines;
}

}  // namespace

DrawnChart DrawChart(const BarChart& chart) {
  Json data = {
      {"kind", "bars"}, {"id", chart.id}, {"bars", chart.bars}, {"parts", PartsJson(chart)}};
  if (chart.limit) {
    data["limit"] = {{"name", chart.limit_name}, {"bytes", chart.limit->value()}};
  }
  return {.html = Figure(chart.id, "bars", chart.title, chart.alternative, LegendOf(chart)),
          .data = ScriptText(data)};
}

DrawnChart DrawChart(const LineChart& chart) {
  const Json data = {{"kind", "lines"},
                     {"id", chart.id},
                     {"x_title", chart.x_title},
                     {"y_title", chart.y_title},
                     {"y_is_bytes", chart.y_is_bytes},
                     {"lines", LinesJson(chart)}};
  return {.html = Figure(chart.id, "lines", chart.title, chart.alternative, LegendOfLines(chart)),
          .data = ScriptText(data)};
}

DrawnChart DrawChart(const FrontierChart& chart) {
  Json lines = Json::array();
  for (const FrontierLine& line : chart.lines) {
    Json points = Json::array();
    for (const FrontierPoint& point : line.points) {
      points.push_back({{"x", point.x}, {"y", point.y}, {"setting", point.setting}});
    }
    lines.push_back({{"name", line.name}, {"points", std::move(points)}});
  }
  const Json data = {{"kind", "frontier"},
                     {"id", chart.id},
                     {"x_title", chart.x_title},
                     {"y_title", chart.y_title},
                     {"lines", std::move(lines)}};
  return {.html = Figure(chart.id, "lines", chart.title, chart.alternative, LegendOfLines(chart)),
          .data = ScriptText(data)};
}

}  // namespace plimsoll
