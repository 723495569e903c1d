// The client through its C interface, against servers that are killed and started again, and
// against one that wants proof of who calls.
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "rpc/c/plimsoll_client.h"
#include "tests/rpc/c/c_client.h"
#include "tests/rpc/certificates.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

// Answers are late while the server stands still: the request is asked again and granted once.
TEST(CClientOutage, ARequestThatIsAskedAgainIsGrantedOnce) {
  ServerProcess server(Ledger());
  CClient client(plimsoll_client_options{.server = server.address().c_str(),
                                         .call_timeout_ns = kSecond / 5,
                                         .retry_ns = 30 * kSecond});
  client.Capacity();  // connected
  server.Signal(SIGSTOP);
  std::thread goes_on([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    server.Signal(SIGCONT);
  });
  plimsoll_answer answer;
  Line why;
  EXPECT_EQ(client.Reserve(20, answer, &why), PLIMSOLL_OK) << why.text();
  goes_on.join();
  EXPECT_EQ(client.Capacity().admitted, 1);
}

TEST(CClientOutage, AServerThatWasKilledIsFoundAgainAndWhatItGaveIsLost) {
  const TempDir folder;
  const std::string address = "unix:" + folder.File("socket");
  auto server = std::make_unique<ServerProcess>(Ledger(address));
  CClient client(plimsoll_client_options{.server = address.c_str(), .retry_ns = 30 * kSecond});
  auto request =
      Sized<plimsoll_request>({.struct_size = 0, .prompt_tokens = 20, .ttl_ns = kSecond});
  auto old = Sized<plimsoll_answer>();
  ASSERT_EQ(plimsoll_client_reserve(client.client, &request, 0, &old, nullptr), PLIMSOLL_OK);
  server->Signal(SIGKILL);
  server->Wait();
  std::thread restarts([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    server = std::make_unique<ServerProcess>(Ledger(address, "10", {"--no-learning"}));
  });
  plimsoll_answer answer;
  Line why;
  EXPECT_EQ(client.Reserve(20, answer, &why), PLIMSOLL_OK) << why.text();
  restarts.join();
  EXPECT_STRNE(answer.reservation_id, old.reservation_id);
  int32_t holds = 1;
  for (int i = 0; i < 1000 && holds == 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_EQ(plimsoll_client_holds(client.client, old.reservation_id, &holds, nullptr),
              PLIMSOLL_OK);
  }
  EXPECT_EQ(holds, 0) << "a renewal found that it is of another life";
}

struct Loss {
  std::string id;
  plimsoll_code code;
};

struct Losses {
  std::mutex mutex;
  std::vector<Loss> all;
};

void Lost(void* context, const char* id, plimsoll_code code, const char* line) {
  auto& losses = *static_cast<Losses*>(context);
  EXPECT_NE(std::string(line).find(id), std::string::npos) << line;
  const std::scoped_lock lock(losses.mutex);
  losses.all.push_back({id, code});
}

