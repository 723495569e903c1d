#include "tools/report/page.h"

#include "tools/report/assets.h"
#include "tools/report/html_text.h"

namespace plimsoll {
namespace {

// The empty icon keeps browsers from asking for one.
constexpr const char* kHeadStart =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"color-scheme\" content=\"light dark\">\n"
    "<meta name=\"generator\" content=\"plimsoll " PLIMSOLL_VERSION
    "\">\n<link rel=\"icon\" href=\"data:,\">\n";

std::string Head(const Page& page) {
  return kHeadStart + std::string("<title>") + Escaped(page.subject + ": " + page.answer) +
         "</title>\n<style>\n" + std::string(PageStyle()) + "</style>\n</head>\n";
}

std::string Opening(const Page& page) {
  return "<header>\n<p class=\"kind\">" + Escaped(page.kind) + "</p>\n<h1>" +
         Escaped(page.subject) + "</h1>\n<p class=\"answer" + (page.bad_news ? " bad" : "") +
         "\">" + Escaped(page.answer) + "</p>\n<p class=\"details\">" + Escaped(page.details) +
         "</p>\n</header>\n";
}

std::string Scripts(const Page& page) {
  std::string data;
  for (const DrawnChart& chart : page.charts) data += (data.empty() ? "" : ",\n") + chart.data;
  return "<script type=\"application/json\" id=\"charts\">[" + data + "]</script>\n<script>" +
         std::string(ChartLibrary()) + "</script>\n<script>" + std::string(PageScript()) +
         "</script>\n";
}

}  // namespace

std::string PageAsHtml(const Page& page) {
  return Head(page) + "<body>\n<main>\n" + Opening(page) + page.body +
         "</main>\n<footer>Made by plimsoll " PLIMSOLL_VERSION
         ". KiB, MiB, GiB and TiB are powers of 1024; B is bytes.</footer>\n" +
         Scripts(page) + "</body>\n</html>\n";
}

}  // namespace plimsoll
