// Tokens: the file, who may do what, and what a guesser gets.
#include <gtest/gtest.h>
#include <unistd.h>

#include "plimsoll/v1/admin.pb.h"
#include "plimsoll/v1/admission.pb.h"
#include "plimsoll/v1/capacity.pb.h"
#include "plimsoll/v1/generation.pb.h"
#include "rpc/token_gate.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

constexpr char kReader[] = "reader-0123456789";
constexpr char kRouter[] = "correct horse battery";  // spaces: only its digest may stand in a file
constexpr char kFile[] = R"(# who may do what
looker:read:reader-0123456789

router:admission:sha256:9028ea0d15decaa35b2da21c0290af3b1a5ba0a30a591906f89b5074e209ea72
boss:admin:admin-012345678901
)";
constexpr char kHealth[] = "/grpc.health.v1.Health/Check";
constexpr char kReserve[] = "/plimsoll.v1.AdmissionService/ReserveCapacity";
constexpr char kCapacity[] = "/plimsoll.v1.CapacityService/GetCapacity";
constexpr char kResize[] = "/plimsoll.v1.AdminService/ResizePool";

TokenTable Table() { return TokenTable::Parse(kFile).value(); }
std::string Bearer(const std::string& token) { return "Bearer " + token; }

TEST(Tokens, AFileSaysWhoMayDoWhat) {
  const TokenTable table = Table();
  EXPECT_EQ(table.size(), 3);
  EXPECT_EQ(table.Find(kReader).value().name, "looker");
  EXPECT_EQ(table.Find(kRouter).value().role, Role::kAdmission);
  EXPECT_EQ(table.Find("admin-012345678901").value().role, Role::kAdmin);
  for (const char* wrong : {"", "reader-012345678", "reader-01234567890", "Reader-0123456789",
                            "9028ea0d15decaa35b2da21c0290af3b1a5ba0a30a591906f89b5074e209ea72"}) {
    EXPECT_FALSE(table.Find(wrong)) << wrong;
  }
}

TEST(Tokens, ATokenMayActForOneTenant) {
  const TokenTable table =
      TokenTable::Parse("a:admission@team one:secret-012345678\nb:admission:other-0123456789")
          .value();
  EXPECT_EQ(table.Find("secret-012345678")->tenant, "team one");
  EXPECT_EQ(table.Find("secret-012345678")->role, Role::kAdmission);
  EXPECT_EQ(table.Find("other-0123456789")->tenant, "");
  EXPECT_TRUE(table.bound_to_tenants());
  EXPECT_FALSE(Table().bound_to_tenants());
}

TEST(Tokens, ALineThatMakesNoSenseIsNamedAndNeverShown) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "no token in it"},
      {"# only this", "no token in it"},
      {"a:read:secret-012345678\nb:secret-012345678", "line 2: want NAME:ROLE:TOKEN"},
      {"a:root:secret-012345678", "line 1: want NAME:ROLE:TOKEN"},
      {":read:secret-012345678", "line 1: want a name"},
      {"a:read:secret", "line 1: want a token of 16"},
      {"a:read:secret with a space", "line 1: want a token of 16"},
      {"a:read:sha256:secret", "line 1: want 64 hexadecimal digits"},
      {"a:read:sha256:" + std::string(63, 'a') + "g", "line 1: want 64 hexadecimal digits"},
      {"a:read@t:secret-012345678", "line 1: want a tenant with the role admission alone"},
      {"a:admin@t:secret-012345678", "line 1: want a tenant with the role admission alone"},
      {"a:admission@:secret-012345678", "line 1: want a tenant of 1 to 128 bytes"},
      {"a:admission@" + std::string(129, 't') + ":secret-012345678", "line 1: want a tenant of 1"},
      {"a:root@t:secret-012345678", "line 1: want NAME:ROLE:TOKEN"},
  };
  for (const auto& [text, says] : cases) {
    const absl::Status status = TokenTable::Parse(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << text;
    EXPECT_EQ(std::string(status.message()).rfind(says, 0), 0) << status;
    EXPECT_EQ(status.message().find("secret"), std::string::npos) << status;
  }
  EXPECT_EQ(TokenTable::ReadFile("/nonexistent").status().message(),
            "/nonexistent: cannot be read");
}

TEST(TokenGate, EveryMethodOfOursWantsARole) {
  for (const google::protobuf::FileDescriptor* file :
       {v1::ReserveCapacityRequest::descriptor()->file(),
        v1::GetCapacityRequest::descriptor()->file(), v1::GenerateRequest::descriptor()->file(),
        v1::ResizePoolRequest::descriptor()->file()}) {
    ASSERT_EQ(file->service_count(), 1);
    const google::protobuf::ServiceDescriptor* const service = file->service(0);
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string method = "/" + service->full_name() + "/" + service->method(i)->name();
      EXPECT_TRUE(RoleFor(method)) << method;
    }
  }
  EXPECT_EQ(RoleFor(kReserve), Role::kAdmission);
  EXPECT_EQ(RoleFor(kCapacity), Role::kRead);
  EXPECT_EQ(RoleFor(kResize), Role::kAdmin);
  EXPECT_EQ(RoleFor("/plimsoll.v1.AdminService/GetServerInfo"), Role::kRead);
  EXPECT_EQ(RoleFor("/some.Service/NobodyThoughtOf"), Role::kRead);
  EXPECT_EQ(RoleFor(""), Role::kRead);
  EXPECT_FALSE(RoleFor(kHealth));
}

