// Row 19: the device fails under the pool, in a server with a real decoder one of whose operations
// is broken on demand.
#include <gmock/gmock.h>

#include <array>
#include <atomic>
#include <fstream>
#include <sstream>

#include "tests/engine/support/tiny_model.h"
#include "tests/rpc/raw_call.h"
#include "tests/rpc/test_session.h"
#include "tests/rpc/web_fixture.h"

namespace plimsoll {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::atomic<bool> broken = false;

absl::Status RmsNormUnlessBroken(const RmsNormArgs& args) {
  if (broken) return absl::InternalError("cudaErrorIllegalAddress (700)");
  return CpuBackend().ops().rms_norm(args);
}

const Ops& OpsThatMayBreak() {
  static const Ops ops = [] {
    Ops copy = CpuBackend().ops();
    copy.rms_norm = RmsNormUnlessBroken;
    return copy;
  }();
  return ops;
}

const TinyModel& Model() {
  static const TinyModel model(TinyShape{});
  return model;
}

class DeviceFailure : public testing::Test {
 protected:
  static constexpr char kWhy[] =
      "the device failed in 3 steps in a row, the last with: INTERNAL: cudaErrorIllegalAddress "
      "(700)";

  DeviceFailure()
      : engine_(Model(), OpsThatMayBreak(), {}),
        admission_(*AdmissionController::Create({.epoch = "e1"}, *engine_.cache, clock_)),
        loop_(*engine_.decoder, admission_, {}),
        log_file_(std::fopen(folder_.File("log").c_str(), "w")),
        log_({.descriptor = fileno(log_file_)}, clock_) {
    broken = false;
    server_ = std::move(Server::Start({.listen = {"127.0.0.1:0"},
                                       .block_tokens = engine_.cache->block_tokens(),
                                       .info = {.version = "test",
                                                .epoch = "e1",
                                                .mode = ServerMode::kEngine,
                                                .model = "tiny",
                                                .device = "cuda"},
                                       .log = &log_},
                                      admission_, clock_, &loop_))
                  .value();
    http_ = std::move(HttpEndpoint::Start({.address = "127.0.0.1:0"}, server_->served())).value();
    browser_ = std::make_unique<httplib::Client>("http://" + http_->address());
    thread_ = std::thread([this] { loop_.Run(); });
    client_ = std::move(Client::Create(PatientOptions(address()))).value();
  }
  ~DeviceFailure() override {
    broken = false;
    client_.reset();
    http_.reset();
    server_->Stop();
    loop_.Stop();
    thread_.join();
    std::fclose(log_file_);
  }

