// The charts of a page: each is a figure in HTML with a legend that holds its figures, and an entry
// in the page's data, from which page.js draws it.
//
// A chart never carries the only copy of a number: what it shows stands in a table of the page, and
// the text alternative says what it shows.
//
// Threads: pure. Cost: builds strings. Errors: none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kvcache/base/units.h"

namespace plimsoll {

// Names the colour that a part has in every chart of both pages (--part-... in page.css).
enum class PartColour : uint8_t {
  kWeights,
  kDraft,
  kBuffers,
  kActivations,
  kRuntime,
  kMargin,
  kKv,
  kUnused,
  kGradients,
  kOptimizer,
};

struct BarPart {
  std::string name;
  PartColour colour;
  std::vector<Bytes> bytes;  // one for each bar
};

// Stacked bars of bytes, side by side from the top, over one axis.
struct BarChart {
  std::string id, title;
  std::string alternative;        // what a reader who cannot see the chart is told
  std::vector<std::string> bars;  // their names; one bar may do without: {""}
  std::vector<BarPart> parts;
  std::optional<Bytes> limit = std::nullopt;  // a line across the bars
  std::string limit_name = {};
};

struct ChartPoint {
  int64_t x, y;  // only those above zero are drawn: both axes are logarithmic
};

struct ChartLine {
  std::string name;
  std::vector<ChartPoint> points;
};

struct LineChart {
  std::string id, title, alternative;
  std::string x_title, y_title;
  bool y_is_bytes = false;
  std::vector<ChartLine> lines;
};

struct FrontierPoint {
  double x, y;
  std::string setting;
};

struct FrontierLine {
  std::string name;
  std::vector<FrontierPoint> points;
};

// What each of some choices gets for what it costs; both axes are linear, that of the cost begins
// at zero.
struct FrontierChart {
  std::string id, title, alternative;
  std::string x_title, y_title;
  std::vector<FrontierLine> lines = {};
};

// A figure and the object that describes it to page.js (JSON, safe inside a script element).
struct DrawnChart {
  std::string html;
  std::string data;
};

DrawnChart DrawChart(const BarChart& chart);
DrawnChart DrawChart(const LineChart& chart);
DrawnChart DrawChart(const FrontierChart& chart);

}  // namespace plimsoll
