// The trace readers: what each format means, and every way a line can be wrong.
#include <cstdlib>
#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"
#include "tools/replay/trace.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<std::vector<TraceRequest>> Read(const std::string& text,
                                               std::optional<TraceFormat> format = std::nullopt,
                                               std::optional<int64_t> limit = std::nullopt) {
  std::istringstream in(text);
  return ReadTrace(in, "t", format, limit);
}

TraceRequest Request(Duration arrival, int64_t prompt, int64_t output,
                     std::vector<uint64_t> hash_ids = {}) {
  return {arrival, Tokens(prompt), Tokens(output), std::move(hash_ids)};
}

constexpr char kMooncake[] =
    "{\"timestamp\": 3000, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [0, 7]}\n"
    "{\"timestamp\": 3000, \"input_length\": 1, \"output_length\": 0, \"hash_ids\": [0]}\r\n"
    "\n"
    "{\"timestamp\": 4500, \"input_length\": 20, \"output_length\": 2}";

TEST(Trace, MooncakeCountsArrivalsFromTheFirstRequest) {
  const auto trace = Read(kMooncake);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_THAT(*trace,
              ElementsAre(Request(milliseconds(0), 600, 5, {0, 7}),
                          Request(milliseconds(0), 1, 0, {0}), Request(milliseconds(1500), 20, 2)));
}

constexpr char kAzure[] =
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-12-31 23:59:59.9000001,374,44\r\n"
    "2024-01-01 00:00:00,396,109\r\n"
    "2024-01-01 00:00:01.000000+00:00,1,0";

TEST(Trace, AzureKeepsEveryDigitOfTheTimeAndCrossesMidnight) {
  const auto trace = Read(kAzure);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_THAT(*trace,
              ElementsAre(Request(Duration(0), 374, 44), Request(Duration(99999900), 396, 109),
                          Request(Duration(1099999900), 1, 0)));
}

TEST(Trace, LengthsComeAllAtOnceAndMayHaveFurtherColumns) {
  const auto trace = Read("num_prefill_tokens,num_decode_tokens,pd_ratio\n3772,54,69.8\n1,0,2\n");
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_THAT(*trace, ElementsAre(Request(Duration(0), 3772, 54), Request(Duration(0), 1, 0)));
}

TEST(Trace, ALimitStopsReadingThere) {
  const auto trace = Read(std::string(kMooncake) + "\nnot JSON", TraceFormat::kMooncake, 3);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->size(), 3u);
}

TEST(Trace, ReadsAFileAndNamesOneThatIsNotThere) {
  TempDir dir;
  const auto trace = ReadTrace(dir.Write("a.csv", kAzure), std::nullopt);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->size(), 3u);
  const auto missing = ReadTrace(dir.File("b.csv"), std::nullopt);
  EXPECT_TRUE(absl::IsInvalidArgument(missing.status()));
  EXPECT_THAT(std::string(missing.status().message()), HasSubstr("b.csv: No such file"));
  EXPECT_THAT(std::string(ReadTrace(dir.path(), std::nullopt).status().message()),
              HasSubstr("Is a directory"));
}

struct BadTrace {
  std::string name, text, message;
};

void PrintTo(const BadTrace& bad, std::ostream* out) { *out << bad.name; }

class BadTraces : public testing::TestWithParam<BadTrace> {};

