// The client through its C interface, against real servers.
#include <chrono>
#include <cstddef>
#include <future>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "rpc/c/plimsoll_client.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

template <class Struct>
Struct Sized(Struct value = {}) {
  value.struct_size = sizeof(Struct);
  return value;
}

class Line {
 public:
  plimsoll_text* operator&() { return &text_; }  // NOLINT: as in C
  std::string text() const { return {bytes_.data()}; }

 private:
  std::array<char, 300> bytes_ = {};
  plimsoll_text text_ = {bytes_.data(), bytes_.size(), 0};
};

class CClient {
 public:
  explicit CClient(plimsoll_client_options options) {
    options.struct_size = sizeof options;
    Line why;
    EXPECT_EQ(plimsoll_client_open(&options, &client, &why), PLIMSOLL_OK) << why.text();
  }
  explicit CClient(const std::string& server)
      : CClient(plimsoll_client_options{.server = server.c_str()}) {}
  ~CClient() { EXPECT_EQ(plimsoll_client_close(client, nullptr), PLIMSOLL_OK); }
  CClient(const CClient&) = delete;
  CClient& operator=(const CClient&) = delete;

  plimsoll_code Reserve(int64_t prompt, plimsoll_answer& answer, plimsoll_text* why = nullptr) {
    const auto request = Sized<plimsoll_request>({.struct_size = 0, .prompt_tokens = prompt});
    answer = Sized<plimsoll_answer>();
    return plimsoll_client_reserve(client, &request, 0, &answer, why);
  }
  plimsoll_capacity Capacity() {
    auto capacity = Sized<plimsoll_capacity>();
    Line why;
    EXPECT_EQ(plimsoll_client_get_capacity(client, &capacity, &why), PLIMSOLL_OK) << why.text();
    return capacity;
  }

  plimsoll_client* client = nullptr;
};

std::vector<std::string> Ledger(const std::string& address = "127.0.0.1:0") {
  return {"--device", "none", "--blocks", "10", "--listen", address, "--http", "127.0.0.1:0"};
}

