// Starting, listening, health and reflection.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "rpc/address.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

constexpr char kHealth[] = "/grpc.health.v1.Health/Check";
constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr char kListServices[] = "\x3a\x01*";  // ServerReflectionRequest{list_services: "*"}

absl::StatusOr<std::unique_ptr<Server>> StartAt(TestServer& base,
                                                const std::vector<std::string>& addresses) {
  return Server::Start(
      {.listen = addresses, .info = {.version = "", .epoch = "e", .model = "", .device = "none"}},
      base.admission(), base.clock, nullptr);
}

TEST(Server, ListensOnSeveralAddresses) {
  TestServer base;
  const TempDir folder;
  const std::string socket = "unix:" + folder.File("s");
  const auto server = StartAt(base, {"127.0.0.1:0", socket, "127.0.0.1:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_EQ((*server)->addresses().size(), 3);
  for (const std::string& address : (*server)->addresses()) {
    const auto client = std::move(Client::Create({.server = address})).value();
    EXPECT_TRUE(client->GetCapacity().ok()) << address;
  }
}

TEST(Server, APortInUseIsAnErrorThatNamesIt) {
  TestServer first;
  first.Start();
  TestServer base;
  const absl::Status status = StartAt(base, {"127.0.0.1:0", first.address()}).status();
  EXPECT_EQ(status.message(), "cannot listen on " + first.address() + ": Address already in use");
}

TEST(Server, ASocketFileInUseIsAnErrorAndADeadOneIsReplaced) {
  TestServer first({.unix_socket = true});
  first.Start();
  TestServer base;
  const absl::Status status = StartAt(base, {first.address()}).status();
  EXPECT_EQ(status.message(), "cannot listen on " + first.address() + ": Address already in use");
  EXPECT_TRUE(first.Connect()->GetCapacity().ok()) << "the first server kept its socket";

  const TempDir folder;
  const std::string dead = folder.File("dead");
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  dead.copy(name.sun_path, sizeof(name.sun_path) - 1);
  const int left_behind = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(left_behind, reinterpret_cast<const sockaddr*>(&name), sizeof(name)), 0);
  close(left_behind);
  const auto next = StartAt(base, {"unix:" + dead});
  EXPECT_TRUE(next.ok()) << next.status();
}

TEST(Server, AnAddressThatCannotBeUsedIsAnErrorWithTheReason) {
  TestServer base;
  for (const char* bad : {"", "8470", ":8470", "host:", "host:x", "host:65536", "host:-1",
                          "unix:", "unix:relative", "a:b:c", "[::1]", "http://host:1"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(StartAt(base, {bad}).status())) << bad;
    EXPECT_TRUE(absl::IsInvalidArgument(Client::Create({.server = bad}).status())) << bad;
  }
  const absl::Status nowhere = StartAt(base, {"unix:/nonexistent/folder/socket"}).status();
  EXPECT_EQ(nowhere.message(),
            "cannot listen on unix:/nonexistent/folder/socket: No such file or directory");
}

TEST(Server, NoServerIsUnavailableAndNamesTheAddress) {
  const auto client = std::move(Client::Create({.server = "127.0.0.1:1"})).value();
  const absl::Status status = client->GetCapacity().status();
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_EQ(std::string(status.message()).rfind("no server at 127.0.0.1:1", 0), 0) << status;
}

TEST(Server, HealthIsServingUntilItDrains) {
  TestServer server;
  server.Start();
  const auto channel = ChannelTo(server.address());
  EXPECT_EQ(RawCall(channel, kHealth, "").bytes, "\x08\x01");  // SERVING
  server.server->StartDraining();
  EXPECT_EQ(RawCall(channel, kHealth, "").bytes, "\x08\x02");  // NOT_SERVING
}

// The method is a stream; one message and half-close is a unary call to the wire.
TEST(Server, ReflectionListsTheServices) {
  TestServer server;
  server.Start();
  const RawAnswer answer = RawCall(ChannelTo(server.address()), kReflection, kListServices);
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  for (const char* service :
       {"AdmissionService", "CapacityService", "GenerationService", "AdminService"}) {
    EXPECT_NE(answer.bytes.find(std::string("plimsoll.v1.") + service), std::string::npos)
        << service;
  }
}

TEST(Server, ReflectionCanBeTurnedOff) {
  TestServer server({.reflection = false});
  server.Start();
  EXPECT_EQ(RawCall(ChannelTo(server.address()), kReflection, kListServices).status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

}  // namespace
}  // namespace plimsoll
