#include "tools/bench/concurrency_report.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

namespace plimsoll {
namespace {

using ::testing::HasSubstr;

ConcurrencyReport Report(Blocks blocks, Blocks planned) {
  return {.model = "small",
          .device = "cuda",
          .kv_type = ElementType::kBf16,
          .blocks = blocks,
          .planned_blocks = planned,
          .block_tokens = Tokens(16),
          .block_bytes = Bytes(4096),
          .weights_bytes = Bytes(1 << 20),
          .max_itl = std::nullopt,
          .bytes_per_second = 1e9,
          .runs = {}};
}

TEST(ConcurrencyReport, SaysThePoolThatThereIs) {
  const ConcurrencyReport report = Report(Blocks(2048), Blocks(2048));
  EXPECT_EQ(BlocksText(report), "2,048 blocks");
  EXPECT_THAT(ConcurrencyAsText(report), HasSubstr("; 2,048 blocks of 16 tokens"));
}

TEST(ConcurrencyReport, SaysWhereItIsNotThePlans) {
  const ConcurrencyReport report = Report(Blocks(1990), Blocks(2048));
  EXPECT_THAT(ConcurrencyAsText(report), HasSubstr("; 1,990 blocks (2,048 planned) of 16 tokens"));
  EXPECT_THAT(ConcurrencyAsHtml(report), HasSubstr("1,990 blocks (2,048 planned) of 16 tokens"));
  const auto json = nlohmann::json::parse(ConcurrencyAsJson(report));
  EXPECT_EQ(json.at("blocks"), 1990);
  EXPECT_EQ(json.at("planned_blocks"), 2048);
}

}  // namespace
}  // namespace plimsoll
