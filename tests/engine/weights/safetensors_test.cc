#include "engine/weights/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "engine/weights/safetensors_writer.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string LittleEndian(uint64_t value) {
  std::string raw;
  for (int i = 0; i < 8; ++i) raw += static_cast<char>(value >> (8 * i) & 0xff);
  return raw;
}

std::string FileOf(const std::string& header, const std::string& data) {
  return LittleEndian(header.size()) + header + data;
}

absl::Status OpenStatus(const std::string& content) {
  const TempDir dir;
  return SafetensorsFile::Open(dir.Write("bad.safetensors", content)).status();
}

// Worked by hand: two bf16 numbers, then one fp32 number.
TEST(Safetensors, AFileWrittenByHandIsRead) {
  const TempDir dir;
  const std::string path = dir.Write(
      "a.safetensors", FileOf(R"({"__metadata__":{"format":"pt"},)"
                              R"("b":{"dtype":"F32","shape":[],"data_offsets":[4,8]},)"
                              R"("a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}})",
                              std::string("\x80\x3f\x00\x40\x00\x00\x80\xbf", 8)));
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  ASSERT_EQ(file->tensors().size(), 2u);
  const StoredTensor& a = file->tensors().at("a");
  EXPECT_EQ(a.dtype, "BF16");
  EXPECT_THAT(a.shape, ElementsAre(1, 2));
  EXPECT_EQ(a.bytes, Bytes(4));
  float b = 0;
  ASSERT_TRUE(file->Read(file->tensors().at("b"), std::as_writable_bytes(std::span(&b, 1))).ok());
  EXPECT_EQ(b, -1.0f);
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  const TempDir dir;
  const std::string path = dir.File("model.safetensors");
  const std::vector<TensorToWrite> tensors = {{"z", ElementType::kFp16, {3}},
                                              {"a", ElementType::kFp32, {2, 2}},
                                              {"none", ElementType::kBf16, {0, 7}}};
  std::vector<std::byte> data(6 + 16);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i + 1);
  auto writer = SafetensorsWriter::Create(path, tensors);
  ASSERT_TRUE(writer.ok()) << writer.status();
  EXPECT_EQ((*writer)->data_bytes(), Bytes(22));
  ASSERT_TRUE((*writer)->Append(std::span(data).first(10)).ok());
  ASSERT_TRUE((*writer)->Append(std::span(data).subspan(10)).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  std::vector<std::byte> a(16);
  ASSERT_TRUE(file->Read(file->tensors().at("a"), a).ok());
  EXPECT_TRUE(std::equal(a.begin(), a.end(), data.begin() + 6));
  EXPECT_EQ(file->tensors().at("none").bytes, Bytes(0));
  EXPECT_EQ(file->tensors().at("z").offset % 64, 0);
}

TEST(Safetensors, AFileThatIsNotFinishedGoesAway) {
  const TempDir dir;
  const std::string path = dir.File("half.safetensors");
  { auto writer = SafetensorsWriter::Create(path, {{"a", ElementType::kFp32, {2}}}); }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Safetensors, WritingDoesNotReplaceAFile) {
  const TempDir dir;
  const std::string path = dir.Write("there", "before");
  EXPECT_FALSE(SafetensorsWriter::Create(path, {}).ok());
  EXPECT_EQ(ReadFile(path), "before");
}

TEST(Safetensors, AMissingFileIsNamed) {
  const absl::Status status = SafetensorsFile::Open("/nowhere/x.safetensors").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nowhere/x.safetensors"));
}

TEST(Safetensors, AFolderIsNoFile) {
  const TempDir dir;
  EXPECT_FALSE(SafetensorsFile::Open(dir.path()).ok());
}

