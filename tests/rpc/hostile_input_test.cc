// Numbers, messages and bytes that no honest client sends.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>

#include "plimsoll/v1/admission.grpc.pb.h"
#include "plimsoll/v1/capacity.grpc.pb.h"
#include "plimsoll/v1/generation.grpc.pb.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
constexpr char kReserve[] = "/plimsoll.v1.AdmissionService/ReserveCapacity";

class HostileInput : public testing::Test {
 protected:
  HostileInput() {
    server_.Start();
    channel_ = ChannelTo(server_.address());
    stub_ = v1::AdmissionService::NewStub(channel_);
  }
  ~HostileInput() override {
    EXPECT_TRUE(server_.Connect()->GetCapacity().ok()) << "the server still serves";
    EXPECT_TRUE(server_.AllFree());
  }

  grpc::Status Reserve(const std::function<void(v1::ReserveCapacityRequest&)>& spoil) {
    v1::ReserveCapacityRequest request;
    request.set_prompt_tokens(16);
    request.set_max_new_tokens(16);
    spoil(request);
    v1::ReserveCapacityResponse response;
    grpc::ClientContext context;
    return stub_->ReserveCapacity(&context, request, &response);
  }

  TestServer server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::AdmissionService::Stub> stub_;
};

void ExpectInvalid(const grpc::Status& status, const std::string& field) {
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << status.error_message();
  EXPECT_EQ(status.error_message().rfind(field, 0), 0) << status.error_message();
  EXPECT_EQ(status.error_message().find('\n'), std::string::npos);
}

TEST_F(HostileInput, TokenCountsOutOfRangeAreRefusedByName) {
  for (const int64_t bad : {int64_t{0}, int64_t{-1}, kMin, kMax, (int64_t{1} << 40) + 1}) {
    ExpectInvalid(Reserve([&](auto& r) { r.set_prompt_tokens(bad); }), "prompt_tokens=");
    if (bad == 0) continue;
    ExpectInvalid(Reserve([&](auto& r) { r.set_max_new_tokens(bad); }), "max_new_tokens=");
  }
  ExpectInvalid(Reserve([&](auto& r) {
                  r.set_prompt_tokens(-1);
                  r.set_validate_only(true);
                }),
                "prompt_tokens=-1: want 1 to 1099511627776");
  ExpectInvalid(Reserve([&](auto& r) {
                  r.set_prompt_tokens(-1);
                  r.mutable_max_wait()->set_seconds(1);
                }),
                "prompt_tokens=-1");
}

TEST_F(HostileInput, TheLargestCountsAreAnsweredNeverWithoutOverflow) {
  v1::ReserveCapacityRequest request;
  request.set_prompt_tokens(int64_t{1} << 40);
  request.set_max_new_tokens(int64_t{1} << 40);
  v1::ReserveCapacityResponse response;
  grpc::ClientContext context;
  ASSERT_TRUE(stub_->ReserveCapacity(&context, request, &response).ok());
  EXPECT_EQ(response.rejection().decision(), v1::DECISION_NEVER);
  EXPECT_EQ(response.rejection().needed_blocks(), int64_t{1} << 37);
}

