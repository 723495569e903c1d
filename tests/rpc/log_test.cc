// Lines of the log: what they look like, how many there are, and where they cannot go.
#include "rpc/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <nlohmann/json.hpp>

#include "kvcache/base/check.h"
#include "rpc/descriptor.h"

namespace plimsoll {
namespace {

// A pipe that holds what was logged.
class Pipe {
 public:
  Pipe() {
    std::array<int, 2> ends{};
    PLIMSOLL_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0, errno);
    read_end = Descriptor(ends[0]);
    write_end = Descriptor(ends[1]);
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
  }
  std::string Read() {
    std::string text(1 << 16, '\0');
    const ssize_t n = read(read_end.get(), text.data(), text.size());
    text.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return text;
  }
  Descriptor read_end, write_end;
};

TEST(Log, ALineForPeople) {
  SimulatedClock clock;
  Pipe pipe;
  Log log({.descriptor = pipe.write_end.get()}, clock);
  clock.Advance(std::chrono::milliseconds(1500));
  log.Write(LogLevel::kWarning, "connection_shed",
            {{"address", "127.0.0.1:1"}, {"why", "too many = \"more\""}, {"empty", ""}});
  EXPECT_EQ(pipe.Read(),
            "1970-01-01T00:00:01.500Z warning connection_shed address=127.0.0.1:1 "
            "why=\"too many = \\\"more\\\"\" empty=\"\"\n");
}

TEST(Log, ALineForMachines) {
  const SimulatedClock clock;
  Pipe pipe;
  Log log({.format = LogFormat::kJson, .descriptor = pipe.write_end.get()}, clock);
  log.Write(LogLevel::kError, "e", {{"text", "a\"b\xff"}});
  const auto json = nlohmann::json::parse(pipe.Read());
  EXPECT_EQ(json.at("level"), "error");
  EXPECT_EQ(json.at("event"), "e");
  EXPECT_EQ(json.at("time"), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(json.at("text"), "a\"b?");
}

TEST(Log, WhatComesFromOutsideMakesNoLineOfItsOwn) {
  const SimulatedClock clock;
  Pipe pipe;
  Log log({.descriptor = pipe.write_end.get()}, clock);
  log.Write(LogLevel::kInfo, "e", {{"m", "a\nb\x1b[31m" + std::string(100'000, 'x')}});
  const std::string line = pipe.Read();
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  EXPECT_EQ(line.find('\x1b'), std::string::npos);
  EXPECT_LT(line.size(), 300);
}

TEST(Log, LevelsBelowItsOwnAreLeftOut) {
  const SimulatedClock clock;
  Pipe pipe;
  Log log({.level = LogLevel::kWarning, .descriptor = pipe.write_end.get()}, clock);
  log.Write(LogLevel::kInfo, "quiet");
  EXPECT_EQ(pipe.Read(), "");
  log.SetLevel(LogLevel::kDebug);
  log.Write(LogLevel::kDebug, "loud");
  EXPECT_NE(pipe.Read(), "");
}

TEST(Log, EachKindHasItsSharePerSecondAndSaysHowManyWereLeftOut) {
  SimulatedClock clock;
  Pipe pipe;
  Log log({.descriptor = pipe.write_end.get(), .per_second = 2}, clock);
  for (int i = 0; i < 5; ++i) log.Write(LogLevel::kInfo, "often");
  log.Write(LogLevel::kInfo, "seldom");
  const std::string first = pipe.Read();
  EXPECT_EQ(std::count(first.begin(), first.end(), '\n'), 3) << first;
  clock.Advance(std::chrono::seconds(1));
  log.Write(LogLevel::kInfo, "often");
  log.Write(LogLevel::kInfo, "often");
  EXPECT_EQ(pipe.Read(),
            "1970-01-01T00:00:01.000Z info often suppressed=3\n1970-01-01T00:00:01.000Z info "
            "often\n");
}

TEST(Log, WaitsForNobodyAndCountsWhatIsLost) {
  std::signal(SIGPIPE, SIG_IGN);
  const SimulatedClock clock;
  Pipe full;
  Log to_full({.descriptor = full.write_end.get(), .per_second = 100'000}, clock);
  for (int i = 0; i < 5000; ++i) to_full.Write(LogLevel::kInfo, "e", {{"n", "0123456789"}});
  EXPECT_GT(to_full.lost(), 0);
  const Descriptor disk(open("/dev/full", O_WRONLY | O_CLOEXEC));
  Log to_disk({.descriptor = disk.get()}, clock);
  to_disk.Write(LogLevel::kInfo, "e");
  EXPECT_EQ(to_disk.lost(), 1);
  Log to_nothing({.descriptor = -1}, clock);
  to_nothing.Write(LogLevel::kInfo, "e");
  EXPECT_EQ(to_nothing.lost(), 1);
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const Descriptor ours(ends[0]);
  Descriptor theirs(ends[1]);
  Log to_socket({.descriptor = ours.get()}, clock);
  to_socket.Write(LogLevel::kInfo, "e");
  EXPECT_EQ(to_socket.lost(), 0);
  theirs.Close();
  to_socket.Write(LogLevel::kInfo, "e");
  EXPECT_EQ(to_socket.lost(), 1);
}

}  // namespace
}  // namespace plimsoll
