// TLS at the server's edge: who is let in, who is not, and certificates that change while calls
// run.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

#include "rpc/token_gate.h"
#include "tests/rpc/certificates.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

constexpr auto kOverwrite = std::filesystem::copy_options::overwrite_existing;

// A server at 127.0.0.1 whose files a test may replace.
class Tls : public testing::Test {
 protected:
  void Use(const IssuedFiles& files) {
    std::filesystem::copy_file(files.key, key_, kOverwrite);
    std::filesystem::copy_file(files.certificate, certificate_, kOverwrite);
  }
  void Start(bool ask_for_certificate = true) {
    Use(authority_.Issue("server"));
    server_ = std::move(Server::Start(Options(ask_for_certificate), base_.admission(), base_.clock,
                                      nullptr))
                  .value();
  }
  ServerOptions Options(bool ask_for_certificate = true) const {
    return {.listen = {"127.0.0.1:0"},
            .tls = {.certificate = certificate_,
                    .key = key_,
                    .client_ca = ask_for_certificate ? authority_.certificate() : ""},
            .info = {.version = "", .epoch = "e", .model = "", .device = "none"}};
  }
  ClientSecurity Secured(const IssuedFiles& files) const {
    return {.ca = authority_.certificate(), .certificate = files.certificate, .key = files.key};
  }
  std::unique_ptr<Client> Connect(const ClientSecurity& security) const {
    return std::move(Client::Create({.server = server_->addresses().front(),
                                     .call_timeout = std::chrono::seconds(10),
                                     .security = security}))
        .value();
  }
  absl::Status Call(const ClientSecurity& security) const {
    return Connect(security)->GetCapacity().status();
  }
  int Handshake(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {
        "openssl", "s_client", "-connect", server_->addresses().front(), "-alpn", "h2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return RunProgram(arguments).exit_code;
  }

  const TestAuthority authority_;
  const TempDir folder_;
  const std::string certificate_ = folder_.File("server.pem"), key_ = folder_.File("server.key");
  TestServer base_;
  std::unique_ptr<Server> server_;
};

TEST_F(Tls, TakesClientsOfItsAuthorityAndNobodyElse) {
  Start();
  const TestAuthority stranger;
  EXPECT_TRUE(Call(Secured(authority_.Issue("client"))).ok());
  EXPECT_FALSE(Call({}).ok()) << "plaintext";
  EXPECT_FALSE(Call({.ca = authority_.certificate()}).ok()) << "no certificate";
  EXPECT_FALSE(Call(Secured(stranger.Issue("client"))).ok()) << "a stranger's certificate";
  EXPECT_FALSE(Call(Secured(authority_.Issue("late", -1))).ok()) << "an expired certificate";
  ClientSecurity trusts_another = Secured(authority_.Issue("client"));
  trusts_another.ca = stranger.certificate();
  EXPECT_FALSE(Call(trusts_another).ok()) << "the client does not know this server";
  EXPECT_TRUE(Call(Secured(authority_.Issue("client"))).ok()) << "and it still serves";
}

TEST_F(Tls, TakesAnybodyWhereItAsksForNoCertificate) {
  Start(/*ask_for_certificate=*/false);
  EXPECT_TRUE(Call({.ca = authority_.certificate()}).ok());
  EXPECT_FALSE(Call({}).ok()) << "plaintext";
}

TEST_F(Tls, TakesNoVersionBelowOneDotTwo) {
  Start(/*ask_for_certificate=*/false);
  EXPECT_EQ(Handshake({"-tls1_2"}), 0);
  EXPECT_EQ(Handshake({"-tls1_3"}), 0);
  EXPECT_NE(Handshake({"-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"}), 0);
  EXPECT_NE(Handshake({"-tls1", "-cipher", "DEFAULT@SECLEVEL=0"}), 0);
}

// The server gets a certificate of another authority while a client calls without a pause.
TEST_F(Tls, AChangedCertificateIsUsedWithoutDroppingACall) {
  Start(/*ask_for_certificate=*/false);
  const auto client = Connect({.ca = authority_.certificate()});
  std::atomic<bool> stop = false;
  std::atomic<int> calls = 0;
  std::atomic<int> failed = 0;
  std::thread load([&] {
    while (!stop) {
      failed += client->GetCapacity().ok() ? 0 : 1;
      ++calls;
    }
  });
  const TestAuthority next;
  Use(next.Issue("server"));
  EXPECT_TRUE(Eventually([&] { return Call({.ca = next.certificate()}).ok(); }));
  EXPECT_FALSE(Call({.ca = authority_.certificate()}).ok());
  stop = true;
  load.join();
  EXPECT_GT(calls, 10);
  EXPECT_EQ(failed, 0);
}

TEST_F(Tls, FilesThatAreNoGoodLeaveWhatWas) {
  Start(/*ask_for_certificate=*/false);
  const ClientSecurity client{.ca = authority_.certificate()};
  const IssuedFiles other = authority_.Issue("other");
  std::filesystem::copy_file(other.key, key_, kOverwrite);  // half a rotation
  EXPECT_EQ(server_->ReloadCertificates().message(),
            key_ + ": this key is not that of " + certificate_);
  Use(authority_.Issue("late", -1));
  EXPECT_EQ(server_->ReloadCertificates().message(),
            certificate_ + ": the certificate has expired");
  std::filesystem::remove(key_);
  EXPECT_EQ(server_->ReloadCertificates().message(), key_ + ": no key can be read there");
  EXPECT_TRUE(Call(client).ok());
  Use(other);
  EXPECT_TRUE(server_->ReloadCertificates().ok());
}

// Good again by a change that leaves each file's time and size as they were.
TEST_F(Tls, FilesThatWereRefusedAreTakenOnceTheyAreGood) {
  const std::string said = folder_.File("log");
  const Descriptor written(open(said.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  Log log({.descriptor = written.get()}, base_.clock);
  Use(authority_.Issue("server"));
  ServerOptions options = Options(/*ask_for_certificate=*/false);
  options.log = &log;
  server_ = std::move(Server::Start(options, base_.admission(), base_.clock, nullptr)).value();
  const TestAuthority next;
  const IssuedFiles issued = next.Issue("server");
  const std::string key = ReadFile(issued.key);
  folder_.Write("server.key", std::string(key.size(), '\n'));
  const auto then = std::filesystem::last_write_time(key_);
  std::filesystem::copy_file(issued.certificate, certificate_, kOverwrite);
  ASSERT_TRUE(Eventually([&] { return ReadFile(said).find("holds no key") != std::string::npos; }));
  folder_.Write("server.key", key);
  std::filesystem::last_write_time(key_, then);
  EXPECT_TRUE(Eventually([&] { return Call({.ca = next.certificate()}).ok(); }));
  EXPECT_NE(ReadFile(said).find("certificates_reloaded"), std::string::npos);
}

TEST_F(Tls, OneThreadOfGrpcLooksAtTheFilesForAllPeers) {
  Use(authority_.Issue("server"));
  const auto threads = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
  };
  ServerOptions options = Options();
  const auto plain = Server::Start(options, base_.admission(), base_.clock, nullptr);
  ASSERT_TRUE(plain.ok());
  const auto before = threads();
  options.tokens = TokenTable::Parse("looker:read:reader-0123456789").value();
  server_ = std::move(Server::Start(options, base_.admission(), base_.clock, nullptr)).value();
  EXPECT_LT(threads() - before, static_cast<int64_t>(TokenGate::kPeers));
}

TEST_F(Tls, DoesNotStartWithFilesThatAreNoGood) {
  const auto start = [&](const ServerOptions& options) {
    return std::string(
        Server::Start(options, base_.admission(), base_.clock, nullptr).status().message());
  };
  EXPECT_EQ(start(Options()), certificate_ + ": no certificate can be read there");
  ServerOptions folder = Options();
  folder.tls.certificate = folder_.path();
  EXPECT_EQ(start(folder), folder_.path() + ": no certificate can be read there");
  Use(authority_.Issue("late", -1));
  EXPECT_EQ(start(Options()), certificate_ + ": the certificate has expired");
  folder_.Write("server.pem", "not a certificate");
  EXPECT_EQ(start(Options()), certificate_ + ": holds no certificate in PEM");
  Use(authority_.Issue("server"));
  folder_.Write("server.key", "-----BEGIN PRIVATE KEY-----\nnot one\n-----END PRIVATE KEY-----\n");
  EXPECT_EQ(start(Options()), key_ + ": holds no key in PEM without a passphrase");
  ServerOptions half = Options();
  half.tls.key = "";
  EXPECT_EQ(start(half), "TLS wants both a certificate and its key");
}

TEST_F(Tls, LetsAnAddressBeyondThisMachineBeListenedOn) {
  Use(authority_.Issue("server"));
  ServerOptions options = Options();
  options.listen = {"0.0.0.0:0"};
  EXPECT_TRUE(Server::Start(options, base_.admission(), base_.clock, nullptr).ok());
}

TEST_F(Tls, AClientsFilesThatAreNoGoodAreAnErrorThatNamesThem) {
  const auto create = [](const ClientSecurity& security) {
    return std::string(Client::Create({.security = security}).status().message());
  };
  EXPECT_EQ(create({.ca = "/nonexistent"}), "/nonexistent: is empty or cannot be read");
  EXPECT_EQ(create({.ca = folder_.path()}), folder_.path() + ": is empty or cannot be read");
  EXPECT_EQ(create({.certificate = authority_.certificate()}),
            "a client's certificate and its key go together");
}

}  // namespace
}  // namespace plimsoll