// A client that holds a hundred blocks of a ledger that is killed and started again, and a stranger
// who asks for room all the while.
class CClientOfALedger : public testing::TestWithParam<int> {
 protected:
  CClientOfALedger() {
    Start("100", "--no-learning");
    client_ = std::make_unique<CClient>(plimsoll_client_options{.server = address_.c_str(),
                                                                .retry_ns = 30 * kSecond,
                                                                .session = GetParam(),
                                                                .on_lost = Lost,
                                                                .on_lost_context = &losses_});
    for (int i = 0; i < 100; ++i) {
      plimsoll_answer answer;
      EXPECT_EQ(client_->Reserve(16, answer), PLIMSOLL_OK);
      ids_.emplace_back(answer.reservation_id);
    }
  }
  ~CClientOfALedger() override { client_.reset(); }
  void Start(const std::string& blocks, const std::string& learning) {
    server_.reset();  // killed
    server_ = std::make_unique<ServerProcess>(Ledger(address_, blocks, {learning}));
  }
  // Restarts it with so many blocks and waits until so many claims were taken and refused.
  void RestartWith(int64_t blocks, int64_t held, size_t lost) {
    Start(std::to_string(blocks), "--learning");
    CClient stranger(plimsoll_client_options{.server = address_.c_str(), .retry_ns = 30 * kSecond});
    auto answer = Sized<plimsoll_answer>();
    Line why;
    ASSERT_EQ(plimsoll_client_extend(client_->client, ids_[0].c_str(), 16, &answer, &why),
              PLIMSOLL_OK)
        << why.text();
    EXPECT_STREQ(answer.reservation_id, ids_[0].c_str()) << "it goes by the name that it had";
    for (int i = 0; i < 1000; ++i) {
      plimsoll_answer no;
      ASSERT_EQ(stranger.Reserve(16, no), PLIMSOLL_OK);
      ASSERT_EQ(no.decision, PLIMSOLL_WAIT);
      ASSERT_STREQ(plimsoll_client_reason_name(no.reason), "LEARNING");
      const plimsoll_capacity now = stranger.Capacity();
      ASSERT_EQ(now.reserved_blocks, now.reservations);
      ASSERT_EQ(now.reserved_blocks + now.free_blocks, blocks);
      const std::scoped_lock lock(losses_.mutex);
      if (now.reservations == held && losses_.all.size() == lost) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(stranger.Capacity().reservations, held);
    EXPECT_EQ(losses_.all.size(), lost);
  }
  int Held() const {
    int held = 0;
    for (const std::string& id : ids_) {
      int32_t holds = 0;
      EXPECT_EQ(plimsoll_client_holds(client_->client, id.c_str(), &holds, nullptr), PLIMSOLL_OK);
      held += holds;
    }
    return held;
  }

  const TempDir folder_;
  const std::string address_ = "unix:" + folder_.File("socket");
  std::unique_ptr<ServerProcess> server_;
  Losses losses_;
  std::unique_ptr<CClient> client_;
  std::vector<std::string> ids_;
};

TEST_P(CClientOfALedger, ClaimsAllThatItHeldWhenTheServerIsKilled) {
  RestartWith(100, 100, 0);
  EXPECT_EQ(Held(), 100);
  RestartWith(60, 60, 40);
  EXPECT_EQ(Held(), 60);
  for (const Loss& loss : losses_.all) EXPECT_EQ(loss.code, PLIMSOLL_RESOURCE_EXHAUSTED) << loss.id;
  Line why;
  EXPECT_EQ(plimsoll_client_release(client_->client, ids_[0].c_str(), -1, &why), PLIMSOLL_OK)
      << why.text();
  EXPECT_EQ(client_->Capacity().reservations, 59);
}

INSTANTIATE_TEST_SUITE_P(Session, CClientOfALedger, testing::Values(0, 1));

class CClientSecurity : public testing::Test {
 protected:
  plimsoll_client_options Right() const {
    return {.server = address_.c_str(),
            .call_timeout_ns = 10 * kSecond,
            .ca = ca_.c_str(),
            .certificate = ours_.certificate.c_str(),
            .key = ours_.key.c_str(),
            .token = "a-secret-of-sixteen"};
  }
  // The code and the line of a call with such options, of which opening may be the one that fails.
  static std::pair<plimsoll_code, std::string> Call(plimsoll_client_options options) {
    options.struct_size = sizeof options;
    Line why;
    plimsoll_client* client = nullptr;
    plimsoll_code code = plimsoll_client_open(&options, &client, &why);
    if (code != PLIMSOLL_OK) return {code, why.text()};
    auto capacity = Sized<plimsoll_capacity>();
    code = plimsoll_client_get_capacity(client, &capacity, &why);
    EXPECT_EQ(plimsoll_client_close(client, nullptr), PLIMSOLL_OK);
    return {code, code == PLIMSOLL_OK ? "" : why.text()};
  }