TEST(Safetensors, AFileThatShrankIsAnErrorAndNotASignal) {
  const TempDir dir;
  const std::string path =
      dir.Write("a", FileOf(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", "1234"));
  const auto file = SafetensorsFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status();
  std::filesystem::resize_file(path, 20);
  std::vector<std::byte> out(4);
  const absl::Status status = file->Read(file->tensors().at("a"), out);
  EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
  EXPECT_THAT(std::string(status.message()), HasSubstr("shorter"));
}

struct Hostile {
  const char* what;
  std::string content;
  std::vector<std::string> says;  // each is in the message
};

std::string One(const std::string& tensor, const std::string& data = "12345678") {
  return FileOf("{\"t\":" + tensor + "}", data);
}

// Files whose header cannot be read at all, or says something of the file that is not so.
std::vector<Hostile> HostileHeaders() {
  return {
      {"empty file", "", {"file size=0"}},
      {"short file", "1234567", {"file size=7"}},
      {"length past the end", LittleEndian(100) + "{}", {"header length=100", "2 bytes"}},
      {"length of 2^64 - 1",
       LittleEndian(UINT64_MAX) + "{}",
       {"header length=18446744073709551615"}},
      {"length over the format's limit", LittleEndian(100'000'001), {"header length=100000001"}},
      {"not JSON", FileOf("{\"t\":", ""), {"header"}},
      {"no object", FileOf("[]", ""), {"header=[]"}},
      {"nested too deep", FileOf(std::string(100, '[') + std::string(100, ']'), ""), {"header"}},
      {"the same name twice",
       FileOf(R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
              R"("t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
              "1"),
       {"header", "t"}},
      {"fewer bytes than the offsets span",
       One(R"({"dtype":"F32","shape":[1],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "data_offsets=[0,8]", "4 bytes"}},
      {"overlap",
       FileOf(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
              R"("t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
              "12345678"),
       {"tensor t", "data_offsets=4", "5"}},
      {"hole",
       FileOf(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},)"
              R"("t":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
              "12345678"),
       {"tensor t", "data_offsets=4", "3"}},
      {"a name with a line end and a delete character",
       FileOf("{\"a\\nb\x7f\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", "12"),
       {"tensor a?b?: data_offsets=1"}},
      {"bytes that no tensor has",
       One(R"({"dtype":"U8","shape":[6],"data_offsets":[0,6]})"),
       {"data size=8", "6 bytes"}},
      {"metadata that is no object", FileOf(R"({"__metadata__":"x"})", ""), {"__metadata__=\"x\""}},
      {"metadata of numbers", FileOf(R"({"__metadata__":{"a":1}})", ""), {"__metadata__="}},
      {"a value that would fill the screen",
       One("{\"dtype\":\"" + std::string(5000, 'x') + "\",\"shape\":[8],\"data_offsets\":[0,8]}"),
       {"dtype=\"xxx", "..."}},
      {"a name that is not UTF-8", FileOf("{\"\xff\":1}", ""), {"header"}},
  };
}

// Files with one tensor whose entry is wrong.
std::vector<Hostile> HostileTensors() {
  return {
      {"an entry that is no object", One("7"), {"tensor \"t\"", "entry=7"}},
      {"no dtype", One(R"({"shape":[8],"data_offsets":[0,8]})"), {"tensor \"t\"", "dtype"}},
      {"unknown dtype",
       One(R"({"dtype":"Q9","shape":[8],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "dtype=\"Q9\""}},
      {"dtype of the wrong kind",
       One(R"({"dtype":4,"shape":[8],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "dtype=4"}},
      {"no shape", One(R"({"dtype":"U8","data_offsets":[0,8]})"), {"tensor \"t\"", "shape"}},
      {"negative extent",
       One(R"({"dtype":"U8","shape":[-8],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "shape=[-8]"}},
      {"fraction of an extent",
       One(R"({"dtype":"U8","shape":[8.0],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "shape=[8.0]"}},
      {"extent of 2^63",
       One(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "shape=[9223372036854775808]"}},
      {"elements that overflow",
       One(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "shape=[4294967296,4294967296]"}},
      {"bits that overflow",
       One(R"({"dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "shape=[4611686018427387904]"}},
      {"half a byte",
       One(R"({"dtype":"F4","shape":[3],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "shape=[3]"}},
      {"one offset",
       One(R"({"dtype":"U8","shape":[8],"data_offsets":[8]})"),
       {"tensor \"t\"", "data_offsets=[8]"}},
      {"an end before its begin",
       One(R"({"dtype":"U8","shape":[8],"data_offsets":[8,0]})"),
       {"tensor \"t\"", "data_offsets=[8,0]"}},
      {"an end past the data",
       One(R"({"dtype":"U8","shape":[9],"data_offsets":[0,9]})"),
       {"tensor \"t\"", "data_offsets=[0,9]", "8 bytes"}},
      {"shape times type is not bytes",
       One(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"),
       {"tensor \"t\"", "data_offsets=[0,8]", "12 bytes", "[3]", "F32"}},
  };
}

void ExpectRefused(const Hostile& hostile) {
  SCOPED_TRACE(hostile.what);
  const absl::Status status = OpenStatus(hostile.content);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("bad.safetensors"));
  for (const std::string& part : hostile.says) EXPECT_THAT(message, HasSubstr(part));
  EXPECT_EQ(message.find('\n'), std::string::npos);
  EXPECT_LT(message.size(), 600u);
}

TEST(Safetensors, HostileFilesAreRefusedWithFileFieldAndValue) {
  for (const Hostile& hostile : HostileHeaders()) ExpectRefused(hostile);
  for (const Hostile& hostile : HostileTensors()) ExpectRefused(hostile);
}

}  // namespace
}  // namespace plimsoll
