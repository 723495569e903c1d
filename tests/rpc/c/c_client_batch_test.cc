// Batches through the C interface of the client, against real servers.
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/rpc/c/c_client.h"
#include "tests/support/temp_dir.h"
#include "tests/tools/server_process.h"

namespace plimsoll {
namespace {

plimsoll_request RequestFor(int64_t tokens) {
  return Sized<plimsoll_request>({.struct_size = 0, .prompt_tokens = tokens});
}
plimsoll_operation Reserving(const plimsoll_request& request) {
  return Sized<plimsoll_operation>(
      {.struct_size = 0, .action = PLIMSOLL_RESERVE, .request = &request});
}
plimsoll_operation Extending(const char* id, int64_t total) {
  return Sized<plimsoll_operation>(
      {.struct_size = 0, .action = PLIMSOLL_EXTEND, .reservation_id = id, .total_tokens = total});
}
plimsoll_operation Releasing(const char* id) {
  return Sized<plimsoll_operation>(
      {.struct_size = 0, .action = PLIMSOLL_RELEASE, .reservation_id = id});
}

// A client of ten blocks, by renewals or by a session.
class CClientBatch : public testing::TestWithParam<int> {
 protected:
  std::vector<plimsoll_outcome> Batch(const std::vector<plimsoll_operation>& operations) {
    std::vector<plimsoll_outcome> outcomes(operations.size(), Sized<plimsoll_outcome>());
    Line why;
    EXPECT_EQ(plimsoll_client_batch(client_.client, operations.data(), operations.size(),
                                    outcomes.data(), &why),
              PLIMSOLL_OK)
        << why.text();
    return outcomes;
  }
  plimsoll_code ReserveAll(const std::vector<int64_t>& tokens, plimsoll_text* why = nullptr) {
    std::vector<plimsoll_request> requests;
    for (const int64_t each : tokens) requests.push_back(RequestFor(each));
    answers_.assign(tokens.size(), Sized<plimsoll_answer>({.struct_size = 0, .blocks = -1}));
    return plimsoll_client_reserve_all(client_.client, requests.data(), requests.size(),
                                       answers_.data(), &refused_, why);
  }
  int32_t Holds(const char* id) {
    int32_t holds = -1;
    EXPECT_EQ(plimsoll_client_holds(client_.client, id, &holds, nullptr), PLIMSOLL_OK);
    return holds;
  }

