// One self-contained HTML page: style, script and Chart.js are in it, and a policy in its head
// forbids it to load anything else. It reads without scripts too; only the charts need them.
//
// Threads: pure. Cost: builds a string of about 220 KB. Errors: none. The same content gives the
// same bytes: there is no date in it.
#pragma once

#include <string>
#include <vector>

#include "tools/report/charts.h"

namespace plimsoll {

struct Page {
  std::string kind;     // "Inference plan"; plain text, as are the next three
  std::string subject;  // the model
  std::string answer;   // what the page says, in one sentence
  std::string details;  // what it was asked for, in one line
  bool bad_news = false;
  std::string body;                // HTML
  std::vector<DrawnChart> charts;  // the data of those whose HTML is in the body
};

std::string PageAsHtml(const Page& page);

}  // namespace plimsoll
