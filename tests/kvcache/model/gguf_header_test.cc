// GGUF headers: one written by hand, then every way in which one can be wrong.
#include "kvcache/model/gguf_header.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/kvcache/model/gguf_writer.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

absl::StatusOr<GgufHeader> Parsed(const GgufWriter& file) {
  return ParseGgufHeader(file.Head(), file.FileBytes());
}

std::string Refusal(const absl::StatusOr<GgufHeader>& header) {
  return header.ok() ? "accepted" : std::string(header.status().message());
}

// Every byte by hand: one pair, one tensor of 2 rows of 32 numbers in Q4_0, 18 bytes a row.
TEST(GgufHeader, AHeaderWrittenByHandIsRead) {
  const std::string head =
      std::string("GGUF\x03\0\0\0", 8) + std::string("\x01\0\0\0\0\0\0\0", 8) +
      std::string("\x01\0\0\0\0\0\0\0", 8) + std::string("\x01\0\0\0\0\0\0\0k", 9) +
      std::string("\x04\0\0\0\x07\0\0\0", 8) + std::string("\x01\0\0\0\0\0\0\0w", 9) +
      std::string("\x02\0\0\0", 4) + std::string("\x20\0\0\0\0\0\0\0", 8) +
      std::string("\x02\0\0\0\0\0\0\0", 8) + std::string("\x02\0\0\0", 4) +
      std::string("\0\0\0\0\0\0\0\0", 8);
  ASSERT_EQ(head.size(), 82u);
  const absl::StatusOr<GgufHeader> header = ParseGgufHeader(head, 96 + 36);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(std::get<int64_t>(header->metadata.at("k")), 7);
  ASSERT_EQ(header->tensors.size(), 1u);
  EXPECT_EQ(header->tensors[0].name, "w");
  EXPECT_EQ(header->tensors[0].type->name, "Q4_0");
  EXPECT_THAT(header->tensors[0].shape, ElementsAre(2, 32));
  EXPECT_EQ(header->tensors[0].bytes, Bytes(36));
  EXPECT_THAT(Refusal(ParseGgufHeader(head, 96 + 35)),
              HasSubstr("tensor w: data=36: want at most the 35 bytes that follow the header"));
}

TEST(GgufHeader, ValuesOfEveryTypeAreRead) {
  GgufWriter file(2);
  file.Pair("u8", 0, "\xff");
  file.Pair("i8", 1, "\xff");
  file.Pair("u16", 2, LowBytes(65535, 2));
  file.Pair("i16", 3, LowBytes(65535, 2));
  file.Pair("i32", 5, LowBytes(0xfffffffe, 4));
  file.Real("f32", 0.5f);
  file.Pair("bool", 7, "\x01");
  file.Text("text", "two\nlines");
  file.Pair("u64", 10, LowBytes(UINT64_MAX, 8));
  file.Pair("i64", 11, LowBytes(UINT64_MAX, 8));
  file.Pair("f64", 12, LowBytes(std::bit_cast<uint64_t>(-2.0), 8));
  file.Numbers("list", {3, 0, -1});
  file.Texts("words", {"a", "", "c"});
  const absl::StatusOr<GgufHeader> header = Parsed(file);
  ASSERT_TRUE(header.ok()) << header.status();
  const auto whole = [&](const char* key) { return std::get<int64_t>(header->metadata.at(key)); };
  EXPECT_EQ(whole("u8"), 255);
  EXPECT_EQ(whole("i8"), -1);
  EXPECT_EQ(whole("u16"), 65535);
  EXPECT_EQ(whole("i16"), -1);
  EXPECT_EQ(whole("i32"), -2);
  EXPECT_EQ(whole("bool"), 1);
  EXPECT_EQ(whole("i64"), -1);
  EXPECT_EQ(std::get<double>(header->metadata.at("f32")), 0.5);
  EXPECT_EQ(std::get<double>(header->metadata.at("f64")), -2.0);
  EXPECT_GT(std::get<double>(header->metadata.at("u64")), 1e19);  // no count
  EXPECT_EQ(std::get<std::string>(header->metadata.at("text")), "two\nlines");
  EXPECT_THAT(std::get<GgufList>(header->metadata.at("list")).values, ElementsAre(3, 0, -1));
  EXPECT_EQ(std::get<GgufList>(header->metadata.at("words")).length, 3);
}

TEST(GgufHeader, AnAlignmentOfTheFilesOwnIsFollowed) {
  GgufWriter file;
  file.Number("general.alignment", 64);
  file.RawTensor("a", 24, {1}, 0);
  file.RawTensor("b", 24, {1}, 64);
  const int64_t start = CeilDivide(std::ssize(file.Head()), 64) * 64;
  EXPECT_EQ(Refusal(ParseGgufHeader(file.Head(), start + 65)), "accepted");
  file.RawTensor("c", 24, {1}, 96);
  EXPECT_THAT(Refusal(ParseGgufHeader(file.Head(), start + 500)),
              HasSubstr("tensor c: offset=96: want 128"));
}

