// Who gets in: addresses, modes, users, caps, silent peers, and what running out of descriptors
// does.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "tests/rpc/raw_peer.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kSoon{10'000};  // no test needs it unless it fails
constexpr milliseconds kStays{50};

#if defined(__has_feature)
constexpr bool kUnderUndefinedBehaviorSanitizer = __has_feature(undefined_behavior_sanitizer);
#else
constexpr bool kUnderUndefinedBehaviorSanitizer = false;
#endif

absl::StatusOr<std::unique_ptr<Server>> StartWith(TestServer& base, ServerOptions options) {
  options.info = {.version = "", .epoch = "e", .model = "", .device = "none"};
  return Server::Start(options, base.admission(), base.clock, nullptr);
}

bool Answers(const std::string& address) {
  return std::move(Client::Create({.server = address})).value()->GetCapacity().ok();
}

TEST(Accept, AUnixSocketIsForItsOwnerAndGroupAndGoesWithTheServer) {
  TestServer base;
  const TempDir folder;
  const std::string file = folder.File("s");
  auto server = std::move(StartWith(base, {.listen = {"unix:" + file}})).value();
  struct stat seen {};
  ASSERT_EQ(lstat(file.c_str(), &seen), 0);
  EXPECT_EQ(seen.st_mode, S_IFSOCK | 0660);
  EXPECT_TRUE(Answers("unix:" + file));
  server.reset();
  EXPECT_NE(lstat(file.c_str(), &seen), 0);
}

TEST(Accept, AServerLeavesTheSocketFileOfItsSuccessor) {
  TestServer base;
  const TempDir folder;
  const std::string file = folder.File("s");
  auto first = std::move(StartWith(base, {.listen = {"unix:" + file}})).value();
  unlink(file.c_str());
  const auto second = std::move(StartWith(base, {.listen = {"unix:" + file}})).value();
  first.reset();
  EXPECT_TRUE(Answers("unix:" + file));
}

TEST(Accept, AFileThatIsNoSocketStays) {
  TestServer base;
  const TempDir folder;
  const std::string file = folder.Write("s", "precious");
  const absl::Status status = StartWith(base, {.listen = {"unix:" + file}}).status();
  EXPECT_EQ(status.message(), "cannot listen on unix:" + file + ": Address already in use");
  EXPECT_EQ(ReadFile(file), "precious");
}