  std::string address() const { return server_->addresses().front(); }
  absl::Status Generate() {
    const absl::StatusOr<Answer> answer = client_->Reserve(RequestOf(4, 4));
    return GenerateUnder(Granted(answer).id);
  }
  absl::Status GenerateUnder(const std::string& id) {
    return client_
        ->Generate({.reservation_id = id, .prompt = {1, 2, 3, 4}, .max_new_tokens = Tokens(4)},
                   [](int32_t) {})
        .status();
  }
  // Fails as often as it takes.
  void BreakDevice() {
    broken = true;
    for (int i = 0; i < GenerationLoop::kMostFailures; ++i) {
      const absl::Status status = Generate();
      EXPECT_TRUE(absl::IsInternal(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("cudaErrorIllegalAddress"));
    }
  }
  std::string Page(const std::string& path) { return browser_->Get(path)->body; }
  std::string LogText() {
    std::ostringstream text;
    text << std::ifstream(folder_.File("log")).rdbuf();
    return text.str();
  }

  const TempDir folder_;
  SimulatedClock clock_;
  TinyEngine engine_;
  SharedAdmission admission_;
  GenerationLoop loop_;
  std::FILE* const log_file_;
  Log log_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<HttpEndpoint> http_;
  std::unique_ptr<httplib::Client> browser_;
  std::thread thread_;
  std::unique_ptr<Client> client_;
};

TEST_F(DeviceFailure, OneFailedStepEndsWhoWasInItAndNobodyElse) {
  ASSERT_TRUE(Generate().ok());
  broken = true;
  EXPECT_TRUE(absl::IsInternal(Generate()));
  broken = false;
  EXPECT_TRUE(Generate().ok());
  EXPECT_THAT(Page("/metrics"), AllOf(HasSubstr("plimsoll_failed_steps_total{pool=\"default\"} 1"),
                                      HasSubstr("plimsoll_device_failed{pool=\"default\"} 0"),
                                      HasSubstr("plimsoll_ready{pool=\"default\"} 1")));
  EXPECT_EQ(Page("/healthz"), "ok\n");
  EXPECT_TRUE(server_->CheckItself(std::chrono::seconds(10)).ok());
}

TEST_F(DeviceFailure, ADeviceThatIsGoneTakesBackWhatWasPromisedAndTakesNothingNew) {
  TestSession session(ChannelTo(address()));
  session.Greet();
  const std::string kept = session.Reserve(1).reservation().reservation_id();
  const std::string leased = Granted(client_->Reserve(RequestOf(4, 4))).id;
  ASSERT_TRUE(client_->Renew({leased}).ok());
  BreakDevice();
  session.Await(0, 1);
  EXPECT_THAT(session.revoked(), testing::ElementsAre(kept)) << "pushed, not asked for";
  ASSERT_TRUE(Eventually([&] { return server_->Held().reservations == 0; }));
  const absl::StatusOr<Renewal> renewal = client_->Renew({leased});
  ASSERT_TRUE(renewal.ok() && renewal->lost.size() == 1) << renewal.status();
  EXPECT_TRUE(renewal->lost[0].revoked);
  EXPECT_EQ(Refused(client_->Reserve(RequestOf(4, 4))).reason, Reason::kDraining);
  const absl::Status late = GenerateUnder(leased);
  EXPECT_TRUE(absl::IsUnavailable(late)) << late;
  EXPECT_THAT(std::string(late.message()), HasSubstr(kWhy));
  const AdmissionSnapshot now = server_->Capacity().snapshot;
  EXPECT_EQ(now.blocks.free, now.blocks.total);
  broken = false;
  EXPECT_TRUE(absl::IsUnavailable(GenerateUnder(leased))) << "nobody asks the device again";
}

TEST_F(DeviceFailure, AnOperatorSeesItInOneLineInHealthAndInMetrics) {
  BreakDevice();
  const auto health = [&] {
    return RawCall(ChannelTo(address()), "/grpc.health.v1.Health/Check", "");
  };
  EXPECT_TRUE(Eventually([&] { return health().bytes == "\x08\x02"; })) << "NOT_SERVING";
  EXPECT_TRUE(Eventually([&] { return browser_->Get("/readyz")->status == 503; }));
  EXPECT_EQ(Page("/readyz"), std::string("draining\n") + kWhy + "\n");
  EXPECT_EQ(browser_->Get("/healthz")->status, 503) << "a supervisor is to restart it";
  EXPECT_EQ(Page("/healthz"), std::string(kWhy) + "\n");
  EXPECT_EQ(server_->CheckItself(std::chrono::seconds(10)).message(), kWhy)
      << "systemd hears no more of it";
  EXPECT_THAT(Page("/metrics"), AllOf(HasSubstr("plimsoll_failed_steps_total{pool=\"default\"} 3"),
                                      HasSubstr("plimsoll_device_failed{pool=\"default\"} 1"),
                                      HasSubstr("plimsoll_ready{pool=\"default\"} 0")));
  EXPECT_TRUE(Eventually([&] { return LogText().find("device_failed") != std::string::npos; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const std::string said = LogText();
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  EXPECT_THAT(said, AllOf(HasSubstr(" error device_failed why=\""), HasSubstr(kWhy),
                          HasSubstr("device=cuda")));
}

}  // namespace
}  // namespace plimsoll