TEST_F(HostileInput, DurationsOutOfRangeAreRefusedByName) {
  for (const int64_t bad : {int64_t{-1}, kMin, kMax, int64_t{24 * 3600 + 1}}) {
    ExpectInvalid(Reserve([&](auto& r) { r.mutable_ttl()->set_seconds(bad); }), "ttl=");
    ExpectInvalid(Reserve([&](auto& r) { r.mutable_max_wait()->set_seconds(bad); }), "max_wait=");
  }
  for (const int32_t bad : {-1, 1'000'000'000, std::numeric_limits<int32_t>::min()}) {
    ExpectInvalid(Reserve([&](auto& r) { r.mutable_ttl()->set_nanos(bad); }), "ttl=");
    ExpectInvalid(Reserve([&](auto& r) { r.mutable_max_wait()->set_nanos(bad); }), "max_wait=");
  }
  ExpectInvalid(Reserve([&](auto& r) { r.mutable_ttl()->set_seconds(3601); }), "ttl=");
}

TEST_F(HostileInput, LongTextsAreRefusedByName) {
  ExpectInvalid(Reserve([&](auto& r) { r.set_request_id(std::string(129, 'x')); }), "request_id=");
  ExpectInvalid(Reserve([&](auto& r) { r.set_tenant(std::string(129, 'x')); }), "tenant=");
}

TEST_F(HostileInput, TheOtherMethodsCheckTheirFieldsToo) {
  {
    grpc::ClientContext context;
    v1::ExtendReservationResponse response;
    v1::ExtendReservationRequest request;
    request.set_reservation_id("e1-1");
    request.set_total_tokens(kMax);
    ExpectInvalid(stub_->ExtendReservation(&context, request, &response), "total_tokens=");
  }
  {
    grpc::ClientContext context;
    v1::ReleaseReservationResponse response;
    v1::ReleaseReservationRequest request;
    ExpectInvalid(stub_->ReleaseReservation(&context, request, &response), "reservation_id=");
  }
  {
    grpc::ClientContext context;
    v1::ReleaseReservationResponse response;
    v1::ReleaseReservationRequest request;
    request.set_reservation_id("e1-1");
    request.set_used_tokens(-1);
    ExpectInvalid(stub_->ReleaseReservation(&context, request, &response), "used_tokens=-1");
  }
  for (const int ids : {0, 1001}) {
    grpc::ClientContext context;
    v1::RenewReservationsResponse response;
    v1::RenewReservationsRequest request;
    for (int i = 0; i < ids; ++i) request.add_reservation_ids("e1-1");
    ExpectInvalid(stub_->RenewReservations(&context, request, &response),
                  "number of reservation_ids and claims=");
  }
  {
    grpc::ClientContext context;
    v1::WatchCapacityRequest request;
    request.mutable_min_interval()->set_seconds(-1);
    v1::WatchCapacityResponse response;
    const auto capacity = v1::CapacityService::NewStub(channel_);
    const auto reader = capacity->WatchCapacity(&context, request);
    EXPECT_FALSE(reader->Read(&response));
    ExpectInvalid(reader->Finish(), "min_interval=");
  }
}

TEST_F(HostileInput, AMessageOfFiveMegabytesIsRefused) {
  const RawAnswer answer = RawCall(channel_, kReserve, std::string(5 << 20, 'x'));
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

// A megabyte of zeros deflates to a kilobyte; the server must not inflate it.
TEST_F(HostileInput, ACompressedMessageIsRefusedUninflated) {
  const RawAnswer answer =
      RawCall(channel_, kReserve, std::string(900 << 10, '\0'), GRPC_COMPRESS_GZIP);
  EXPECT_EQ(answer.status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

// In this gRPC a message that does not parse is UNIMPLEMENTED, as the proto says.
TEST_F(HostileInput, GarbageIsRefusedAndHarmless) {
  const int seed = testing::UnitTest::GetInstance()->random_seed();
  SCOPED_TRACE("rerun with --gtest_random_seed=" + std::to_string(seed));
  std::mt19937 rng(static_cast<uint32_t>(seed));
  EXPECT_EQ(RawCall(channel_, kReserve, "\xff\xff\xff\xff").status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
  for (int i = 0; i < 200; ++i) {
    std::string bytes(rng() % 64, '\0');
    for (char& c : bytes) c = static_cast<char>(rng());
    v1::ReserveCapacityRequest parsed;  // now and then noise spells a request
    if (parsed.ParseFromString(bytes) && parsed.prompt_tokens() > 0) continue;
    const grpc::StatusCode code = RawCall(channel_, kReserve, bytes).status.error_code();
    EXPECT_TRUE(code == grpc::StatusCode::UNIMPLEMENTED ||
                code == grpc::StatusCode::INVALID_ARGUMENT)
        << code;
  }
}

TEST_F(HostileInput, UnknownMethodsAreUnimplemented) {
  EXPECT_EQ(RawCall(channel_, "/plimsoll.v1.AdmissionService/Nothing", "").status.error_code(),
            grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(HostileInput, ALedgerGeneratesNothing) {
  const std::unique_ptr<Client> client = server_.Connect();
  const Reservation granted = Granted(client->Reserve(RequestOf(4, 4)));
  const GenerationRequest request{
      .reservation_id = granted.id, .prompt = {1, 2}, .max_new_tokens = Tokens(4), .sampling = {}};
  EXPECT_TRUE(absl::IsUnimplemented(client->Generate(request, [](int32_t) {}).status()));
  EXPECT_TRUE(client->Release(granted.id).ok()) << "the reservation was left alone";
}

}  // namespace
}  // namespace plimsoll
