// Frames that no library would send, against a server process: rows 9 and 24.
#include <gtest/gtest.h>

#include "tests/rpc/reliability/raw_http2.h"
#include "tests/rpc/reliability/served_process.h"

namespace plimsoll {
namespace {

constexpr char kReserve[] = "/plimsoll.v1.AdmissionService/ReserveCapacity";
// Of its peak, in bytes. gRPC 1.51 answers all pings that it has read before it ends the connection
// of who sends too many, and each answer on its way takes 1.3 kB; and it keeps what belongs to a
// stream that was reset until its handler has run: ten thousand of them grew it by 140 MiB.
constexpr int64_t kMostGrowth = int64_t{256} << 20;

class Http2 : public testing::Test {
 protected:
  Http2() : peak_(server_.PeakBytes()) {}
  ~Http2() override {
    EXPECT_TRUE(server_.ComesToRest());
    EXPECT_TRUE(server_.AllFree()) << "and it still serves";
    const auto granted = server_.Connect()->Reserve(RequestOf(16, 0));
    EXPECT_TRUE(granted.ok()) << granted.status();
    EXPECT_LT(server_.PeakBytes() - peak_, kMostGrowth);
  }

  // Sends `frames` so many times, in pieces of some kilobytes, for as long as the server listens.
  void Flood(RawConnection& connection, const std::function<std::string(uint32_t)>& frames,
             uint32_t times, bool reads = true) {
    std::string piece;
    for (uint32_t i = 0; i < times; ++i) {
      piece += frames(i);
      if (piece.size() < 8192 && i + 1 < times) continue;
      if (!connection.Send(piece, reads)) return;
      piece.clear();
    }
  }

  ServedProcess server_;
  const int64_t peak_;
};

// Row 24: a stream is opened and reset at once, again and again (CVE-2023-44487).
TEST_F(Http2, SurvivesRapidReset) {
  RawConnection connection(server_.address());
  ASSERT_TRUE(connection.Greet());
  Flood(
      connection,
      [](uint32_t i) {
        const uint32_t stream = 2 * i + 1;
        return Frame(FrameType::kHeaders, kEndHeaders, stream, CallHeaders(kReserve)) +
               Frame(FrameType::kRstStream, 0, stream, BigEndian(8, 4));
      },
      10'000);
}

// Row 24, by one who reads the answers and by one who does not.
TEST_F(Http2, SurvivesAFloodOfPings) {
  for (const bool reads : {true, false}) {
    RawConnection connection(server_.address());
    ASSERT_TRUE(connection.Greet());
    Flood(
        connection, [](uint32_t) { return Frame(FrameType::kPing, 0, 0, "12345678"); }, 50'000,
        reads);
  }
}

// Row 24, the same.
TEST_F(Http2, SurvivesAFloodOfSettings) {
  const std::string settings = BigEndian(4, 2) + BigEndian(65'535, 4);  // the initial window
  for (const bool reads : {true, false}) {
    RawConnection connection(server_.address());
    ASSERT_TRUE(connection.Greet());
    Flood(
        connection, [&](uint32_t) { return Frame(FrameType::kSettings, 0, 0, settings); }, 50'000,
        reads);
  }
}

// Row 24: headers that never end.
TEST_F(Http2, SurvivesAFloodOfContinuations) {
  RawConnection connection(server_.address());
  ASSERT_TRUE(connection.Greet());
  connection.Send(Frame(FrameType::kHeaders, 0, 1, CallHeaders(kReserve)));
  const std::string more = HeaderBlock({{"x-more", std::string(1000, 'x')}});
  Flood(
      connection, [&](uint32_t) { return Frame(FrameType::kContinuation, 0, 1, more); }, 20'000);
}

// Row 24: the published conditions of CVE-2023-1428, and headers beyond the limit.
TEST_F(Http2, SurvivesOddHeaders) {
  const std::string large(9000, 'x');
  for (const std::string& block :
       {CallHeaders(kReserve, {{"x-large", large}}, "http", "x"),
        CallHeaders(kReserve, {{"x-large", large}}, "x"),
        CallHeaders(kReserve, {{"grpclb_client_stats", large}}),
        CallHeaders(kReserve, {{"grpc-timeout", large}}),
        CallHeaders(kReserve, {{"grpc-timeout", "-1S"}}), CallHeaders(large), CallHeaders(""),
        HeaderBlock({{":method", "GET"}}), HeaderBlock({{"", ""}}), std::string("\x80", 1),
        std::string(16'384, '\xff')}) {
    RawConnection connection(server_.address());
    ASSERT_TRUE(connection.Greet());
    connection.Send(Frame(FrameType::kHeaders, kEndHeaders | kEndStream, 1, block));
    connection.ClosesWithin(20);
  }
}

// Row 9: frames cut short, of no stream, of impossible sizes, and a peer that speaks otherwise.
TEST_F(Http2, SurvivesBrokenFrames) {
  const std::string call = Frame(FrameType::kHeaders, kEndHeaders, 1, CallHeaders(kReserve));
  const std::string message = BigEndian(0, 1) + BigEndian(20, 4) + "only a part";
  for (const std::string& bytes :
       {call.substr(0, 20), call + Frame(FrameType::kData, kEndStream, 1, message),
        call + Frame(FrameType::kData, kEndStream, 1, BigEndian(0, 1) + BigEndian(0xffffffff, 4)),
        call + Frame(FrameType::kData, kEndStream, 1, "\x07"),
        Frame(FrameType::kData, kEndStream, 99, "data of no stream"),
        Frame(FrameType::kWindowUpdate, 0, 0, BigEndian(0x7fffffff, 4)),
        Frame(FrameType::kWindowUpdate, 0, 0, BigEndian(0, 4)),
        Frame(FrameType::kSettings, 0, 0, "odd"), Frame(FrameType::kRstStream, 0, 0, "1234"),
        std::string("\xff\xff\xff\x00\x00\x00\x00\x00\x01", 9), std::string(1000, '\0')}) {
    RawConnection connection(server_.address());
    ASSERT_TRUE(connection.Greet());
    connection.Send(bytes);
    connection.ClosesWithin(20);
  }
  for (const std::string_view other :
       {"GET / HTTP/1.1\r\n\r\n", "PRI * HTTP/3.0\r\n", "\x16\x03\x01"}) {
    RawConnection connection(server_.address());
    connection.Send(other);
    connection.ClosesWithin(20);
  }
}

// Row 13, of what fits here: a peer that never says anything is let go.
TEST_F(Http2, LetsGoOfThoseWhoSayNothing) {
  RawConnection silent(server_.address());
  RawConnection slow(server_.address());
  ASSERT_TRUE(slow.Send(kPreface.substr(0, 5)));
  EXPECT_TRUE(silent.ClosesWithin(8000));
  EXPECT_TRUE(slow.ClosesWithin(8000));
}

}  // namespace
}  // namespace plimsoll