TEST(TokenGate, ARoleMayWhatIsBelowItAndNothingAbove) {
  const SimulatedClock clock;
  TokenGate gate(Table(), clock, nullptr);
  const auto code = [&](const char* method, const char* token) {
    return gate.Check(method, Bearer(token), 0).error_code();
  };
  EXPECT_EQ(code(kCapacity, kReader), grpc::StatusCode::OK);
  EXPECT_EQ(code(kReserve, kReader), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(code(kCapacity, kRouter), grpc::StatusCode::OK);
  EXPECT_EQ(code(kReserve, kRouter), grpc::StatusCode::OK);
  EXPECT_EQ(code(kResize, kRouter), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(code(kResize, "admin-012345678901"), grpc::StatusCode::OK);
  EXPECT_EQ(gate.Check(kReserve, Bearer(kReader), 0).error_message(),
            "looker has the role read; this wants admission");
  EXPECT_EQ(gate.Check(kReserve, "", 0).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(gate.Check(kReserve, kRouter, 0).error_code(), grpc::StatusCode::UNAUTHENTICATED)
      << "without its scheme";
  EXPECT_TRUE(gate.Check(kHealth, "", 0).ok());
}

TEST(TokenGate, AGuesserIsNotHeardAndLocksNobodyOut) {
  SimulatedClock clock;
  TokenGate gate(Table(), clock, nullptr);
  const auto code = [&](const char* token, size_t peer) {
    return gate.Check(kCapacity, Bearer(token), peer).error_code();
  };
  EXPECT_EQ(code(kReader, 7), grpc::StatusCode::OK);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(code("guess", 7), grpc::StatusCode::UNAUTHENTICATED);
  }
  EXPECT_EQ(code("guess", 7), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(code(kRouter, 7), grpc::StatusCode::RESOURCE_EXHAUSTED) << "a right guess is not heard";
  EXPECT_EQ(code(kReader, 7), grpc::StatusCode::OK) << "who was here before goes on";
  EXPECT_EQ(code(kRouter, 8), grpc::StatusCode::OK) << "other peers do not notice";
  clock.Advance(std::chrono::milliseconds(100));
  EXPECT_EQ(code("guess", 7), grpc::StatusCode::UNAUTHENTICATED) << "one each tenth of a second";
  EXPECT_EQ(code("guess", 7), grpc::StatusCode::RESOURCE_EXHAUSTED);
  clock.Advance(std::chrono::hours(1));
  EXPECT_EQ(code(kRouter, 7), grpc::StatusCode::OK);
}

TEST(TokenGate, NewTokensReplaceTheOldOnesAtOnce) {
  const SimulatedClock clock;
  TokenGate gate(Table(), clock, nullptr);
  EXPECT_TRUE(gate.Check(kCapacity, Bearer(kReader), 0).ok());
  gate.SetTokens(TokenTable::Parse("new:read:another-0123456789").value());
  EXPECT_FALSE(gate.Check(kCapacity, Bearer(kReader), 0).ok());
  EXPECT_TRUE(gate.Check(kCapacity, Bearer("another-0123456789"), 0).ok());
}

// 100,000 guesses: the log gets ten lines a second, and no token.
TEST(TokenGate, ManyGuessesMakeFewLinesAndShowNoToken) {
  SimulatedClock clock;
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  {
    Log log({.descriptor = ends[1]}, clock);
    TokenGate gate(Table(), clock, &log);
    for (int i = 0; i < 100'000; ++i) {
      if (i % 50'000 == 0) clock.Advance(std::chrono::seconds(1));
      EXPECT_FALSE(gate.Check(kCapacity, Bearer("guess-" + std::to_string(i)), 3).ok());
    }
  }
  close(ends[1]);
  std::string said(1 << 16, '\0');
  said.resize(static_cast<size_t>(read(ends[0], said.data(), said.size())));
  close(ends[0]);
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 20) << said;
  EXPECT_EQ(said.find("guess"), std::string::npos) << said;
  EXPECT_NE(said.find("suppressed=49990"), std::string::npos) << said;
}

class TokensOverTheWire : public testing::TestWithParam<bool> {
 protected:
  TokensOverTheWire() {
    ServerOptions options{.listen = {GetParam() ? "unix:" + folder_.File("s") : "127.0.0.1:0"},
                          .info = {.version = "", .epoch = "e", .model = "", .device = "none"}};
    options.tokens = Table();
    server_ = std::move(Server::Start(options, base_.admission(), base_.clock, nullptr)).value();
  }
  std::unique_ptr<Client> With(const std::string& token) {
    const std::string file = token.empty() ? "" : folder_.Write("token", token + "\n");
    return std::move(Client::Create({.server = server_->addresses().front(),
                                     .security = {.token_file = file}}))
        .value();
  }

  const TempDir folder_;
  TestServer base_;
  std::unique_ptr<Server> server_;
};

TEST_P(TokensOverTheWire, ATokenOpensWhatItsRoleMay) {
  const auto reader = With(kReader);
  EXPECT_TRUE(reader->GetCapacity().ok());
  EXPECT_TRUE(reader->GetServerInfo().ok());
  const absl::Status denied = reader->Reserve(RequestOf(16, 0)).status();
  EXPECT_TRUE(absl::IsPermissionDenied(denied)) << denied;
  const auto boss = With("admin-012345678901");
  EXPECT_TRUE(boss->Release(Granted(boss->Reserve(RequestOf(16, 0))).id).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(With("")->GetCapacity().status()));
  EXPECT_TRUE(absl::IsUnauthenticated(With("wrong-0123456789")->GetCapacity().status()));
  EXPECT_TRUE(RawCall(ChannelTo(server_->addresses().front()), kHealth, "").status.ok());
  EXPECT_FALSE(RawCall(ChannelTo(server_->addresses().front()), "/no.Such/Method", "").status.ok());
}

TEST_P(TokensOverTheWire, TokensMayChangeWhileItServes) {
  const auto reader = With(kReader);
  EXPECT_TRUE(reader->GetCapacity().ok());
  EXPECT_TRUE(server_->SetTokens(TokenTable::Parse("new:read:another-0123456789").value()).ok());
  EXPECT_TRUE(absl::IsUnauthenticated(reader->GetCapacity().status()));
  EXPECT_TRUE(With("another-0123456789")->GetCapacity().ok());
}

INSTANTIATE_TEST_SUITE_P(Sockets, TokensOverTheWire, testing::Bool(), [](const auto& unix_socket) {
  return unix_socket.param ? "Unix" : "Tcp";
});

TEST(Tokens, NeverGoInPlaintextBeyondThisMachine) {
  TestServer base;
  ServerOptions options{.listen = {"0.0.0.0:0"}, .insecure = true};
  options.tokens = Table();
  const absl::Status status =
      Server::Start(options, base.admission(), base.clock, nullptr).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("tokens could be read there"), std::string::npos) << status;
  const TempDir folder;
  const ClientSecurity token{.token_file = folder.Write("t", kReader)};
  EXPECT_TRUE(absl::IsInvalidArgument(
      Client::Create({.server = "192.0.2.1:8470", .security = token}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Client::Create({.server = "127.example.com:8470", .security = token}).status()));
  for (const char* here : {"127.0.0.1:8470", "127.1.2.3:8470", "localhost:8470", "[::1]:8470"}) {
    EXPECT_TRUE(Client::Create({.server = here, .security = token}).ok()) << here;
  }
}

// gRPC would take the connections and end them.
TEST(Tokens, AreTakenInPlaintextAtTheUsualLoopbackAddressAlone) {
  TestServer base;
  ServerOptions options{.listen = {"127.0.0.2:0"}};
  EXPECT_TRUE(Server::Start(options, base.admission(), base.clock, nullptr).ok());
  options.tokens = Table();
  const absl::Status status =
      Server::Start(options, base.admission(), base.clock, nullptr).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find("only 127.0.0.1 and ::1"), std::string::npos) << status;
  options.listen = {"localhost:0"};
  EXPECT_TRUE(Server::Start(options, base.admission(), base.clock, nullptr).ok());
}

TEST(Tokens, AFolderInPlaceOfTheirFileIsAnError) {
  const TempDir folder;
  EXPECT_EQ(TokenTable::ReadFile(folder.path()).status().message(),
            folder.path() + ": cannot be read");
  EXPECT_EQ(TokenTable::ReadFile(folder.Write("t", "")).status().message(),
            folder.File("t") + ": no token in it");
  EXPECT_TRUE(absl::IsInvalidArgument(
      Client::Create({.security = {.token_file = folder.path()}}).status()));
}

TEST_P(TokensOverTheWire, ATokenNeedsNoFile) {
  const auto with = [&](const ClientSecurity& security) {
    return Client::Create({.server = server_->addresses().front(), .security = security});
  };
  EXPECT_TRUE((*with({.token = kReader}))->GetCapacity().ok());
  EXPECT_EQ((*with({.token = "wrong-0123456789"}))->GetCapacity().status().message(),
            "this token is not known");
  EXPECT_EQ(with({.token_file = "/nonexistent", .token = kReader}).status().message(),
            "token and token_file: want one of the two");
  EXPECT_EQ(with({.token = "two words-0123456789"}).status().message(),
            "token: want printable characters, without a space");
}

TEST(Tokens, ATokenFileThatIsNoGoodIsAnErrorThatDoesNotShowIt) {
  const TempDir folder;
  for (const char* bad : {"", "\n", "two words-0123456789\n", "caf\xc3\xa9-0123456789"}) {
    const absl::Status status =
        Client::Create({.security = {.token_file = folder.Write("t", bad)}}).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << bad;
    EXPECT_EQ(status.message().find("0123456789"), std::string::npos) << status;
  }
}

}  // namespace
}  // namespace plimsoll