TEST(GgufHeader, AFileIsReadAsFarAsItsHeaderGoes) {
  GgufWriter file;
  file.Texts("tokens", std::vector<std::string>(200'000, "twelve bytes"));  // 4 MB
  file.Tensor("w", "F32", {4});
  std::string content = file.Head();
  content.resize(static_cast<size_t>(file.FileBytes()));
  const TempDir dir;
  const absl::StatusOr<GgufHeader> header = ReadGgufHeader(dir.Write("a.gguf", content));
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(header->tensors.size(), 1u);
  EXPECT_THAT(Refusal(ReadGgufHeader(dir.File("none"))), HasSubstr("none: No such file"));
}

TEST(GgufHeader, EveryTruncationIsRefused) {
  const GgufWriter file = Written({.blocks = 1});
  const std::string head = file.Head();
  for (size_t length = 0; length < head.size(); ++length) {
    const std::string cut = head.substr(0, length);
    EXPECT_EQ(ParseGgufHeader(cut, std::ssize(cut)).status().code(),
              absl::StatusCode::kInvalidArgument)
        << length;
    EXPECT_EQ(ParseGgufHeader(cut, file.FileBytes()).status().code(), absl::StatusCode::kOutOfRange)
        << length;
  }
}

// A byte changed anywhere is another header or a refusal: never a tensor past the file's end.
TEST(GgufHeader, ChangedBytesNeverMakeATensorThatTheFileDoesNotHold) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  const GgufWriter file = Written({});
  for (int i = 0; i < 20'000; ++i) {
    std::string head = file.Head();
    head[rng() % head.size()] = static_cast<char>(rng());
    const absl::StatusOr<GgufHeader> header = ParseGgufHeader(head, file.FileBytes());
    if (!header.ok()) {
      EXPECT_EQ(Refusal(header).find('\n'), std::string::npos);
      continue;
    }
    Bytes sum;
    for (const GgufTensor& tensor : header->tensors) sum += tensor.bytes;
    EXPECT_LE(sum, Bytes(file.FileBytes()));
  }
}

TEST(GgufHeader, WhatIsNoGgufOrOfAnotherVersionIsRefused) {
  EXPECT_THAT(Refusal(ParseGgufHeader("PK\x03\x04....", 8)), HasSubstr("no GGUF file"));
  EXPECT_EQ(Refusal(Parsed(GgufWriter(1))), "version=1: want 2 or 3, little-endian");
  EXPECT_THAT(Refusal(Parsed(GgufWriter(0x03000000))), HasSubstr("version=50331648"));
}

TEST(GgufHeader, CountsBeyondTheirBoundsAreRefused) {
  const auto head = [](uint64_t tensors, uint64_t pairs) {
    return "GGUF" + LowBytes(3, 4) + LowBytes(tensors, 8) + LowBytes(pairs, 8);
  };
  EXPECT_THAT(Refusal(ParseGgufHeader(head(UINT64_MAX, 0), 1000)),
              HasSubstr("tensors=18446744073709551615"));
  EXPECT_THAT(Refusal(ParseGgufHeader(head(0, 1 << 20), 1000)),
              HasSubstr("pairs of metadata=1048576"));
}

TEST(GgufHeader, MetadataThatIsWrongIsRefusedByKey) {
  GgufWriter twice, type, nested, length;
  twice.Number("k", 1);
  twice.Number("k", 1);
  type.Pair("k", 13, "");
  nested.Pair("k", 9, LowBytes(9, 4) + LowBytes(1, 8));
  length.Pair("k", 8, LowBytes(UINT64_MAX, 8));
  EXPECT_EQ(Refusal(Parsed(twice)), "duplicate key \"k\"");
  EXPECT_EQ(Refusal(Parsed(type)), "k: type of value=13: want 0 to 12");
  EXPECT_EQ(Refusal(Parsed(nested)), "k: a list of lists: want a list of plain values");
  EXPECT_THAT(Refusal(Parsed(length)), HasSubstr("k: length of string=18446744073709551615"));
}

std::string TensorRefusal(uint32_t type, const std::vector<int64_t>& shape, int64_t offset = 0) {
  GgufWriter file;
  file.RawTensor("w", type, shape, offset);
  return Refusal(ParseGgufHeader(file.Head(), int64_t{1} << 40));
}

TEST(GgufHeader, TensorsThatAreWrongAreRefusedByName) {
  EXPECT_THAT(TensorRefusal(4, {1}), HasSubstr("tensor w: type=4"));   // taken back by ggml
  EXPECT_THAT(TensorRefusal(9, {32}), HasSubstr("tensor w: type=9"));  // Q8_1 is never stored
  EXPECT_THAT(TensorRefusal(0, {1, 1, 1, 1, 1}), HasSubstr("tensor w: dimensions=5"));
  EXPECT_THAT(TensorRefusal(0, {4, 0}), HasSubstr("tensor w: extent=0"));
  EXPECT_THAT(TensorRefusal(0, {-1}), HasSubstr("extent=18446744073709551615"));
  EXPECT_THAT(TensorRefusal(2, {32, 48}), HasSubstr("tensor w: row=48: want whole blocks of Q4_0"));
  EXPECT_THAT(TensorRefusal(0, {int64_t{1} << 32, int64_t{1} << 32}), HasSubstr("tensor w: row="));
  EXPECT_THAT(TensorRefusal(0, {int64_t{1} << 60}), HasSubstr("tensor w: row="));
  EXPECT_THAT(TensorRefusal(0, {int64_t{1} << 40}), HasSubstr("tensor w: data="));
  EXPECT_THAT(TensorRefusal(0, {1}, 32), HasSubstr("tensor w: offset=32: want 0"));
  GgufWriter twice;
  twice.Tensor("w", "F32", {8});
  twice.Tensor("w", "F32", {8});
  EXPECT_EQ(Refusal(Parsed(twice)), "tensor w: stands twice in the table");
}

TEST(GgufHeader, AnAlignmentThatIsNoPowerOfTwoIsRefused) {
  GgufWriter file;
  file.Number("general.alignment", 24);
  EXPECT_THAT(Refusal(Parsed(file)), HasSubstr("general.alignment=24: want a power of two"));
}

}  // namespace
}  // namespace plimsoll
