#include "kvcache/base/errors.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace plimsoll {
namespace {

std::string Message(const absl::Status& status) { return std::string(status.message()); }

TEST(Errors, ABadFieldNamesFieldValueAndWhatIsWanted) {
  const absl::Status status = BadField("head_dim", 0, "a positive integer");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(Message(status), "head_dim=0: want a positive integer");
  EXPECT_EQ(Message(BadField("kv", "int3", "int4")), "kv=int3: want int4");
}

TEST(Errors, OutOfBlocksHasTheThreeNumbers) {
  const absl::Status status = OutOfBlocks(Blocks(40), Blocks(12), Blocks(64));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Message(status), "need 40 blocks, 12 of 64 free");
}

TEST(Errors, ASystemErrorSaysWhichCallAndWhy) {
  EXPECT_EQ(Message(SystemError("mmap", ENOMEM)), "mmap: Cannot allocate memory");
}

TEST(Errors, AnnotatingKeepsTheCodeAndLeavesOkAlone) {
  const absl::Status status = Annotate(absl::NotFoundError("no block 7"), "pool");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Message(status), "pool: no block 7");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "pool").ok());
}

TEST(Errors, AnExcerptIsShortPrintableAndOnOneLine) {
  EXPECT_EQ(Excerpt("plain"), "plain");
  EXPECT_EQ(Excerpt("a\nb\x01"
                    "c\x7f"),
            "a?b?c?");
  EXPECT_EQ(Excerpt("na\xc3\xaf"
                    "ve"),
            "na\xc3\xaf"
            "ve");
  EXPECT_EQ(Excerpt(std::string(1000, 'x')), std::string(60, 'x') + "...");
}

}  // namespace
}  // namespace plimsoll
