// Batches of operations over a real socket.
#include <gtest/gtest.h>

#include "plimsoll/v1/admission.grpc.pb.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

// 100 blocks of 16 tokens.
class BatchService : public testing::Test {
 protected:
  BatchService() {
    server_.Start();
    stub_ = v1::AdmissionService::NewStub(ChannelTo(server_.address()));
  }

  static v1::ReserveCapacityRequest* AddReserve(v1::BatchReserveCapacityRequest& batch, uint64_t id,
                                                int64_t blocks) {
    v1::Operation* const operation = batch.add_operations();
    operation->set_id(id);
    operation->mutable_reserve()->set_prompt_tokens(16 * blocks);
    return operation->mutable_reserve();
  }
  static void AddRelease(v1::BatchReserveCapacityRequest& batch, uint64_t id,
                         const std::string& reservation) {
    v1::Operation* const operation = batch.add_operations();
    operation->set_id(id);
    operation->mutable_release()->set_reservation_id(reservation);
  }
  grpc::Status Send(const v1::BatchReserveCapacityRequest& batch) {
    grpc::ClientContext context;
    answer_.Clear();
    return stub_->BatchReserveCapacity(&context, batch, &answer_);
  }
  const v1::OperationResult& Result(int i) const { return answer_.results(i); }

  TestServer server_;
  std::unique_ptr<v1::AdmissionService::Stub> stub_;
  v1::BatchReserveCapacityResponse answer_;
};

TEST_F(BatchService, DoesEachInOrderAndAnswersInOrder) {
  v1::BatchReserveCapacityRequest batch;
  AddReserve(batch, 7, 60);
  AddReserve(batch, 5, 60);
  AddReserve(batch, 5, 40);
  AddRelease(batch, 9, "e1-1");
  AddReserve(batch, 1, 101);
  AddReserve(batch, 2, 0);
  v1::Operation* const extend = batch.add_operations();
  extend->mutable_extend()->set_reservation_id("e1-2");
  extend->mutable_extend()->set_total_tokens(16 * 41);
  AddRelease(batch, 11, "e0-1");
  batch.add_operations();
  ASSERT_TRUE(Send(batch).ok());
  ASSERT_EQ(answer_.results_size(), 9);
  EXPECT_EQ(Result(0).id(), 7u);
  EXPECT_EQ(Result(0).reservation().reservation_id(), "e1-1");
  EXPECT_EQ(Result(1).rejection().missing_blocks(), 20);
  EXPECT_EQ(Result(2).id(), 5u);
  EXPECT_EQ(Result(2).reservation().reservation_id(), "e1-2");
  EXPECT_TRUE(Result(3).has_released());
  EXPECT_EQ(Result(4).rejection().reason(), v1::REASON_NEVER_FITS);
  EXPECT_EQ(Result(5).error().code(), grpc::INVALID_ARGUMENT);
  EXPECT_EQ(Result(5).error().message(), "prompt_tokens=0: want 1 to 1099511627776");
  EXPECT_EQ(Result(6).reservation().blocks(), 41);
  EXPECT_EQ(Result(7).error().code(), grpc::FAILED_PRECONDITION);
  EXPECT_EQ(Result(8).error().message(), "action: want reserve, extend or release");
  EXPECT_EQ(server_.Now().blocks.reserved, Blocks(41));
  EXPECT_EQ(answer_.revision(), server_.Now().revision);
}

TEST_F(BatchService, AllOfThemWhereAllFit) {
  v1::BatchReserveCapacityRequest batch;
  batch.set_all_or_nothing(true);
  for (uint64_t i = 0; i < 4; ++i) AddReserve(batch, i, 25);
  ASSERT_TRUE(Send(batch).ok());
  ASSERT_EQ(answer_.results_size(), 4);
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Result(i).id(), static_cast<uint64_t>(i));
    EXPECT_EQ(Result(i).reservation().blocks(), 25);
    EXPECT_FALSE(Result(i).reservation().confirmed());
  }
  EXPECT_EQ(server_.Now().blocks.free, Blocks(0));
}