TEST(CClientCalls, ReserveExtendAndRelease) {
  const ServerProcess server(Ledger());
  CClient client(server.address());
  plimsoll_answer answer;
  ASSERT_EQ(client.Reserve(100, answer), PLIMSOLL_OK);
  EXPECT_EQ(answer.blocks, 7);
  EXPECT_EQ(answer.confirmed, 1);
  EXPECT_EQ(answer.local, 0);
  const std::string id = answer.reservation_id;
  int32_t holds = 0;
  ASSERT_EQ(plimsoll_client_holds(client.client, id.c_str(), &holds, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(holds, 1);
  ASSERT_EQ(plimsoll_client_extend(client.client, id.c_str(), 120, &answer, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(answer.blocks, 8);
  ASSERT_EQ(plimsoll_client_renew(client.client, id.c_str(), &answer, nullptr), PLIMSOLL_OK);
  EXPECT_GT(answer.remaining_ns, 20 * kSecond);
  plimsoll_answer no;
  ASSERT_EQ(client.Reserve(40, no), PLIMSOLL_OK);
  EXPECT_EQ(no.decision, PLIMSOLL_WAIT);
  EXPECT_STREQ(plimsoll_client_reason_name(no.reason), "NO_FREE_BLOCKS");
  EXPECT_EQ(client.Capacity().reserved_blocks, 8);
  ASSERT_EQ(plimsoll_client_release(client.client, id.c_str(), 110, nullptr), PLIMSOLL_OK);
  ASSERT_EQ(plimsoll_client_holds(client.client, id.c_str(), &holds, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(holds, 0);
  const plimsoll_capacity capacity = client.Capacity();
  EXPECT_EQ(capacity.free_blocks, 10);
  EXPECT_EQ(capacity.released, 1);
  EXPECT_EQ(id.substr(0, id.find('-')), capacity.epoch);

  std::string text(1000, ' ');
  plimsoll_text info = {text.data(), text.size(), 0};
  ASSERT_EQ(plimsoll_client_server_info(client.client, &info, nullptr), PLIMSOLL_OK);
  EXPECT_NE(text.find("\"mode\":\"ledger\""), std::string::npos) << text;
}

struct Outcome {
  plimsoll_code code;
  int64_t blocks;
};

void Tell(void* context, plimsoll_code code, const plimsoll_answer* answer, const char* line) {
  EXPECT_EQ(code == PLIMSOLL_OK, std::string(line).empty());
  static_cast<std::promise<Outcome>*>(context)->set_value(
      {code, answer == nullptr ? -1 : answer->blocks});
}

TEST(CClientCalls, AnAsynchronousOneIsToldOnce) {
  const ServerProcess server(Ledger());
  CClient client(server.address());
  plimsoll_answer first;
  ASSERT_EQ(client.Reserve(160, first), PLIMSOLL_OK);
  const auto request = Sized<plimsoll_request>({.struct_size = 0, .prompt_tokens = 20});
  std::promise<Outcome> told;
  ASSERT_EQ(
      plimsoll_client_reserve_async(client.client, &request, 60 * kSecond, Tell, &told, nullptr),
      PLIMSOLL_OK);
  auto outcome = told.get_future();
  EXPECT_EQ(outcome.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  ASSERT_EQ(plimsoll_client_release(client.client, first.reservation_id, -1, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(outcome.get().blocks, 2);
}

TEST(CClientCalls, ClosingEndsThoseThatWait) {
  const ServerProcess server(Ledger());
  std::promise<Outcome> told;
  {
    CClient client(server.address());
    plimsoll_answer first;
    ASSERT_EQ(client.Reserve(160, first), PLIMSOLL_OK);
    const auto request = Sized<plimsoll_request>({.struct_size = 0, .prompt_tokens = 20});
    ASSERT_EQ(
        plimsoll_client_reserve_async(client.client, &request, 60 * kSecond, Tell, &told, nullptr),
        PLIMSOLL_OK);
  }
  auto outcome = told.get_future();
  ASSERT_EQ(outcome.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(outcome.get().code, PLIMSOLL_CANCELLED);
}

TEST(CClientCalls, ClosingEndsACallThatAnotherThreadIsIn) {
  const ServerProcess server(Ledger());
  CClient looks(server.address());
  plimsoll_answer first;
  ASSERT_EQ(looks.Reserve(160, first), PLIMSOLL_OK);
  std::promise<Outcome> told;
  std::future<plimsoll_code> blocked;
  {
    CClient client(server.address());
    const auto request = Sized<plimsoll_request>({.struct_size = 0, .prompt_tokens = 20});
    blocked = std::async(std::launch::async, [&request, token = client.client] {
      auto answer = Sized<plimsoll_answer>();
      return plimsoll_client_reserve(token, &request, 60 * kSecond, &answer, nullptr);
    });
    ASSERT_EQ(
        plimsoll_client_reserve_async(client.client, &request, 60 * kSecond, Tell, &told, nullptr),
        PLIMSOLL_OK);
    for (int i = 0; i < 1000 && looks.Capacity().waiting < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    ASSERT_EQ(looks.Capacity().waiting, 2);
  }
  auto outcome = told.get_future();
  ASSERT_EQ(outcome.wait_for(std::chrono::seconds(0)), std::future_status::ready);
  EXPECT_EQ(outcome.get().code, PLIMSOLL_CANCELLED);
  EXPECT_EQ(blocked.get(), PLIMSOLL_CANCELLED);
}

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
    server = std::make_unique<ServerProcess>(Ledger(address));
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

TEST(CClientMisuse, GetsACodeAndALine) {
  Line why;
  plimsoll_client* client = nullptr;
  auto options = Sized<plimsoll_client_options>();
  EXPECT_EQ(plimsoll_client_open(nullptr, &client, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(plimsoll_client_open(&options, nullptr, &why), PLIMSOLL_INVALID_ARGUMENT);
  options.retry_ns = -1;
  EXPECT_EQ(plimsoll_client_open(&options, &client, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "retry_ns=-1: want 0 or more nanoseconds");
  options.retry_ns = 0;
  options.safe_blocks = -1;
  EXPECT_EQ(plimsoll_client_open(&options, &client, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "safe_blocks=-1: want 0 to 2^40");
  options.safe_blocks = 0;
  options.server = "nowhere";
  EXPECT_EQ(plimsoll_client_open(&options, &client, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_NE(why.text().find("server"), std::string::npos) << why.text();

  auto capacity = Sized<plimsoll_capacity>();
  EXPECT_EQ(plimsoll_client_get_capacity(nullptr, &capacity, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "client: null, closed or no client");
  plimsoll_client* stale = nullptr;
  {
    CClient open("127.0.0.1:1");
    stale = open.client;
    plimsoll_answer answer;
    EXPECT_EQ(open.Reserve(0, answer), PLIMSOLL_INVALID_ARGUMENT);
    EXPECT_EQ(plimsoll_client_get_capacity(stale, nullptr, nullptr), PLIMSOLL_INVALID_ARGUMENT);
    EXPECT_EQ(plimsoll_client_release(stale, "x", -2, nullptr), PLIMSOLL_INVALID_ARGUMENT);
    EXPECT_EQ(plimsoll_client_reserve_async(stale, nullptr, 0, Tell, nullptr, nullptr),
              PLIMSOLL_INVALID_ARGUMENT);
  }
  EXPECT_EQ(plimsoll_client_get_capacity(stale, &capacity, nullptr), PLIMSOLL_INVALID_ARGUMENT);
}

TEST(CClientExports, AreWhatTheHeaderDeclares) {
  const std::string text = ReadFile(std::string(PLIMSOLL_SOURCE_DIR) + "/rpc/c/plimsoll_client.h");
  const std::regex kFunction(R"(PLIMSOLL_CLIENT_API [a-z0-9_ ]+\*? ?(plimsoll_[a-z_]+)\()");
  std::set<std::string> declared, exported;
  for (std::sregex_iterator i(text.begin(), text.end(), kFunction), end; i != end; ++i) {
    declared.insert((*i)[1]);
  }
  EXPECT_GT(declared.size(), 10u);
  const ProgramResult nm =
      RunProgram({"nm", "-D", "--defined-only",
                  std::string(PLIMSOLL_BINARY_DIR) + "/bin/libplimsoll_client.so"});
  std::istringstream lines(nm.out);
  for (std::string address, kind, name; lines >> address >> kind >> name;) exported.insert(name);
  EXPECT_EQ(exported, declared);
  EXPECT_EQ(sizeof(plimsoll_client_options), 64u);
  EXPECT_EQ(sizeof(plimsoll_capacity), 288u);
  EXPECT_EQ(plimsoll_client_version(), 0x10000u);
}

TEST(CClientExample, Runs) {
  std::vector<std::string> arguments = Ledger();
  arguments[3] = "1000";
  const ServerProcess server(arguments);
  const ProgramResult run =
      RunProgram({std::string(PLIMSOLL_BINARY_DIR) + "/tests/c_client_example", server.address()});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "100 blocks promised\n");
}

}  // namespace
}  // namespace plimsoll
