#include "tools/report/html_text.h"

#include <gtest/gtest.h>

#include <string>

#include "tools/report/charts.h"

namespace plimsoll {
namespace {

TEST(HtmlText, MarkupBecomesText) {
  EXPECT_EQ(Escaped("<script>alert(\"1\" & '2')</script>"),
            "&lt;script&gt;alert(&quot;1&quot; &amp; &#39;2&#39;)&lt;/script&gt;");
  EXPECT_EQ(Escaped(""), "");
  EXPECT_EQ(Escaped("Köln \xff"), "Köln \xff");
}

TEST(HtmlText, FormulasAreGroupedAndMultiplied) {
  EXPECT_EQ(FormulaText("8030261248 parameters x 2 bytes"), "8,030,261,248 parameters × 2 bytes");
  EXPECT_EQ(FormulaText("8192 tokens"), "8192 tokens");
  EXPECT_EQ(FormulaText("(34603008 + 128)"), "(34,603,008 + 128)");
  EXPECT_EQ(FormulaText("12345, then 67890."), "12,345, then 67,890.");
}

TEST(HtmlText, WhatOnlyLooksLikeALongNumberIsLeftAlone) {
  for (const char* const text : {"1,234,567,890 bytes", "0.123456", "123456.5", "12345abc",
                                 "layer_123456", "x", "a x", "1234567890123456789012345"}) {
    EXPECT_EQ(FormulaText(text), text);
  }
}

TEST(HtmlText, ARowOfTermsHoldsItsBytesForReadersAndPrograms) {
  EXPECT_EQ(TermRow("a&b", "2 x 3", Bytes(1536), Bytes(6144)),
            "<tr class=\"\" data-term=\"a&amp;b\" data-bytes=\"1536\"><th scope=\"row\">a&amp;b"
            "<small class=\"formula\">2 × 3</small></th><td>1.50 KiB<small>1,536&nbsp;B</small>"
            "</td><td>25.00%</td></tr>\n");
}

TEST(HtmlText, AShareOfNothingIsNone) { EXPECT_EQ(ShareText(Bytes(0), Bytes(0)), "0.00%"); }

TEST(Charts, NoNameEndsTheScriptThatHoldsTheData) {
  const DrawnChart chart = DrawChart(LineChart{.id = "c",
                                               .title = "t",
                                               .alternative = "a",
                                               .x_title = "x",
                                               .y_title = "y",
                                               .lines = {{"</script><script>", {{1, 2}, {2, 0}}}}});
  EXPECT_EQ(chart.data.find('<'), std::string::npos);
  EXPECT_EQ(chart.html.find("<script"), std::string::npos);
  EXPECT_NE(chart.data.find("[{\"x\":1,\"y\":2}]"), std::string::npos) << chart.data;
}

TEST(Charts, BytesThatAreNoTextAreReplaced) {
  const DrawnChart chart = DrawChart(BarChart{.id = "c",
                                              .title = "t",
                                              .alternative = "a",
                                              .bars = {"\xff"},
                                              .parts = {{"p", PartColour::kKv, {Bytes(5)}}},
                                              .limit = Bytes(7),
                                              .limit_name = "l"});
  EXPECT_NE(chart.data.find("\\ufffd"), std::string::npos) << chart.data;
  EXPECT_NE(chart.data.find("{\"name\":\"l\",\"bytes\":7}"), std::string::npos) << chart.data;
}

}  // namespace
}  // namespace plimsoll
