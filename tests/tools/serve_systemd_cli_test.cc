// `plimsoll serve` under a service manager: a datagram socket stands where systemd's is, and hears
// what systemd would.
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "rpc/descriptor.h"
#include "tests/rpc/raw_peer.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

const std::vector<std::string> kLedger = {"--device", "none",        "--blocks", "10",
                                          "--listen", "127.0.0.1:0", "--http",   "none"};

sockaddr_un NameOf(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  path.copy(name.sun_path, sizeof(name.sun_path) - 1);
  return name;
}

class Manager {
 public:
  Manager() : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const sockaddr_un name = NameOf(path());
    PLIMSOLL_CHECK(bind(fd_.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) == 0,
                   errno);
  }
  std::string path() const { return folder_.File("notify"); }
  // The next state, or nothing within the time.
  std::string Hear(int milliseconds = 10'000) {
    pollfd look = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (poll(&look, 1, milliseconds) != 1) return "";
    char bytes[256];
    const ssize_t n = recv(fd_.get(), bytes, sizeof(bytes), 0);
    return n < 0 ? "" : std::string(bytes, static_cast<size_t>(n));
  }

 private:
  TempDir folder_;
  Descriptor fd_;
};

// Signs of life until one is not.
std::string HearPastSignsOfLife(Manager& manager) {
  std::string heard = manager.Hear();
  while (heard == "WATCHDOG=1") heard = manager.Hear();
  return heard;
}

TEST(ServeSystemd, SaysThatItIsReadyAliveAndStopping) {
  Manager manager;
  ServerProcess server(kLedger, {"env", "NOTIFY_SOCKET=" + manager.path(), "WATCHDOG_USEC=150000"});
  EXPECT_EQ(manager.Hear(), "READY=1");
  EXPECT_NE(server.address(), "") << server.output();
  EXPECT_EQ(manager.Hear(), "WATCHDOG=1");
  EXPECT_EQ(manager.Hear(), "WATCHDOG=1");
  server.Signal(SIGTERM);
  EXPECT_EQ(HearPastSignsOfLife(manager), "STOPPING=1");
  EXPECT_EQ(server.Wait(), 0);
}

TEST(ServeSystemd, GivesNoSignsOfLifeThatNobodyAskedFor) {
  Manager manager;
  const ServerProcess server(kLedger, {"env", "NOTIFY_SOCKET=" + manager.path(),
                                       "WATCHDOG_USEC=150000", "WATCHDOG_PID=1"});
  EXPECT_EQ(manager.Hear(), "READY=1");
  EXPECT_EQ(manager.Hear(200), "");
}

// Row 12 of tests/rpc/reliability: while all descriptors are taken, the server still answers
// itself.
TEST(ServeSystemd, RunningOutOfDescriptorsIsNoReasonToBeKilled) {
  Manager manager;
  ServerProcess server(kLedger, {"env", "NOTIFY_SOCKET=" + manager.path(), "WATCHDOG_USEC=300000",
                                 "/bin/sh", "-c", "ulimit -n 80; exec \"$0\" \"$@\""});
  ASSERT_EQ(manager.Hear(), "READY=1");
  std::vector<RawPeer> crowd;
  while (crowd.size() < 100) crowd.emplace_back(server.address());
  ASSERT_TRUE(crowd.back().IsCutOffWithin(std::chrono::seconds(10))) << "there is room for it";
  while (!manager.Hear(0).empty()) {  // what was said before
  }
  for (int i = 0; i < 5; ++i) EXPECT_EQ(manager.Hear(300), "WATCHDOG=1") << "time " << i;
  crowd.clear();
  const auto served = [&] {
    return RunProgram({PlimsollProgram(), "capacity", "--server", server.address()}).exit_code == 0;
  };
  EXPECT_TRUE(Eventually(served));
}

// All threads are stopped: a process that looks alive, and does not answer.
TEST(ServeSystemd, AServerThatDoesNotAnswerGivesNoSignOfLife) {
  Manager manager;
  ServerProcess server(kLedger, {"env", "NOTIFY_SOCKET=" + manager.path(), "WATCHDOG_USEC=150000"});
  EXPECT_EQ(manager.Hear(), "READY=1");
  EXPECT_EQ(manager.Hear(), "WATCHDOG=1");
  server.Signal(SIGSTOP);
  while (!manager.Hear(300).empty()) {
  }
  server.Signal(SIGCONT);
  EXPECT_EQ(manager.Hear(), "WATCHDOG=1");
}

// A shell in the place of systemd: descriptor 3 listens, and LISTEN_PID is who is started.
TEST(ServeSystemd, ServesOnASocketThatItIsGiven) {
  const TempDir folder;
  const std::string path = folder.File("given");
  Descriptor listening(socket(AF_UNIX, SOCK_STREAM, 0));
  const sockaddr_un name = NameOf(path);
  ASSERT_EQ(bind(listening.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
  ASSERT_EQ(listen(listening.get(), 8), 0);
  const std::string take = std::to_string(listening.get());
  ServerProcess server(kLedger, {"/bin/bash", "-c",
                                 "exec 3<&" + take + "; [ " + take + " = 3 ] || exec " + take +
                                     "<&-; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\""});
  listening.Close();
  EXPECT_EQ(server.address(), "unix:" + path) << server.output();
  const ProgramResult seen =
      RunProgram({PlimsollProgram(), "capacity", "--server", "unix:" + path});
  EXPECT_EQ(seen.exit_code, 0) << seen.err;
  server.Signal(SIGTERM);
  EXPECT_EQ(server.Wait(), 0);
  EXPECT_EQ(access(path.c_str(), F_OK), 0) << "the file is who made it's";
}

TEST(ServeSystemd, ADescriptorThatDoesNotListenIsAnError) {
  const ProgramResult result = RunProgram(
      {"/bin/sh", "-c", "exec 3</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\"",
       PlimsollProgram(), "serve", "--device", "none", "--blocks", "10", "--http", "none"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(result.err,
            "plimsoll: descriptor 3 was handed over to listen on, but does not listen\n");
}

// Of what systemd says of the unit, only that this machine has no such program is ours to expect.
TEST(ServeSystemd, TheUnitIsOneThatSystemdTakes) {
  const TempDir folder;
  const std::string source = std::string(PLIMSOLL_SOURCE_DIR) + "/tools/packaging/systemd/";
  std::string unit = ReadFile(source + "plimsoll.service");
  const std::string installed = "/usr/bin/plimsoll";
  const size_t at = unit.find(installed);
  ASSERT_NE(at, std::string::npos);
  unit.replace(at, installed.size(), PlimsollProgram());
  unit.erase(unit.find("Documentation="), unit.find("After=") - unit.find("Documentation="));
  folder.Write("plimsoll.socket", ReadFile(source + "plimsoll.socket"));
  const ProgramResult verified =
      RunProgram({"systemd-analyze", "verify", folder.Write("plimsoll.service", unit),
                  folder.File("plimsoll.socket")});
  if (verified.exit_code == 127) GTEST_SKIP() << "systemd-analyze is not installed";
  EXPECT_EQ(verified.exit_code, 0) << verified.err;
  EXPECT_EQ(verified.err, "");
}

}  // namespace
}  // namespace plimsoll
