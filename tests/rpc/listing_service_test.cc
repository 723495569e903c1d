// ListReservations, ListTenants and PlanCapacity over the wire.
#include <gtest/gtest.h>

#include "plimsoll/v1/capacity.grpc.pb.h"
#include "rpc/convert_listing.h"
#include "rpc/operator_client.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

class ListingService : public testing::Test {
 protected:
  ListingService() {
    server_.Start();
    client_ = server_.Connect();
    operator_ = std::move(OperatorClient::Create({.server = server_.address()})).value();
  }

  std::string Hold(const std::string& tenant, int64_t blocks) {
    ReservationRequest request = RequestOf(16 * blocks - 8, 8);
    request.tenant = tenant;
    return Granted(client_->Reserve(request)).id;
  }
  ReservationPage Page(const PageWanted& wanted, const HoldingFilter& filter = {}) {
    return operator_->ListReservations(wanted, filter).value();
  }
  absl::Status Fault(const PageWanted& wanted, const HoldingFilter& filter = {}) {
    return operator_->ListReservations(wanted, filter).status();
  }

  TestServer server_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<OperatorClient> operator_;
};

TEST_F(ListingService, ShowsWhoHoldsWhat) {
  const std::string first = Hold("a", 3);
  server_.clock.Advance(std::chrono::seconds(4));
  const std::string second = Hold("b", 5);
  const ReservationPage page = Page({});
  ASSERT_EQ(page.reservations.size(), 2u);
  EXPECT_EQ(page.next_token, "");
  const Holding& oldest = page.reservations[0];
  EXPECT_EQ(oldest.id, first);
  EXPECT_EQ(oldest.tenant, "a");
  EXPECT_EQ(oldest.state, HoldingState::kHeld) << "the client confirmed it";
  EXPECT_EQ(oldest.age, std::chrono::seconds(4));
  EXPECT_EQ(oldest.remaining, std::chrono::seconds(26));
  EXPECT_EQ(oldest.prompt_tokens, Tokens(40));
  EXPECT_EQ(oldest.max_new_tokens, Tokens(8));
  EXPECT_EQ(oldest.blocks, Blocks(3));
  EXPECT_FALSE(oldest.may_stop);
  EXPECT_EQ(page.reservations[1].id, second);
  EXPECT_EQ(Page({}, {.tenant = "b"}).reservations.at(0).id, second);
  EXPECT_EQ(Page({}, {.tenant = "nobody"}).reservations.size(), 0u);
  EXPECT_EQ(Page({}, {.state = HoldingState::kRunning}).reservations.size(), 0u);
  EXPECT_EQ(Page({}, {.state = HoldingState::kHeld}).reservations.size(), 2u);
}

TEST_F(ListingService, PagesAreOfOneQuestion) {
  for (int i = 0; i < 5; ++i) Hold("a", 1);
  std::vector<std::string> seen;
  PageWanted wanted{.size = 2};
  do {
    const ReservationPage page = Page(wanted);
    ASSERT_LE(page.reservations.size(), 2u);
    for (const Holding& each : page.reservations) seen.push_back(each.id);
    wanted.token = page.next_token;
  } while (!wanted.token.empty());
  EXPECT_EQ(seen, (std::vector<std::string>{"e1-1", "e1-2", "e1-3", "e1-4", "e1-5"}));
  const std::string token = Page({.size = 2}).next_token;
  EXPECT_EQ(Page({.size = 2, .token = token}).reservations.at(0).id, "e1-3");
  for (const absl::Status& fault :
       {Fault({.token = token}, {.tenant = "a"}), Fault({.token = token + "0"}),
        Fault({.token = "-" + token}), Fault({.token = std::string(5000, 'f')})}) {
    EXPECT_TRUE(absl::IsInvalidArgument(fault)) << fault;
    EXPECT_EQ(fault.message().find("page_token"), 0u) << fault;
  }
}

TEST_F(ListingService, RefusesWhatIsOutOfRange) {
  for (const int64_t size : {-1, 1001}) {
    const absl::Status fault = Fault({.size = size});
    EXPECT_TRUE(absl::IsInvalidArgument(fault));
    EXPECT_EQ(fault.message().find("page_size"), 0u) << fault;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Fault({}, {.tenant = std::string(129, 'x')})));
  v1::ListReservationsRequest unknown;
  unknown.set_state(static_cast<v1::ReservationState>(77));
  const absl::Status fault = FilterFrom(unknown).status();
  EXPECT_EQ(fault.message(), "state=77: want a value of this version");
}

