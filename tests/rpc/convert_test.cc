// Codes, bounds and round trips of everything that crosses the wire.
#include "rpc/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kvcache/admission/reservation_book.h"
#include "rpc/convert_generation.h"
#include "rpc/status.h"

namespace plimsoll {
namespace {

TEST(Status, AllSeventeenCodesHaveTheSameNumber) {
  for (int code = 0; code <= 16; ++code) {
    const absl::Status ours(static_cast<absl::StatusCode>(code), "why");
    const grpc::Status theirs = ToGrpc(ours);
    EXPECT_EQ(static_cast<int>(theirs.error_code()), code);
    EXPECT_EQ(FromGrpc(theirs), ours);
  }
}

TEST(Bounds, TheFirstFaultStays) {
  Bounds bounds;
  EXPECT_EQ(bounds.TokensIn("a", 5, 1), Tokens(5));
  EXPECT_TRUE(bounds.status().ok());
  bounds.TokensIn("b", 0, 1);
  bounds.CountIn("c", -1);
  EXPECT_EQ(bounds.status().message(), "b=0: want 1 to 1099511627776");
}

TEST(Bounds, RealsExcludeWhatIsNoNumber) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity(), -0.5, 1.5}) {
    Bounds bounds;
    bounds.RealIn("p", bad, 0, 1);
    EXPECT_FALSE(bounds.status().ok()) << bad;
  }
}

TEST(Convert, ARequestSurvivesTheWireAndItsFieldsAreBounded) {
  const ReservationRequest sent{.request_id = "r",
                                .tenant = "t",
                                .prompt_tokens = Tokens(100),
                                .max_new_tokens = Tokens(60),
                                .ttl = std::chrono::milliseconds(1500),
                                .prefix_hashes = {1, 0xffffffffffffffff},
                                .priority = -2,
                                .request_class = "chat",
                                .resumes = "e1-7"};
  v1::ReserveCapacityRequest wide = ToWire(sent);
  const ReservationRequest got = *FromWire(wide);
  EXPECT_TRUE(SameContent(got, sent));
  EXPECT_EQ(got.request_id, sent.request_id);
  wide = ToWire(sent);
  wide.set_priority(3);
  EXPECT_EQ(FromWire(wide).status().message(), "priority=3: want -2 to 2");
  wide = ToWire(sent);
  for (int i = 2; i < 8192; ++i) wide.add_prefix_hashes(7);
  EXPECT_EQ(FromWire(wide)->prefix_hashes.size(), 8192u);
  wide.add_prefix_hashes(7);
  EXPECT_EQ(FromWire(wide).status().message(), "number of prefix_hashes=8193: want 0 to 8192");
  wide = ToWire(sent);
  wide.set_request_class(std::string(129, 'x'));
  EXPECT_FALSE(FromWire(wide).ok());
  wide = ToWire(sent);
  wide.set_resumes(std::string(129, 'x'));
  EXPECT_FALSE(FromWire(wide).ok());
}

TEST(Convert, AnAnswerSurvivesTheWire) {
  const Instant server_now = Instant(std::chrono::hours(5));
  const Instant client_now = Instant(std::chrono::seconds(1));
  const Reservation sent{.id = "e1-7",
                         .epoch = "e1",
                         .tenant = "t",
                         .prompt_tokens = Tokens(100),
                         .max_new_tokens = Tokens(60),
                         .blocks = Blocks(10),
                         .prefix_blocks = Blocks(3),
                         .ttl = std::chrono::milliseconds(1500),
                         .expires = server_now + std::chrono::milliseconds(1250),
                         .expire_time = WallTime(std::chrono::nanoseconds(1234567890123456789)),
                         .confirmed = true};
  const Reservation got = *FromWire(ToWire(sent, server_now), client_now);
  EXPECT_EQ(got.id, sent.id);
  EXPECT_EQ(got.prefix_blocks, sent.prefix_blocks);
  EXPECT_EQ(got.epoch, sent.epoch);
  EXPECT_EQ(got.tenant, sent.tenant);
  EXPECT_EQ(got.prompt_tokens, sent.prompt_tokens);
  EXPECT_EQ(got.max_new_tokens, sent.max_new_tokens);
  EXPECT_EQ(got.blocks, sent.blocks);
  EXPECT_EQ(got.ttl, sent.ttl);
  EXPECT_EQ(got.expires, client_now + std::chrono::milliseconds(1250));
  EXPECT_EQ(got.expire_time, sent.expire_time);
  EXPECT_TRUE(got.confirmed);
}

