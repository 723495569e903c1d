// Tokens over the wire, from a decoder whose next token is the last one plus one.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <future>

#include "rpc/convert_generation.h"
#include "tests/rpc/reliability/raw_http2.h"
#include "tests/rpc/web_fixture.h"
#include "xds/data/orca/v3/orca_load_report.pb.h"

namespace plimsoll {
namespace {

using xds::data::orca::v3::OrcaLoadReport;

constexpr int64_t kVocabulary = 1000;

// Says the last token plus one; fails, or waits to be let go, where a test wants that.
class CountingDecoder final : public Decoder {
 public:
  CountingDecoder() {
    model_.vocab_size = kVocabulary;
    model_.max_context = Tokens(100000);
  }
  absl::StatusOr<std::span<const float>> Forward(std::span<const BatchEntry> batch) override {
    while (paused) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (failing) return absl::InternalError("the device is gone");
    logits_.clear();
    for (const BatchEntry& entry : batch) {
      if (!entry.want_logits) continue;
      logits_.resize(logits_.size() + kVocabulary, 0.0F);
      logits_[logits_.size() - kVocabulary + static_cast<size_t>(Next(entry))] = 1.0F;
    }
    return logits_;
  }
  absl::StatusOr<Drawn> ForwardAndDraw(std::span<const BatchEntry> batch) override {
    const absl::StatusOr<std::span<const float>> logits = Forward(batch);
    if (!logits.ok()) return logits.status();
    drawn_.clear();
    for (const BatchEntry& entry : batch) {
      if (entry.draw) drawn_.push_back({.token = Next(entry)});
    }
    return Drawn{drawn_, *logits};
  }
  const ModelConfig& model() const override { return model_; }
  const Options& options() const override { return options_; }
  Bytes buffer_bytes() const override { return Bytes(0); }
  Bytes graph_bytes() const override { return Bytes(0); }

  std::atomic<bool> paused = false;
  std::atomic<bool> failing = false;

 private:
  static int32_t Next(const BatchEntry& entry) {
    return static_cast<int32_t>((entry.tokens.back() + 1) % kVocabulary);
  }

  std::vector<DrawnToken> drawn_;
  ModelConfig model_;
  Options options_;
  std::vector<float> logits_;
};

class GenerationService : public testing::Test {
 protected:
  GenerationService() : loop_(decoder_, server_.admission(), {}) {
    server_.Start(&loop_);
    thread_ = std::thread([this] { loop_.Run(); });
    client_ = server_.Connect();
  }
  ~GenerationService() override {
    decoder_.paused = false;
    client_.reset();
    server_.server->Stop();
    loop_.Stop();
    thread_.join();
    server_.server.reset();  // looks after the loop until it is gone
  }

  GenerationRequest Admitted(std::vector<int32_t> prompt, int64_t fresh) {
    const Reservation granted = Granted(client_->Reserve(RequestOf(std::ssize(prompt), fresh)));
    return {.reservation_id = granted.id,
            .prompt = std::move(prompt),
            .max_new_tokens = Tokens(fresh),
            .sampling = {}};
  }