TEST_F(BatchService, NothingWhereOneDoesNotFit) {
  v1::BatchReserveCapacityRequest batch;
  batch.set_all_or_nothing(true);
  AddReserve(batch, 1, 50)->set_request_id("again");
  AddReserve(batch, 2, 51);
  AddReserve(batch, 3, 1);
  ASSERT_TRUE(Send(batch).ok());
  EXPECT_EQ(Result(0).error().code(), grpc::ABORTED);
  EXPECT_EQ(Result(0).error().message(), "operations[1] was refused, so nothing was reserved");
  EXPECT_EQ(Result(1).rejection().missing_blocks(), 1);
  EXPECT_EQ(Result(2).error().code(), grpc::ABORTED);
  EXPECT_TRUE(server_.AllFree());
  EXPECT_EQ(server_.Now().admitted, 0) << "as if it had never been";
  EXPECT_EQ(server_.Now().refused_wait, 1);

  batch.mutable_operations(1)->mutable_reserve()->set_prompt_tokens(16 * 49);
  ASSERT_TRUE(Send(batch).ok());
  EXPECT_EQ(Result(0).reservation().blocks(), 50) << "its id is free for another try";
  EXPECT_EQ(server_.Now().blocks.free, Blocks(0));
}

TEST_F(BatchService, ARepeatOfABatchGivesTheSame) {
  v1::BatchReserveCapacityRequest batch;
  AddReserve(batch, 1, 10)->set_request_id("a");
  AddReserve(batch, 2, 10)->set_request_id("b");
  for (const bool all : {false, true}) {
    batch.set_all_or_nothing(all);
    ASSERT_TRUE(Send(batch).ok());
    EXPECT_EQ(Result(0).reservation().reservation_id(), "e1-1");
    EXPECT_EQ(Result(1).reservation().reservation_id(), "e1-2");
  }
  EXPECT_EQ(server_.Now().reservations, 2);
}

TEST_F(BatchService, BadBatchesAreRefusedByNameAndDoNothing) {
  const auto refusal = [&](const v1::BatchReserveCapacityRequest& batch) {
    const grpc::Status status = Send(batch);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_TRUE(server_.AllFree());
    return status.error_message();
  };
  v1::BatchReserveCapacityRequest batch;
  EXPECT_EQ(refusal(batch), "number of operations=0: want 1 to 256");
  for (uint64_t i = 0; i < 257; ++i) AddReserve(batch, i, 1);
  EXPECT_EQ(refusal(batch), "number of operations=257: want 1 to 256");

  batch.Clear();
  batch.set_all_or_nothing(true);
  AddReserve(batch, 1, 1);
  AddReserve(batch, 2, -1);
  EXPECT_EQ(refusal(batch), "operations[1]: prompt_tokens=-16: want 1 to 1099511627776");
  AddReserve(batch, 2, 1)->set_validate_only(true);
  batch.mutable_operations()->DeleteSubrange(1, 1);
  EXPECT_EQ(refusal(batch),
            "operations[1]: want a reservation, not validate_only, where all_or_nothing is set");
  batch.mutable_operations(1)->mutable_reserve()->set_validate_only(false);
  batch.mutable_operations(1)->mutable_reserve()->mutable_max_wait()->set_seconds(1);
  EXPECT_EQ(refusal(batch),
            "operations[1]: max_wait: want 0 in a batch, which is answered at once");
}

TEST_F(BatchService, AskingInABatchReservesNothing) {
  v1::BatchReserveCapacityRequest batch;
  AddReserve(batch, 1, 10)->set_validate_only(true);
  ASSERT_TRUE(Send(batch).ok());
  EXPECT_EQ(Result(0).reservation().blocks(), 10);
  EXPECT_EQ(Result(0).reservation().reservation_id(), "");
  EXPECT_TRUE(server_.AllFree());
}

}  // namespace
}  // namespace plimsoll