TEST(Convert, ATimeThatNoClockCanHoldIsRefused) {
  v1::Reservation in;
  in.mutable_expire_time()->set_seconds(9'000'000'001);
  EXPECT_EQ(FromWire(in, Instant()).status().message(),
            "expire_time.seconds=9000000001: want 0 to 9000000000");
  in.mutable_expire_time()->set_seconds(9'000'000'000);
  EXPECT_TRUE(FromWire(in, Instant()).ok());
  in.mutable_expire_time()->set_nanos(-1);
  EXPECT_EQ(FromWire(in, Instant()).status().message(),
            "expire_time.nanos=-1: want 0 to 999999999");
}

TEST(Convert, EveryReasonSurvivesTheWire) {
  for (int reason = static_cast<int>(Reason::kNoFreeBlocks);
       reason <= static_cast<int>(Reason::kTenantLimit); ++reason) {
    const Refusal sent{.decision = reason % 2 == 0 ? Decision::kWait : Decision::kNever,
                       .reason = static_cast<Reason>(reason),
                       .needed = Blocks(4),
                       .missing = Blocks(3),
                       .retry_after = std::chrono::milliseconds(2100),
                       .largest_fit = Tokens(1600),
                       .binding_term = "pool",
                       .yield = reason % 2 == 1};
    const Refusal got = *FromWire(ToWire(sent));
    EXPECT_EQ(got.decision, sent.decision);
    EXPECT_EQ(got.reason, sent.reason);
    EXPECT_EQ(got.needed, sent.needed);
    EXPECT_EQ(got.missing, sent.missing);
    EXPECT_EQ(got.retry_after, sent.retry_after);
    EXPECT_EQ(got.largest_fit, sent.largest_fit);
    EXPECT_EQ(got.binding_term, sent.binding_term);
    EXPECT_EQ(got.yield, sent.yield);
  }
}

TEST(Convert, UnknownEnumValuesAreRefusedNotGuessed) {
  v1::Rejection rejection;
  rejection.set_decision(v1::DECISION_WAIT);
  rejection.set_reason(static_cast<v1::Reason>(99));
  EXPECT_EQ(FromWire(rejection).status().message(), "reason=99: want a value of this version");
  rejection.set_reason(v1::REASON_UNSPECIFIED);
  EXPECT_FALSE(FromWire(rejection).ok());
  rejection.set_reason(v1::REASON_DRAINING);
  rejection.set_decision(static_cast<v1::Decision>(7));
  EXPECT_FALSE(FromWire(rejection).ok());
  EXPECT_FALSE(FromWire(static_cast<v1::FinishReason>(9)).ok());
  v1::GetServerInfoResponse info;
  EXPECT_FALSE(FromWire(info).ok()) << "no mode";
  v1::RenewReservationsResponse renewal;
  renewal.add_lost()->set_cause(static_cast<v1::LossCause>(9));
  EXPECT_FALSE(FromWire(renewal, Instant()).ok());
  EXPECT_FALSE(OutcomeFrom(v1::ReserveCapacityResponse(), Instant()).ok()) << "no outcome";
}

TEST(Convert, ACapacitySurvivesTheWire) {
  CapacityReport sent{.pool = "p",
                      .epoch = "e",
                      .block_tokens = Tokens(32),
                      .block_bytes = Bytes(2 << 20),
                      .snapshot = {}};
  AdmissionSnapshot& now = sent.snapshot;
  now = {.revision = 1,
         .blocks = {.total = Blocks(10),
                    .live = Blocks(2),
                    .cached = Blocks(3),
                    .reserved = Blocks(4),
                    .free = Blocks(1)},
         .unfilled = Tokens(15),
         .headroom = Blocks(5),
         .reservations = 6,
         .waiting = 7,
         .draining = true,
         .admitted = 8,
         .waited = 9,
         .refused_wait = 11,
         .refused_never = 12,
         .released = 13,
         .expired = 14,
         .preempted = 16};
  const CapacityReport got = *FromWire(ToWire(sent));
  EXPECT_EQ(got.pool, sent.pool);
  EXPECT_EQ(got.epoch, sent.epoch);
  EXPECT_EQ(got.block_tokens, sent.block_tokens);
  EXPECT_EQ(got.block_bytes, sent.block_bytes);
  EXPECT_EQ(got.snapshot, sent.snapshot);
}

TEST(Convert, AGenerationRequestSurvivesTheWire) {
  const GenerationRequest sent{
      .reservation_id = "e1-1",
      .prompt = {1, 2, 3},
      .max_new_tokens = Tokens(9),
      .sampling = {.temperature = 0.7, .top_k = 40, .top_p = 0.9, .seed = ~uint64_t{0}},
      .stop_at_eos = false};
  const GenerationRequest got = *FromWire(ToWire(sent));
  EXPECT_EQ(got.reservation_id, sent.reservation_id);
  EXPECT_EQ(got.prompt, sent.prompt);
  EXPECT_EQ(got.max_new_tokens, sent.max_new_tokens);
  EXPECT_EQ(got.sampling.temperature, sent.sampling.temperature);
  EXPECT_EQ(got.sampling.top_k, sent.sampling.top_k);
  EXPECT_EQ(got.sampling.top_p, sent.sampling.top_p);
  EXPECT_EQ(got.sampling.seed, sent.sampling.seed);
  EXPECT_FALSE(got.stop_at_eos);
}

TEST(Convert, AServersDescriptionSurvivesTheWire) {
  LoopStats loop;
  loop.steps = 1;
  loop.prompt_tokens = 2;
  loop.generated_tokens = 3;
  loop.running = 4;
  loop.peak_running = 5;
  loop.preempted = 6;
  loop.recomputed_tokens = 7;
  loop.swapped_out = 8;
  loop.swapped_in = 9;
  loop.swap = {.total = Blocks(10),
               .held = Blocks(4),
               .free = Blocks(6),
               .sequences = 2,
               .copied_out = Blocks(11),
               .copied_in = Blocks(7)};
  loop.busy = std::chrono::milliseconds(2500);
  const ServerInfo sent{.version = "1",
                        .epoch = "e",
                        .mode = ServerMode::kEngine,
                        .model = "m",
                        .device = "cpu",
                        .memory = {{.name = "pool", .predicted = Bytes(1), .measured = Bytes(2)}},
                        .loop = loop};
  const ServerInfo got = *FromWire(ToWire(sent));
  EXPECT_EQ(got.version, "1");
  EXPECT_EQ(got.mode, ServerMode::kEngine);
  EXPECT_EQ(got.model, "m");
  EXPECT_EQ(got.device, "cpu");
  ASSERT_EQ(got.memory.size(), 1);
  EXPECT_EQ(got.memory[0].name, "pool");
  EXPECT_EQ(got.memory[0].measured, Bytes(2));
  ASSERT_TRUE(got.loop.has_value());
  EXPECT_EQ(got.loop->generated_tokens, 3);
  EXPECT_EQ(got.loop->peak_running, 5);
  EXPECT_EQ(got.loop->preempted, 6);
  EXPECT_EQ(got.loop->recomputed_tokens, 7);
  EXPECT_EQ(got.loop->swapped_out, 8);
  EXPECT_EQ(got.loop->swapped_in, 9);
  EXPECT_EQ(got.loop->swap, loop.swap);
  EXPECT_EQ(got.loop->busy, loop.busy);
}

}  // namespace
}  // namespace plimsoll