  TestServer server_{{.blocks = Blocks(1000)}};
  CountingDecoder decoder_;
  GenerationLoop loop_;
  std::thread thread_;
  std::unique_ptr<Client> client_;
};

TEST_F(GenerationService, StreamsTokensInOrderAndThenTheReason) {
  std::vector<int32_t> tokens;
  const absl::StatusOr<FinishReason> reason =
      client_->Generate(Admitted({7, 8, 9}, 5), [&](int32_t token) { tokens.push_back(token); });
  ASSERT_TRUE(reason.ok()) << reason.status();
  EXPECT_EQ(*reason, FinishReason::kLength);
  EXPECT_EQ(tokens, (std::vector<int32_t>{10, 11, 12, 13, 14}));
  EXPECT_TRUE(server_.AllFree()) << "the reservation ended with the generation";
  EXPECT_EQ(client_->GetServerInfo()->loop->generated_tokens, 5);
}

// What a server says to one Generate call, byte by byte: gRPC's C++ client gives the report to its
// balancers and not to the application.
std::string SaidTo(const std::string& address, const v1::GenerateRequest& request) {
  const std::string message = request.SerializeAsString();
  const int fd = ConnectTo(address);
  // Setting 0xfe03 is gRPC's: binary headers as they are, not in base64.
  const std::string call =
      std::string(kPreface) +
      Frame(FrameType::kSettings, 0, 0, BigEndian(0xfe03, 2) + BigEndian(1, 4)) +
      Frame(FrameType::kSettings, kAck, 0, "") +
      Frame(FrameType::kHeaders, kEndHeaders, 1,
            CallHeaders("/plimsoll.v1.GenerationService/Generate")) +
      Frame(FrameType::kData, kEndStream, 1,
            BigEndian(0, 1) + BigEndian(static_cast<uint32_t>(message.size()), 4) + message);
  send(fd, call.data(), call.size(), MSG_NOSIGNAL);
  std::string said;
  pollfd more = {.fd = fd, .events = POLLIN, .revents = 0};
  while (said.find("grpc-status") == std::string::npos && poll(&more, 1, 10'000) > 0) {
    char buffer[4096];
    const ssize_t n = recv(fd, buffer, sizeof(buffer), 0);
    if (n <= 0) break;
    said.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  return said;
}

// The report of a call's trailers: a length that takes two bytes in HPACK, a zero, the message.
OrcaLoadReport ReportIn(const std::string& said) {
  const std::string name = "endpoint-load-metrics-bin";
  const size_t found = said.find(name);
  EXPECT_NE(found, std::string::npos);
  OrcaLoadReport report;
  if (found == std::string::npos || said.size() < found + name.size() + 3) return report;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(said[found + name.size() + i]); };
  EXPECT_EQ(byte(0), 127);
  EXPECT_LT(byte(1), 128) << "less than 255 bytes";
  const size_t length = 127 + size_t{byte(1)};
  EXPECT_EQ(byte(2), 0);
  EXPECT_TRUE(report.ParseFromString(said.substr(found + name.size() + 3, length - 1)));
  return report;
}

// One that went well, and one that did not.
TEST_F(GenerationService, EachCallEndsWithALoadReport) {
  Granted(client_->Reserve(RequestOf(16 * 250, 0)));
  const OrcaLoadReport failed = ReportIn(SaidTo(server_.address(), {}));
  EXPECT_EQ(failed.named_metrics().at("max_token_capacity"), 16000);
  EXPECT_EQ(failed.utilization().at("kv_cache"), 0.25);
  Granted(client_->Reserve(RequestOf(16 * 250, 0)));
  // What it says is made anew at most ten times a second.
  EXPECT_TRUE(Eventually([&] {
    const auto said = SaidTo(server_.address(), ToWire(Admitted({7}, 3)));
    return ReportIn(said).utilization().at("kv_cache") >= 0.5;
  }));
}

TEST_F(GenerationService, ManyAtOnceEachGetTheirOwnTokens) {
  constexpr int kGenerations = 200;
  std::vector<std::vector<int32_t>> tokens(kGenerations);
  std::vector<std::promise<absl::StatusOr<FinishReason>>> over(kGenerations);
  for (int i = 0; i < kGenerations; ++i) {
    const auto at = static_cast<size_t>(i);
    client_->GenerateAsync(
        Admitted({i}, 20), [&tokens, at](int32_t token) { tokens[at].push_back(token); },
        [&over, at](absl::StatusOr<FinishReason> reason) { over[at].set_value(reason); });
  }
  for (int i = 0; i < kGenerations; ++i) {
    const auto at = static_cast<size_t>(i);
    ASSERT_TRUE(over[at].get_future().get().ok());
    ASSERT_EQ(tokens[at].size(), 20);
    for (int32_t k = 0; k < 20; ++k) {
      EXPECT_EQ(tokens[at][static_cast<size_t>(k)], (i + 1 + k) % kVocabulary);
    }
  }
  EXPECT_TRUE(server_.AllFree());
}

TEST_F(GenerationService, ACallerWhoCancelsEndsTheGeneration) {
  std::promise<absl::Status> over;
  std::atomic<bool> started = false;
  const int64_t ticket = client_->GenerateAsync(
      Admitted({1}, 15000), [&](int32_t) { started = true; },
      [&](absl::StatusOr<FinishReason> reason) { over.set_value(reason.status()); });
  ASSERT_TRUE(Eventually([&] { return started.load(); }));
  client_->Cancel(ticket);
  EXPECT_TRUE(absl::IsCancelled(over.get_future().get()));
  client_->Cancel(ticket);
  EXPECT_TRUE(Eventually([&] { return server_.AllFree(); }));
}

TEST_F(GenerationService, ReleasingTheReservationEndsTheGeneration) {
  const GenerationRequest request = Admitted({1}, 15000);
  std::promise<absl::StatusOr<FinishReason>> over;
  std::atomic<bool> started = false;
  client_->GenerateAsync(
      request, [&](int32_t) { started = true; },
      [&](absl::StatusOr<FinishReason> reason) { over.set_value(reason); });
  ASSERT_TRUE(Eventually([&] { return started.load(); }));
  EXPECT_TRUE(client_->Release(request.reservation_id).ok());
  EXPECT_EQ(*over.get_future().get(), FinishReason::kCancelled);
  EXPECT_TRUE(server_.AllFree());
}

TEST_F(GenerationService, AFailedStepIsToldToTheCaller) {
  decoder_.failing = true;
  const absl::Status status = client_->Generate(Admitted({1}, 10), [](int32_t) {}).status();
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_NE(status.message().find("the device is gone"), absl::string_view::npos);
  EXPECT_TRUE(Eventually([&] { return server_.AllFree(); }));
}

TEST_F(GenerationService, WhatIsWrongWithTheRequestIsSaidAndLeavesTheReservation) {
  const GenerationRequest good = Admitted({1, 2}, 10);
  const auto code_of = [&](const std::function<void(GenerationRequest&)>& spoil) {
    GenerationRequest bad = good;
    spoil(bad);
    return client_->Generate(bad, [](int32_t) {}).status().code();
  };
  using enum absl::StatusCode;
  EXPECT_EQ(code_of([](auto& r) { r.prompt.clear(); }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.prompt = {-1}; }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.prompt = {kVocabulary}; }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.prompt = {1, 2, 3}; }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.max_new_tokens = Tokens(0); }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.max_new_tokens = Tokens(11); }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.sampling.temperature = -1; }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.sampling.temperature = std::nan(""); }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.sampling.top_p = 0; }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.sampling.top_k = -1; }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto& r) { r.reservation_id = "e1-99"; }), kNotFound);
  EXPECT_EQ(code_of([](auto& r) { r.reservation_id = "e0-1"; }), kFailedPrecondition);
  EXPECT_EQ(code_of([](auto& r) { r.reservation_id = ""; }), kInvalidArgument);
  EXPECT_EQ(code_of([](auto&) {}), kOk);
}

TEST_F(GenerationService, ACallerWhoDiesMidStreamGivesEverythingBack) {
  constexpr int kGenerations = 10;
  std::array<std::atomic<bool>, kGenerations> started{};
  auto dying = server_.Connect();
  for (std::atomic<bool>& each : started) {
    dying->GenerateAsync(
        Admitted({1}, 1000), [&each](int32_t) { each = true; },
        [](absl::StatusOr<FinishReason>) {});
  }
  ASSERT_TRUE(Eventually([&] {
    return std::all_of(started.begin(), started.end(),
                       [](const auto& each) { return each.load(); });
  }));
  dying.reset();
  EXPECT_TRUE(Eventually([&] { return server_.AllFree(); }));
}

}  // namespace
}  // namespace plimsoll