TEST_F(ListingService, AnotherServerLifeRefusesTheToken) {
  for (int i = 0; i < 3; ++i) Hold("a", 1);
  const std::string token = Page({.size = 1}).next_token;
  TestServer next({.epoch = "e2"});
  next.Start();
  const auto other = std::move(OperatorClient::Create({.server = next.address()})).value();
  EXPECT_TRUE(absl::IsInvalidArgument(other->ListReservations({.token = token}).status()));
}

TEST_F(ListingService, ListsTenantsByName) {
  Hold("b", 3);
  Hold("a", 2);
  ASSERT_TRUE(client_->Release(Hold("a", 1)).ok());
  const TenantPage all = operator_->ListTenants({}).value();
  ASSERT_EQ(all.tenants.size(), 3u);
  EXPECT_TRUE(all.departed) << "the last row";
  EXPECT_EQ(all.tenants[0].tenant, "a");
  EXPECT_EQ(all.tenants[0].blocks, Blocks(2));
  EXPECT_EQ(all.tenants[0].reservations, 1);
  EXPECT_EQ(all.tenants[0].admitted, 2);
  EXPECT_EQ(all.tenants[0].released, 1);
  EXPECT_EQ(all.tenants[0].quota.most, TenantQuota().most) << "nothing bounds it";
  EXPECT_EQ(all.tenants[1].tenant, "b");
  const TenantPage first = operator_->ListTenants({.size = 1}).value();
  ASSERT_EQ(first.tenants.size(), 1u);
  EXPECT_FALSE(first.departed);
  const TenantPage second = operator_->ListTenants({.size = 1, .token = first.next_token}).value();
  ASSERT_EQ(second.tenants.size(), 2u);
  EXPECT_EQ(second.tenants[0].tenant, "b");
  EXPECT_EQ(second.next_token, "");
  EXPECT_TRUE(absl::IsInvalidArgument(operator_->ListTenants({.token = "x"}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(operator_->ListTenants({.size = 1001}).status()));
}

TEST_F(ListingService, WithoutAPlannerThereIsNoPlan) {
  EXPECT_TRUE(absl::IsUnimplemented(operator_->Plan({}).status()));
}

// What a planner is asked is what was asked.
TEST(PlanMessages, KeepEveryField) {
  const PlanQuery query{.model_config = "{}",
                        .model_name = "name",
                        .gpu = "h100",
                        .memory = Bytes(1),
                        .weights = "int4",
                        .kv = "fp8",
                        .utilization = 0.5,
                        .margin = Bytes(2),
                        .block_tokens = 3,
                        .max_batched_tokens = 4,
                        .max_sequences = 5,
                        .tensor_parallel = 6,
                        .pipeline_parallel = 7,
                        .expert_parallel = 8,
                        .draft_model_config = "{ }",
                        .lookahead_tokens = 9,
                        .shared_prefix = 10,
                        .no_flash_attention = true,
                        .decompress_latent = true,
                        .contexts = {11, 12},
                        .sequences = 13};
  const absl::StatusOr<PlanQuery> back = FromWire(ToWire(query));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(ToWire(*back).SerializeAsString(), ToWire(query).SerializeAsString());
  EXPECT_EQ(back->contexts, query.contexts);
  EXPECT_EQ(back->draft_model_config, "{ }");
}

TEST(PlanMessages, RefuseWhatIsOutOfRange) {
  const auto fault = [](const std::function<void(v1::PlanCapacityRequest&)>& spoil) {
    v1::PlanCapacityRequest request;
    request.set_model_config("{}");
    request.set_memory_bytes(1);
    spoil(request);
    return std::string(FromWire(request).status().message());
  };
  EXPECT_EQ(fault([](auto&) {}), "");
  EXPECT_EQ(fault([](auto& r) { r.clear_model_config(); }).find("model_config="), 0u);
  EXPECT_EQ(fault([](auto& r) { r.set_model_config(std::string(262145, ' ')); }).find("model_con"),
            0u);
  EXPECT_EQ(fault([](auto& r) { r.set_memory_bytes(-1); }).find("memory_bytes=-1"), 0u);
  EXPECT_EQ(fault([](auto& r) { r.set_memory_bytes(0); }),
            "memory_bytes=0: want 1 or more where gpu names none");
  EXPECT_EQ(fault([](auto& r) { r.set_utilization(1.5); }).find("utilization="), 0u);
  EXPECT_EQ(fault([](auto& r) { r.set_block_tokens(1025); }).find("block_tokens="), 0u);
  EXPECT_EQ(fault([](auto& r) { r.add_contexts(0); }), "contexts=0: want 1 to 1099511627776");
  EXPECT_EQ(fault([](auto& r) {
              for (int i = 0; i < 65; ++i) r.add_contexts(1);
            }).find("number of contexts"),
            0u);
}

}  // namespace
}  // namespace plimsoll
