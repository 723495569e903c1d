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
#include "tests/rpc/c/c_client.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

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

// A program that was compiled with the first header says so by the size of its options.
TEST(CClientVersions, AnOlderProgramsOptionsAreTaken) {
  const ServerProcess server(Ledger());
  const std::string address = server.address();
  plimsoll_client_options options = {.server = address.c_str(), .retry_waits = 7};
  options.struct_size = offsetof(plimsoll_client_options, ca);
  plimsoll_client* client = nullptr;
  ASSERT_EQ(plimsoll_client_open(&options, &client, nullptr), PLIMSOLL_OK);
  auto capacity = Sized<plimsoll_capacity>();
  EXPECT_EQ(plimsoll_client_get_capacity(client, &capacity, nullptr), PLIMSOLL_OK);
  EXPECT_EQ(plimsoll_client_close(client, nullptr), PLIMSOLL_OK);
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
  const std::regex kFunction(R"(PLIMSOLL_CLIENT_API [a-z0-9_\s]+\*? ?(plimsoll_[a-z_]+)\()");
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
  EXPECT_EQ(offsetof(plimsoll_client_options, ca), 64u) << "that of version 1.0";
  EXPECT_EQ(sizeof(plimsoll_client_options), 136u);
  EXPECT_EQ(sizeof(plimsoll_capacity), 288u);
  EXPECT_EQ(sizeof(plimsoll_operation), 48u);
  EXPECT_EQ(sizeof(plimsoll_outcome), 432u);
  EXPECT_EQ(offsetof(plimsoll_outcome, answer), 208u) << "it comes last: it grows";
  EXPECT_EQ(plimsoll_client_version(), 0x10002u);
}

TEST(CClientLinking, NoProgramIsMadeThatHasTheMessagesTwice) {
  const TempDir folder;
  const auto made_of = [&](const std::string& targets) {
    return RunProgram({"cmake", "-S", std::string(PLIMSOLL_SOURCE_DIR) + "/tests/rpc/c/linking",
                       "-B", folder.File("build"), "-DTARGETS=" + targets,
                       std::string("-DPLIMSOLL_SOURCE_DIR=") + PLIMSOLL_SOURCE_DIR});
  };
  for (const char* const targets : {"client", "rpc;proto"}) {
    const ProgramResult made = made_of(targets);
    EXPECT_EQ(made.exit_code, 0) << made.err;
  }
  for (const char* const targets : {"client;rpc", "proto;client"}) {
    const ProgramResult refused = made_of(targets);
    EXPECT_NE(refused.exit_code, 0) << targets;
    EXPECT_NE(refused.err.find("PLIMSOLL_WIRE"), std::string::npos) << refused.err;
  }
}

TEST(CClientExample, Runs) {
  std::vector<std::string> arguments = Ledger();
  arguments[3] = "1000";
  const ServerProcess server(arguments);
  const ProgramResult run =
      RunProgram({std::string(PLIMSOLL_BINARY_DIR) + "/tests/c_client_example", server.address()});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out, "100 blocks promised\n");
  const ProgramResult batch = RunProgram(
      {std::string(PLIMSOLL_BINARY_DIR) + "/tests/c_client_batch_example", server.address()});
  EXPECT_EQ(batch.exit_code, 0) << batch.err;
  EXPECT_EQ(batch.out, "3 reservations\n125 blocks promised\n");
}

}  // namespace
}  // namespace plimsoll