TEST_P(BadTraces, AreRefusedNamingLineFieldAndValue) {
  const auto trace = Read(GetParam().text);
  ASSERT_FALSE(trace.ok());
  EXPECT_TRUE(absl::IsInvalidArgument(trace.status())) << trace.status();
  const std::string message(trace.status().message());
  EXPECT_THAT(message, HasSubstr(GetParam().message));
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

std::string Mooncake(const std::string& timestamp, const std::string& input,
                     const std::string& output, const std::string& ids = "[]") {
  return "{\"timestamp\": " + timestamp + ", \"input_length\": " + input +
         ", \"output_length\": " + output + ", \"hash_ids\": " + ids + "}\n";
}

std::string Azure(const std::string& line) {
  return "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00.5,1,1\n" + line;
}

INSTANTIATE_TEST_SUITE_P(
    Mooncake, BadTraces,
    testing::Values(
        BadTrace{"empty", "", "t: no requests"}, BadTrace{"blank", "\n\r\n", "t: no requests"},
        BadTrace{"unknown", "a,b\n1,2\n", "t line 1: first line=a,b"},
        BadTrace{"binary",
                 std::string("\x7f"
                             "ELF\x01\n",
                             6),
                 "first line=?ELF?"},
        BadTrace{"not_json", Mooncake("0", "1", "1") + "{\"timestamp\": 0,", "t line 2: "},
        BadTrace{"list", Mooncake("0", "1", "1") + "[1]", "t line 2: line=[1]"},
        BadTrace{"twice", "{\"timestamp\": 0, \"timestamp\": 1}", "timestamp"},
        BadTrace{"negative", Mooncake("0", "-5", "1"), "t line 1: input_length=-5"},
        BadTrace{"no_prompt", Mooncake("0", "0", "1"), "input_length=0"},
        BadTrace{"fraction", Mooncake("0", "1", "1.5"), "output_length=1.5"},
        BadTrace{"two_to_64", Mooncake("0", "18446744073709551616", "1"), "input_length=1.8446"},
        BadTrace{"two_to_63", Mooncake("0", "9223372036854775808", "1"), "=9223372036854775808"},
        BadTrace{"text", Mooncake("0", "\"7\"", "1"), "input_length=\"7\""},
        BadTrace{"missing", "{\"timestamp\": 0, \"input_length\": 1}", "output_length=nothing"},
        BadTrace{"time_negative", Mooncake("-1", "1", "1"), "timestamp=-1"},
        BadTrace{"time_huge", Mooncake("1000000000001", "1", "1"), "timestamp=1000000000001"},
        BadTrace{"ids_text", Mooncake("0", "1", "1", "[1, \"x\"]"), "hash_ids=\"x\""},
        BadTrace{"ids_number", Mooncake("0", "1", "1", "3"), "hash_ids=3"},
        BadTrace{"backwards", Mooncake("5", "1", "1") + Mooncake("4", "1", "1"),
                 "t line 2: this request came before"}),
    [](const auto& bad) { return bad.param.name; });

INSTANTIATE_TEST_SUITE_P(
    Csv, BadTraces,
    testing::Values(
        BadTrace{"header_only", "TIMESTAMP,ContextTokens,GeneratedTokens\n", "no requests after"},
        BadTrace{"column", "TIMESTAMP,ContextTokens\n", "want a column GeneratedTokens"},
        BadTrace{"short", Azure("2023-11-16 18:00:01,5"), "t line 3: line=2023-11-16 18:00:01,5"},
        BadTrace{"negative", Azure("2023-11-16 18:00:01,-5,1"), "ContextTokens=-5: want"},
        BadTrace{"no_prompt", Azure("2023-11-16 18:00:01,0,1"), "ContextTokens=0"},
        BadTrace{"fraction", Azure("2023-11-16 18:00:01,5,1.0"), "GeneratedTokens=1.0"},
        BadTrace{"nothing", Azure("2023-11-16 18:00:01,5,"), "GeneratedTokens=: want"},
        BadTrace{"two_to_64", Azure("2023-11-16 18:00:01,18446744073709551616,1"),
                 "ContextTokens=18446744073709551616"},
        BadTrace{"most_and_one", Azure("2023-11-16 18:00:01,1099511627777,1"),
                 "ContextTokens=1099511627777: want a whole number from 1 to 1099511627776"},
        BadTrace{"no_time", Azure("yesterday,5,1"), "TIMESTAMP=yesterday"},
        BadTrace{"no_such_day", Azure("2023-02-29 18:00:01,5,1"), "TIMESTAMP=2023-02-29"},
        BadTrace{"no_such_hour", Azure("2023-11-16 24:00:01,5,1"), "TIMESTAMP=2023-11-16 24"},
        BadTrace{"digits", Azure("2023-11-16 18:00:01.0123456789,5,1"), "TIMESTAMP="},
        BadTrace{"zone", Azure("2023-11-16 18:00:01+01:00,5,1"), "TIMESTAMP="},
        BadTrace{"backwards", Azure("2023-11-16 18:00:00.4,5,1"), "line 3: this request came"},
        BadTrace{"lengths_short", "num_prefill_tokens,num_decode_tokens\n5\n", "at least 2"},
        BadTrace{"lengths_bad", "num_prefill_tokens,num_decode_tokens\n5,x\n",
                 "num_decode_tokens=x"},
        BadTrace{"lengths_column", "num_prefill_tokens,tokens\n5,1\n",
                 "want a column num_decode_tokens"}),
    [](const auto& bad) { return bad.param.name; });

TEST(Trace, ALongBadValueIsCutShort) {
  const auto trace =
      Read("num_prefill_tokens,num_decode_tokens\n" + std::string(100000, '9') + ",1");
  EXPECT_LT(trace.status().message().size(), 250u);
}

// Requests and tokens of published traces, from counting their lines and adding up their columns.
TEST(Trace, RealTracesAreReadWhole) {
  const char* const folder = std::getenv("PLIMSOLL_TRACES");
  if (folder == nullptr) GTEST_SKIP() << "set PLIMSOLL_TRACES to a folder with the public traces";
  const struct {
    const char* file;
    size_t requests;
  } traces[] = {{"mooncake_conversation_trace.jsonl", 12031},
                {"mooncake_synthetic_trace.jsonl", 3993},
                {"azure_2023_code.csv", 8819},
                {"azure_2023_conv.csv", 19366},
                {"vidur_arxiv_summarization_lengths.csv", 28257}};
  for (const auto& expected : traces) {
    const auto trace = ReadTrace(std::string(folder) + "/" + expected.file, std::nullopt);
    ASSERT_TRUE(trace.ok()) << trace.status();
    EXPECT_EQ(trace->size(), expected.requests) << expected.file;
  }
}

}  // namespace
}  // namespace plimsoll
