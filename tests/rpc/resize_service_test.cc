// ResizePool over the wire.
#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "rpc/bounds.h"
#include "rpc/convert_admin.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

class ResizeService : public testing::Test {
 protected:
  ResizeService() : server_({.blocks = Blocks(100), .most = Blocks(120)}) {
    server_.Start();
    client_ = server_.Connect();
  }
  TestServer server_;
  std::unique_ptr<Client> client_;
};

TEST_F(ResizeService, SaysWhatBecameOfThePoolWhichEverybodySees) {
  Granted(client_->Reserve(RequestOf(160, 0)));
  const auto resized = client_->ResizePool(Blocks(40));
  ASSERT_TRUE(resized.ok()) << resized.status();
  EXPECT_EQ(*resized, (PoolResized{.before = Blocks(100), .now = Blocks(40)}));
  EXPECT_EQ(client_->GetCapacity()->snapshot.headroom, Blocks(30));
  EXPECT_TRUE(client_->ResizePool(Blocks(120)).ok());
  Granted(client_->Reserve(RequestOf(16 * 110, 0)));
}

TEST_F(ResizeService, BytesAreAsManyBlocksAsFit) {
  EXPECT_EQ(client_->ResizePool(Bytes(1000 * 41 + 999))->now, Blocks(41));
}

TEST_F(ResizeService, RefusalsSayTheNumbers) {
  Granted(client_->Reserve(RequestOf(160, 0)));
  const absl::Status held = client_->ResizePool(Blocks(9)).status();
  EXPECT_EQ(held.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(held.message().find("a pool of 9 blocks is too small: it needs at least 10"), 0)
      << held;
  for (const PoolSize& wrong : {PoolSize(Blocks(0)), PoolSize(Blocks(121)), PoolSize(Bytes(0)),
                                PoolSize(Bytes(999)), PoolSize(Bytes(1000 * 121))}) {
    const absl::Status status = client_->ResizePool(wrong).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  }
  EXPECT_EQ(server_.Now().blocks.total, Blocks(100));
}

TEST(ResizeRequest, WantsOneSizeThatMeansSomething) {
  EXPECT_EQ(TotalBlocksFrom({}, Bytes(1000)).status().message(),
            "size: want total_blocks or pool_bytes");
  EXPECT_EQ(*TotalBlocksFrom(ToWire(PoolSize(Bytes(2999))), Bytes(1000)), Blocks(2));
  const absl::Status status = TotalBlocksFrom(ToWire(PoolSize(Bytes(2999))), Bytes(0)).status();
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_EQ(status.message().find("pool_bytes=2999: want total_blocks"), 0) << status;
}

// A server that was not told how.
TEST(ResizeServiceWithout, IsUnimplemented) {
  TestServer base;
  const auto server = Server::Start(
      {.listen = {"127.0.0.1:0"}, .info = {.version = "", .epoch = "e", .model = "", .device = ""}},
      base.admission(), base.clock, nullptr);
  ASSERT_TRUE(server.ok()) << server.status();
  const auto client =
      std::move(Client::Create(PatientOptions((*server)->addresses().front()))).value();
  EXPECT_TRUE(absl::IsUnimplemented(client->ResizePool(Blocks(4)).status()));
}

TEST(ServerMemory, IsAsItIsNow) {
  TestServer base;
  std::atomic<int64_t> pool = 1;
  const auto server =
      Server::Start({.listen = {"127.0.0.1:0"},
                     .info = {.version = "", .epoch = "e", .model = "", .device = ""},
                     .memory =
                         [&] {
                           return std::vector<MemoryStage>{{"pool", Bytes(1), Bytes(pool)}};
                         }},
                    base.admission(), base.clock, nullptr);
  ASSERT_TRUE(server.ok()) << server.status();
  const auto client =
      std::move(Client::Create(PatientOptions((*server)->addresses().front()))).value();
  EXPECT_EQ(client->GetServerInfo()->memory.at(0).measured, Bytes(1));
  pool = 2;
  EXPECT_EQ(client->GetServerInfo()->memory.at(0).measured, Bytes(2));
}

}  // namespace
}  // namespace plimsoll
