// Answers as bytes: the same, to the byte, as their generated messages make.
#include "rpc/answer_bytes.h"

#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <random>

#include "rpc/convert.h"
#include "rpc/message_bytes.h"
#include "rpc/operation.h"
#include "rpc/wire_writer.h"
#include "tests/rpc/raw_call.h"

namespace plimsoll {
namespace {

// The examples of protobuf's own description of its encoding.
TEST(WireWriter, WritesTheDocumentedExamples) {
  WireWriter number;
  number.Number(1, int64_t{150});
  EXPECT_EQ(number.bytes(), "\x08\x96\x01");
  number.Enclose(3, number.size());
  EXPECT_EQ(number.bytes(), "\x1a\x03\x08\x96\x01");
  WireWriter text;
  text.Text(2, "testing");
  EXPECT_EQ(text.bytes(), "\x12\x07testing");
}

TEST(WireWriter, LeavesOutWhatIsZeroAndNotWhatIsAnEmptyMessage) {
  WireWriter out;
  out.Number(1, int64_t{0});
  out.Text(2, "");
  EXPECT_EQ(out.size(), 0u);
  out.Enclose(4, 0);
  EXPECT_EQ(out.bytes(), std::string_view("\x22\x00", 2));
}

TEST(WireWriterDeathTest, AbortsWhereThereIsNoRoom) {
  WireWriter out;
  out.Text(1, std::string(WireWriter::kRoom - 3, 'x'));  // two bytes of length and one before it
  EXPECT_EQ(out.size(), WireWriter::kRoom);
  EXPECT_DEATH(out.Number(1, int64_t{1}), "check failed: size <= begin_ .*1 0");
}

class AnswerBytes : public testing::Test {
 protected:
  AnswerBytes() { clock_.AdvanceTo(now_); }

  int64_t Below(int64_t end) { return std::uniform_int_distribution<int64_t>(0, end - 1)(rng_); }
  // Now and then zero, one or as large as it gets.
  int64_t Figure(int64_t most) {
    switch (Below(4)) {
      case 0:
        return 0;
      case 1:
        return most;
      default:
        return Below(most) >> Below(40);
    }
  }
  std::string Text(int64_t most) { return std::string(static_cast<size_t>(Figure(most)), 't'); }

  Reservation Granted() {
    return {.id = Text(128),
            .epoch = Text(64),
            .tenant = Text(128),
            .prompt_tokens = Tokens(Figure(int64_t{1} << 40)),
            .max_new_tokens = Tokens(Figure(int64_t{1} << 40)),
            .blocks = Blocks(Figure(int64_t{1} << 31)),
            .prefix_blocks = Blocks(Figure(int64_t{1} << 31)),
            .ttl = Duration(Figure(kLongestDuration.count())),
            .expires = now_ + Duration(Figure(kLongestDuration.count()) - 1000),
            .expire_time = WallTime(Duration(Figure(int64_t{1} << 62))),
            .confirmed = Below(2) == 1,
            .claimed_id = Text(128),
            .ended = Below(2) == 1};
  }
  Refusal Refused() {
    return {.decision = Decision::kWait,
            .reason = Reason::kNoFreeBlocks,
            .needed = Blocks(Figure(1000)),
            .missing = Blocks(Figure(1000)),
            .retry_after = Duration(Figure(1'000'000'000)),
            .largest_fit = Tokens(Figure(100'000)),
            .binding_term = Text(8)};
  }
  Answer AnyAnswer() {
    if (Below(4) == 0) return Refused();
    return Granted();
  }
  Outcome AnyOutcome() {
    switch (Below(4)) {
      case 0:
        return Outcome(std::nullopt);
      case 1:
        return absl::InvalidArgumentError(Text(10'000));
      default:
        return Outcome(AnyAnswer());
    }
  }

  const int seed_ = testing::UnitTest::GetInstance()->random_seed();
  testing::ScopedTrace trace_{__FILE__, __LINE__,
                              "rerun with --gtest_random_seed=" + std::to_string(seed_)};
  std::mt19937 rng_{static_cast<uint32_t>(seed_)};
  SimulatedClock clock_;
  const Instant now_ = Instant(std::chrono::hours(5));
};

TEST_F(AnswerBytes, OfAReservationAreThoseOfTheMessage) {
  for (int i = 0; i < 2000; ++i) {
    const Answer answer = AnyAnswer();
    const int64_t revision = Figure(int64_t{1} << 40);
    v1::ReserveCapacityResponse message;
    SetOutcome(answer, now_, &message);
    message.set_revision(revision);
    ASSERT_EQ(BytesOf(ReserveAnswerBytes(answer, revision, now_)), message.SerializeAsString())
        << message.ShortDebugString();
  }
}

TEST_F(AnswerBytes, OfABatchAreThoseOfTheMessage) {
  for (int i = 0; i < 200; ++i) {
    v1::BatchReserveCapacityResponse message;
    std::string bytes;
    for (int64_t n = Below(20); n > 0; --n) {
      const Outcome outcome = AnyOutcome();
      const auto id = static_cast<uint64_t>(Figure(std::numeric_limits<int64_t>::max()));
      SetResult(id, outcome, now_, message.add_results());
      AppendResult(message.kResultsFieldNumber, id, outcome, clock_, bytes);
    }
    message.set_revision(Figure(int64_t{1} << 40));
    AppendNumber(message.kRevisionFieldNumber, message.revision(), bytes);
    ASSERT_EQ(bytes, message.SerializeAsString()) << message.ShortDebugString();
  }
}

TEST(Received, ReadsAMessageThatCameInPieces) {
  v1::ReserveCapacityRequest sent;
  sent.set_request_id(std::string(100, 'r'));
  sent.set_prompt_tokens(7);
  const std::string text = sent.SerializeAsString();
  const std::array<grpc::Slice, 2> pieces = {grpc::Slice(text.substr(0, 10)),
                                             grpc::Slice(text.substr(10))};
  const grpc::ByteBuffer bytes(pieces.data(), pieces.size());
  Received<v1::ReserveCapacityRequest, 256> received(bytes);
  ASSERT_TRUE(received.parsed());
  EXPECT_EQ((*received).SerializeAsString(), text);
  EXPECT_EQ(BytesOf(bytes), text);
}

TEST(Received, AnEmptyMessageIsOneAndGarbageIsNone) {
  EXPECT_TRUE((Received<v1::ReserveCapacityRequest, 256>(BytesOf("")).parsed()));
  EXPECT_FALSE((Received<v1::ReserveCapacityRequest, 256>(BytesOf("\xff\xff")).parsed()));
  EXPECT_FALSE((Received<v1::ReserveCapacityRequest, 256>(grpc::ByteBuffer()).parsed()));
}

}  // namespace
}  // namespace plimsoll