// A socket at `path`, of another program.
Descriptor OtherSocket(const std::string& path, int type) {
  Descriptor socket(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  const sockaddr_un name = SocketNameOf("unix:" + path);
  EXPECT_EQ(bind(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
  return socket;
}

TEST(Accept, ASocketOfAProgramThatIsBusyOrSpeaksOtherwiseStays) {
  const TempDir folder;
  const Descriptor busy = OtherSocket(folder.File("busy"), SOCK_STREAM);
  ASSERT_EQ(listen(busy.get(), 0), 0);
  const std::string address = "unix:" + folder.File("busy");
  EXPECT_EQ(CheckSocketFileUnused(address).message(),
            "cannot listen on " + address + ": Address already in use");
  EXPECT_EQ(ListenOn(address).status().message(),  // the first who asked fills its queue
            "cannot listen on " + address + ": Address already in use");
  const Descriptor datagrams = OtherSocket(folder.File("datagrams"), SOCK_DGRAM);
  EXPECT_TRUE(absl::IsFailedPrecondition(ListenOn("unix:" + folder.File("datagrams")).status()));
  EXPECT_TRUE(std::filesystem::exists(folder.File("datagrams")));
  EXPECT_TRUE(std::filesystem::exists(folder.File("busy")));
  OtherSocket(folder.File("dead"), SOCK_STREAM).Close();
  EXPECT_TRUE(ListenOn("unix:" + folder.File("dead")).ok());
}

TEST(Accept, PlaintextStaysOnThisMachineUnlessInsecure) {
  TestServer base;
  for (const char* open : {"0.0.0.0:0", "[::]:0"}) {
    const absl::Status status = StartWith(base, {.listen = {open}}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << open << ": " << status;
    EXPECT_NE(status.message().find("--insecure"), std::string::npos) << status;
  }
  const auto server =
      std::move(StartWith(base, {.listen = {"0.0.0.0:0"}, .insecure = true})).value();
  const std::string address = server->addresses().front();
  EXPECT_TRUE(Answers("127.0.0.1" + address.substr(address.rfind(':'))));
}

TEST(Accept, ANameMeansAllItsAddressesUnderOnePort) {
  TestServer base;
  const auto server = std::move(StartWith(base, {.listen = {"localhost:0"}})).value();
  EXPECT_NE(server->addresses().front(), "localhost:0");
  EXPECT_TRUE(Answers(server->addresses().front()));
  const absl::Status unknown = StartWith(base, {.listen = {"no.such.host.invalid:0"}}).status();
  EXPECT_EQ(unknown.message().rfind("cannot listen on no.such.host.invalid:0: ", 0), 0) << unknown;
}

TEST(Accept, OneConnectionTooManyIsShedUntilAnotherEnds) {
  TestServer base;
  const auto server =
      std::move(StartWith(base, {.listen = {"127.0.0.1:0"}, .connections = {.most = 2}})).value();
  const std::string address = server->addresses().front();
  RawPeer first(address);
  RawPeer second(address);
  EXPECT_FALSE(first.IsCutOffWithin(kStays));
  RawPeer third(address);
  EXPECT_TRUE(third.IsCutOffWithin(kSoon));
  EXPECT_FALSE(second.IsCutOffWithin(kStays));
  EXPECT_EQ(server->Connections().taken, 2);
  EXPECT_EQ(server->Connections().shed, 1);
  second.Close();
  EXPECT_TRUE(Eventually([&] { return Answers(address); }));
}

TEST(Accept, AServerThatIsFullStillChecksItself) {
  TestServer base;
  const auto server =
      std::move(StartWith(base, {.listen = {"127.0.0.1:0"}, .connections = {.most = 1}})).value();
  RawPeer only(server->addresses().front());
  ASSERT_TRUE(Eventually([&] { return server->Connections().taken == 1; }));
  EXPECT_EQ(server->CheckItself(kSoon), absl::OkStatus());
  EXPECT_FALSE(only.IsCutOffWithin(kStays));
  EXPECT_EQ(server->Connections().shed, 0);
}

TEST(Accept, ASilentOrSlowPeerIsCutOffAndAnHonestOneStays) {
  TestServer base;
  const auto server = std::move(StartWith(base, {.listen = {"127.0.0.1:0"},
                                                 .handshake_timeout = milliseconds(200)}))
                          .value();
  const std::string address = server->addresses().front();
  const auto honest = std::move(Client::Create(PatientOptions(address))).value();
  EXPECT_TRUE(honest->GetCapacity().ok());
  RawPeer silent(address);
  RawPeer slow(address);
  RawPeer babbling(address);
  babbling.Say("GET / HTTP/1.1\r\n\r\n");
  bool cut = false;
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (size_t i = 0; i < preface.size() && !cut; ++i) {
    slow.Say(preface.substr(i, 1));
    cut = slow.IsCutOffWithin(milliseconds(20));
  }
  EXPECT_TRUE(cut || slow.IsCutOffWithin(kSoon));
  EXPECT_TRUE(silent.IsCutOffWithin(kSoon));
  EXPECT_TRUE(babbling.IsCutOffWithin(kSoon));
  EXPECT_TRUE(honest->GetCapacity().ok());
  EXPECT_EQ(server->Connections().taken, 4) << "the honest one came once";
}

// Runs `body` as nobody, in a process of its own; whether it returned true.
bool AsNobody(const std::function<bool()>& body) {
  constexpr uid_t kNobody = 65534;
  const pid_t child = fork();
  if (child == 0) _exit(setuid(kNobody) == 0 && body() ? 0 : 1);
  int state = 0;
  waitpid(child, &state, 0);
  return WIFEXITED(state) && WEXITSTATUS(state) == 0;
}

TEST(Accept, AUnixSocketTakesOnlyTheUsersItNames) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  const TempDir folder;
  chmod(folder.path().c_str(), 0755);
  for (const bool named : {true, false}) {
    std::vector<ListeningSocket> sockets = ListenOn("unix:" + folder.File("s")).value();
    chmod(folder.File("s").c_str(), 0666);
    std::vector<Descriptor> taken;
    const AcceptLoop loop(std::move(sockets), {.users = {named ? 65534u : 65533u}}, nullptr,
                          [&](const ListeningSocket&, Descriptor connection) {
                            send(connection.get(), "hello", 5, MSG_NOSIGNAL);
                            connection.Close();
                          });
    EXPECT_TRUE(AsNobody([&] { return RawPeer("unix:" + folder.File("s")).open(); }));
    RawPeer ours("unix:" + folder.File("s"));
    EXPECT_TRUE(ours.IsCutOffWithin(kSoon));
    EXPECT_EQ(loop.counts().refused, named ? 0 : 1);
    EXPECT_EQ(loop.counts().taken, named ? 2 : 1) << "the server's own user is always welcome";
  }
}

// Loopback and Unix sockets are this machine's alone, however many there are.
TEST(ListeningSocket, SaysWhetherOtherMachinesMayCome) {
  const TempDir folder;
  std::vector<ListeningSocket> sockets = ListenOn("127.0.0.1:0").value();
  EXPECT_FALSE(ReachOtherMachines(sockets));
  sockets.push_back(std::move(ListenOn("unix:" + folder.File("s"))->front()));
  sockets.push_back(ListenToOurselves().value());
  EXPECT_FALSE(ReachOtherMachines(sockets));
  sockets.push_back(std::move(ListenOn("0.0.0.0:0")->front()));
  EXPECT_TRUE(ReachOtherMachines(sockets));
  EXPECT_FALSE(ReachOtherMachines({}));
}

// No descriptor is left for any connection: the loop gets rid of those who wait, and takes the
// first that comes when there is one.
TEST(Accept, WhoeverComesWhileNoDescriptorIsLeftIsShedAndTheNextIsTaken) {
  if (kUnderUndefinedBehaviorSanitizer) GTEST_SKIP() << "the sanitizer needs a descriptor itself";
  std::vector<ListeningSocket> sockets = ListenOn("127.0.0.1:0").value();
  const std::string address = sockets.front().address();
  const AcceptLoop loop(std::move(sockets), {}, nullptr, [](const ListeningSocket&, Descriptor) {});
  std::vector<std::unique_ptr<RawPeer>> peers;
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  {
    // The peers' own sockets come first; then not one more descriptor is given out.
    const Descriptor next(open("/dev/null", O_RDONLY | O_CLOEXEC));
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(next.get());
    std::vector<Descriptor> clients;
    for (int i = 0; i < 5; ++i) {
      clients.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    }
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    name.sin_port = htons(static_cast<uint16_t>(ParseHostPort(address).value().port));
    for (const Descriptor& client : clients) {
      EXPECT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
    }
    EXPECT_TRUE(Eventually([&] { return loop.counts().shed == 5; })) << loop.counts().shed;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  }
  EXPECT_EQ(loop.counts().taken, 0);
  const RawPeer after(address);
  EXPECT_TRUE(Eventually([&] { return loop.counts().taken == 1; }));
}

}  // namespace
}  // namespace plimsoll

// The library that resolves names for gRPC leaks some bytes when a process ends.
// NOLINTNEXTLINE(bugprone-reserved-identifier): the sanitizer's own name
extern "C" const char* __lsan_default_suppressions() { return "leak:libcares.so\n"; }