  const ServerProcess server_{Ledger()};
  CClient client_{plimsoll_client_options{
      .server = server_.address().c_str(), .retry_ns = 10 * kSecond, .session = GetParam()}};
  std::vector<plimsoll_answer> answers_;
  size_t refused_ = 99;
};

TEST_P(CClientBatch, HasAnOutcomeForEachInItsOrder) {
  plimsoll_answer first;
  ASSERT_EQ(client_.Reserve(64, first), PLIMSOLL_OK);
  const plimsoll_request small = RequestFor(16), large = RequestFor(96);
  const auto outcomes =
      Batch({Reserving(large), Extending(first.reservation_id, 80), Releasing(first.reservation_id),
             Reserving(small), Releasing("no-such-epoch-1"), Reserving(large)});
  EXPECT_EQ(outcomes[0].answer.blocks, 6);
  EXPECT_EQ(outcomes[0].answer.confirmed, 1);
  EXPECT_EQ(outcomes[1].code, PLIMSOLL_OK);
  EXPECT_EQ(outcomes[1].answer.decision, PLIMSOLL_WAIT);
  EXPECT_EQ(outcomes[1].answer.missing_blocks, 1);
  EXPECT_EQ(outcomes[2].code, PLIMSOLL_OK);
  EXPECT_EQ(outcomes[3].answer.blocks, 1);
  EXPECT_NE(outcomes[4].code, PLIMSOLL_OK);
  EXPECT_NE(std::string(outcomes[4].line), "");
  EXPECT_EQ(outcomes[5].answer.decision, PLIMSOLL_WAIT) << "those before it have the room";
  EXPECT_EQ(client_.Capacity().reserved_blocks, 7);
  EXPECT_EQ(Holds(outcomes[0].answer.reservation_id), 1);
  EXPECT_EQ(Holds(first.reservation_id), 0);
  Batch(
      {Releasing(outcomes[0].answer.reservation_id), Releasing(outcomes[3].answer.reservation_id)});
  EXPECT_EQ(client_.Capacity().free_blocks, 10);
}

TEST_P(CClientBatch, AllAreReservedOrNone) {
  Line why;
  ASSERT_EQ(ReserveAll({16, 32, 48}, &why), PLIMSOLL_OK) << why.text();
  EXPECT_EQ(refused_, 3u);
  EXPECT_EQ(answers_[2].blocks, 3);
  EXPECT_EQ(client_.Capacity().reserved_blocks, 6);
  for (const plimsoll_answer& its : answers_) EXPECT_EQ(Holds(its.reservation_id), 1);
  const std::vector<plimsoll_answer> held = answers_;
  ASSERT_EQ(ReserveAll({16, 64, 16}), PLIMSOLL_OK);
  EXPECT_EQ(refused_, 1u);
  EXPECT_EQ(answers_[1].decision, PLIMSOLL_WAIT);
  EXPECT_EQ(answers_[1].missing_blocks, 1);
  EXPECT_EQ(answers_[0].blocks, -1) << "not set";
  EXPECT_EQ(client_.Capacity().reserved_blocks, 6);
  std::vector<plimsoll_operation> releases;
  for (const plimsoll_answer& its : held) releases.push_back(Releasing(its.reservation_id));
  Batch(releases);
  EXPECT_EQ(client_.Capacity().free_blocks, 10);
}

TEST_P(CClientBatch, MisuseGetsACodeAndALineAndDoesNothing) {
  const plimsoll_request good = RequestFor(16), bad = RequestFor(0);
  std::vector<plimsoll_operation> operations = {Reserving(good), Reserving(bad)};
  std::vector<plimsoll_outcome> outcomes(257, Sized<plimsoll_outcome>());
  const auto line_of = [&](size_t count) {
    Line why;
    EXPECT_EQ(
        plimsoll_client_batch(client_.client, operations.data(), count, outcomes.data(), &why),
        PLIMSOLL_INVALID_ARGUMENT);
    return why.text();
  };
  EXPECT_EQ(line_of(0), "count=0: want 1 to 256");
  EXPECT_EQ(line_of(257), "count=257: want 1 to 256");
  EXPECT_EQ(line_of(2), "operations[1]: prompt_tokens=0: want 1 to 1099511627776");
  operations[1] = Extending("e-1", 0);
  EXPECT_EQ(line_of(2), "operations[1]: total_tokens=0: want 1 to 1099511627776");
  operations[1] = Releasing("e-1");
  operations[1].used_tokens = -1;
  EXPECT_EQ(line_of(2), "operations[1]: used_tokens=-1: want 0 to 1099511627776");
  operations[1].action = 4;
  EXPECT_EQ(line_of(2), "operations[1]: action=4: want 1 to 3");
  operations[1] = Sized<plimsoll_operation>({.struct_size = 0, .action = PLIMSOLL_RESERVE});
  EXPECT_EQ(line_of(2), "operations[1]: request=null: want a pointer");
  operations[1].struct_size += 8;
  EXPECT_EQ(line_of(2), "operations[1].struct_size=56: want that of the first, 48");
  operations[0].struct_size = operations[1].struct_size = 12;
  EXPECT_EQ(line_of(2), "operations.struct_size=12: want sizeof the structure");
  operations[0] = operations[1] = Reserving(good);
  outcomes[1].struct_size = 0;
  EXPECT_EQ(line_of(2), "outcomes[1].struct_size=0: want that of the first, 432");
  EXPECT_EQ(plimsoll_client_batch(client_.client, operations.data(), 2, nullptr, nullptr),
            PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(plimsoll_client_batch(client_.client, nullptr, 2, outcomes.data(), nullptr),
            PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(plimsoll_client_batch(nullptr, operations.data(), 2, outcomes.data(), nullptr),
            PLIMSOLL_INVALID_ARGUMENT);
  Line why;
  EXPECT_EQ(ReserveAll({16, 0}, &why), PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(why.text(), "requests[1]: prompt_tokens=0: want 1 to 1099511627776");
  EXPECT_EQ(
      plimsoll_client_reserve_all(client_.client, &good, 1, answers_.data(), nullptr, nullptr),
      PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(plimsoll_client_reserve_all(client_.client, &good, 1, nullptr, &refused_, nullptr),
            PLIMSOLL_INVALID_ARGUMENT);
  EXPECT_EQ(client_.Capacity().admitted, 0);
}

// A program of a newer version of the header, whose structures are larger, and one whose outcomes
// have less of an answer than ours.
TEST_P(CClientBatch, StructuresLieAsFarApartAsTheirSizeSays) {
  struct Newer {
    plimsoll_operation known;
    int64_t more;
  };
  const plimsoll_request request = RequestFor(16);
  std::vector<Newer> operations(3, {.known = Reserving(request), .more = 0});
  for (Newer& each : operations) each.known.struct_size = sizeof each;
  constexpr size_t kOlder = offsetof(plimsoll_outcome, answer) + offsetof(plimsoll_answer, ttl_ns);
  std::vector<char> bytes(3 * kOlder + 8, '#');
  plimsoll_outcome outcome = Sized<plimsoll_outcome>();
  outcome.struct_size = kOlder;
  for (size_t i = 0; i < 3; ++i) std::memcpy(&bytes[i * kOlder], &outcome, kOlder);
  ASSERT_EQ(plimsoll_client_batch(client_.client, &operations[0].known, 3,
                                  reinterpret_cast<plimsoll_outcome*>(bytes.data()), nullptr),
            PLIMSOLL_OK);
  for (size_t i = 0; i < 3; ++i) {
    std::memcpy(&outcome, &bytes[i * kOlder], kOlder);
    EXPECT_EQ(outcome.struct_size, kOlder);
    EXPECT_EQ(outcome.code, PLIMSOLL_OK);
    EXPECT_EQ(outcome.answer.blocks, 1);
  }
  EXPECT_EQ(std::string(bytes.end() - 8, bytes.end()), "########") << "not ours to write to";
  operations[2].more = 1;
  EXPECT_EQ(plimsoll_client_batch(client_.client, &operations[0].known, 3,
                                  reinterpret_cast<plimsoll_outcome*>(bytes.data()), nullptr),
            PLIMSOLL_INVALID_ARGUMENT);
}

INSTANTIATE_TEST_SUITE_P(Session, CClientBatch, testing::Values(0, 1));

TEST(CClientOutageBatch, WithoutAServerEachIsAsItWouldBeAlone) {
  const TempDir folder;
  const std::string nowhere = "unix:" + folder.File("nobody");
  CClient safe(plimsoll_client_options{
      .server = nowhere.c_str(), .safe_requests = 2, .safe_blocks = 8, .safe_block_tokens = 16});
  plimsoll_answer held;
  ASSERT_EQ(safe.Reserve(64, held), PLIMSOLL_OK);
  const plimsoll_request request = RequestFor(64);
  const std::vector<plimsoll_operation> operations = {Extending(held.reservation_id, 128),
                                                      Releasing(held.reservation_id),
                                                      Reserving(request), Releasing("e1-1")};
  std::vector<plimsoll_outcome> outcomes(4, Sized<plimsoll_outcome>());
  ASSERT_EQ(plimsoll_client_batch(safe.client, operations.data(), 4, outcomes.data(), nullptr),
            PLIMSOLL_OK);
  EXPECT_EQ(outcomes[0].answer.blocks, 8);
  EXPECT_EQ(outcomes[1].code, PLIMSOLL_OK);
  EXPECT_EQ(outcomes[2].answer.local, 1);
  EXPECT_EQ(outcomes[2].answer.blocks, 4);
  EXPECT_EQ(outcomes[3].code, PLIMSOLL_UNAVAILABLE);
  EXPECT_EQ(std::string(outcomes[3].line).find("no server at unix:"), 0u) << outcomes[3].line;
  auto answer = Sized<plimsoll_answer>();
  size_t refused = 0;
  EXPECT_EQ(plimsoll_client_reserve_all(safe.client, &request, 1, &answer, &refused, nullptr),
            PLIMSOLL_UNAVAILABLE);
}

}  // namespace
}  // namespace plimsoll
