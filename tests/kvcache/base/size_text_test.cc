#include "kvcache/base/size_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

namespace plimsoll {
namespace {

using testing::HasSubstr;

Bytes Parsed(const std::string& text) {
  const absl::StatusOr<Bytes> size = ParseSize(text, "memory");
  EXPECT_TRUE(size.ok()) << text << ": " << size.status().message();
  return size.value_or(Bytes(0));
}

TEST(SizeText, BinaryUnitsArePowersOf1024AndDecimalOnesOf1000) {
  EXPECT_EQ(Parsed("80GiB"), Bytes(85899345920));
  EXPECT_EQ(Parsed("80GB"), Bytes(80000000000));
  EXPECT_EQ(Parsed("85899345920"), Bytes(85899345920));
  EXPECT_EQ(Parsed("1KiB"), Bytes(1024));
  EXPECT_EQ(Parsed("3 MiB"), Bytes(3145728));
  EXPECT_EQ(Parsed("2TiB"), Bytes(2199023255552));
  EXPECT_EQ(Parsed("7KB"), Bytes(7000));
  EXPECT_EQ(Parsed("7mb"), Bytes(7000000));
  EXPECT_EQ(Parsed("1TB"), Bytes(1000000000000));
  EXPECT_EQ(Parsed("12B"), Bytes(12));
  EXPECT_EQ(Parsed("0"), Bytes(0));
}

TEST(SizeText, DecimalsAreExactAndRoundedDown) {
  EXPECT_EQ(Parsed("1.5GiB"), Bytes(1610612736));
  EXPECT_EQ(Parsed("0.1KB"), Bytes(100));
  EXPECT_EQ(Parsed("79.109375GiB"), Bytes(84943044608));
  EXPECT_EQ(Parsed("0.000001KiB"), Bytes(0));
}

TEST(SizeText, RefusesWhatIsNoSizeAndQuotesIt) {
  for (const std::string text :
       {"", "GiB", "-1GiB", "80G", "80XB", "1e9", "1.", "1.2345678GiB", "80GiBs", "80  GiB",
        " 80GiB", "1048577TiB", "9223372036854775807TiB", "18446744073709551616",
        "99999999999999999999999", "0x10", "nan", "80GiB\n"}) {
    const absl::Status status = ParseSize(text, "memory").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("memory="));
    EXPECT_EQ(status.message().find('\n'), std::string::npos) << text;
  }
}

TEST(SizeText, TheLargestSizeIsOneExbibyte) {
  EXPECT_EQ(Parsed("1048576TiB"), kMaxBytes);
  EXPECT_FALSE(ParseSize("1048576.000001TiB", "memory").ok());
  EXPECT_FALSE(ParseSize("1152921504606846977", "memory").ok());
}

TEST(SizeText, PrintsTheLargestUnitThatLeavesAWholePart) {
  EXPECT_EQ(FormatSize(Bytes(0)), "0 B");
  EXPECT_EQ(FormatSize(Bytes(1023)), "1023 B");
  EXPECT_EQ(FormatSize(Bytes(1024)), "1 KiB");
  EXPECT_EQ(FormatSize(Bytes(10485760)), "10 MiB");
  EXPECT_EQ(FormatSize(Bytes(16060522496)), "14.95 GiB");
  EXPECT_EQ(FormatSize(Bytes(1025)), "1.00 KiB");
  EXPECT_EQ(FormatSize(kMaxBytes), "1048576 TiB");
}

TEST(SizeText, WholeUnitsReadBackAsTheyWerePrinted) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937_64 random(static_cast<uint64_t>(seed));
  for (int i = 0; i < 1000; ++i) {
    const Bytes size(static_cast<int64_t>(random() % 1000) << (10 * (random() % 5)));
    EXPECT_EQ(Parsed(FormatSize(size)), size);
  }
}

}  // namespace
}  // namespace plimsoll