  const TempDir folder_;
  const TestAuthority authority_, stranger_;
  const std::string ca_ = authority_.certificate(), other_ca_ = stranger_.certificate();
  const IssuedFiles server_files_ = authority_.Issue("server"), ours_ = authority_.Issue("client");
  const std::string tokens_ = folder_.Write("tokens", "looker:read:a-secret-of-sixteen\n");
  const ServerProcess server_{
      Ledger("127.0.0.1:0", "10",
             {"--tls-certificate", server_files_.certificate, "--tls-key", server_files_.key,
              "--tls-client-ca", ca_, "--tokens", tokens_})};
  const std::string address_ = server_.address();
};

TEST_F(CClientSecurity, AServerWithTlsAndTokensIsServedAndAWrongProofIsALine) {
  using Got = std::pair<plimsoll_code, std::string>;
  EXPECT_EQ(Call(Right()), Got(PLIMSOLL_OK, ""));
  plimsoll_client_options options = Right();
  options.token = "a-guess-of-sixteen";
  EXPECT_EQ(Call(options), Got(PLIMSOLL_UNAUTHENTICATED, "this token is not known"));
  const std::string file = folder_.Write("token", "a-secret-of-sixteen\n");
  options.token_file = file.c_str();
  EXPECT_EQ(Call(options),
            Got(PLIMSOLL_INVALID_ARGUMENT, "token and token_file: want one of the two"));
  options.token = nullptr;
  EXPECT_EQ(Call(options), Got(PLIMSOLL_OK, ""));
  options = Right();
  options.certificate = nullptr;
  EXPECT_EQ(Call(options),
            Got(PLIMSOLL_INVALID_ARGUMENT, "a client's certificate and its key go together"));
  options.key = nullptr;
  EXPECT_EQ(Call(options).first, PLIMSOLL_UNAVAILABLE) << "it asks for a certificate";
  options = Right();
  options.ca = other_ca_.c_str();
  const Got untrusted = Call(options);
  EXPECT_EQ(untrusted.first, PLIMSOLL_UNAVAILABLE);
  EXPECT_NE(untrusted.second.find("no server at " + address_), std::string::npos)
      << untrusted.second;
  EXPECT_EQ(untrusted.second.find('\n'), std::string::npos) << untrusted.second;
  options.ca = "/nonexistent";
  EXPECT_EQ(Call(options),
            Got(PLIMSOLL_INVALID_ARGUMENT, "/nonexistent: is empty or cannot be read"));
  options = {.server = "192.0.2.1:8470", .token = "a-secret-of-sixteen"};
  EXPECT_EQ(Call(options), Got(PLIMSOLL_INVALID_ARGUMENT,
                               "a token for 192.0.2.1:8470 could be read on its way: give ca or "
                               "tls"));
}

TEST(CClientOutage, WithoutAServerOnlyTheSafeCapacityIsGranted) {
  const TempDir folder;
  const std::string nowhere = "unix:" + folder.File("nobody");
  plimsoll_answer answer;
  Line why;
  CClient closed(nowhere);
  EXPECT_EQ(closed.Reserve(20, answer, &why), PLIMSOLL_UNAVAILABLE);
  EXPECT_NE(why.text().find("no server at " + nowhere), std::string::npos) << why.text();

  CClient safe(plimsoll_client_options{
      .server = nowhere.c_str(), .safe_requests = 2, .safe_blocks = 8, .safe_block_tokens = 16});
  ASSERT_EQ(safe.Reserve(100, answer), PLIMSOLL_OK);
  EXPECT_EQ(answer.local, 1);
  EXPECT_EQ(answer.blocks, 7);
  const std::string id = answer.reservation_id;
  EXPECT_EQ(safe.Reserve(17, answer, &why), PLIMSOLL_UNAVAILABLE);
  EXPECT_NE(why.text().find("1 of 2 requests and 7 of 8 blocks are in use"), std::string::npos)
      << why.text();
  answer = Sized<plimsoll_answer>();
  EXPECT_EQ(plimsoll_client_extend(safe.client, id.c_str(), 128, &answer, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(answer.blocks, 8);
  EXPECT_EQ(plimsoll_client_extend(safe.client, id.c_str(), 129, &answer, nullptr),
            PLIMSOLL_UNAVAILABLE);
  EXPECT_EQ(plimsoll_client_release(safe.client, id.c_str(), -1, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(plimsoll_client_extend(safe.client, id.c_str(), 100, &answer, nullptr),
            PLIMSOLL_NOT_FOUND);
  EXPECT_EQ(safe.Reserve(100, answer), PLIMSOLL_OK);
}

}  // namespace
}  // namespace plimsoll
