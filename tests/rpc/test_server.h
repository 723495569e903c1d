// A server of this process on a real socket, whose leases run on simulated time.
//
// Threads: the test's. Leases end when the test moves `clock`; ticks of the server keep real time,
// so what follows is awaited with Eventually.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kvcache/admission/shared_admission.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "tests/support/eventually.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {

// Of a client whose calls end by being answered, however busy the machine is.
inline ClientOptions PatientOptions(const std::string& server) {
  return {.server = server,
          .call_timeout = std::chrono::minutes(1),
          .connect_timeout = std::chrono::minutes(1)};
}

struct TestServerOptions {
  Blocks blocks = Blocks(100);
  bool unix_socket = false;
  std::string listen = {};  // in place of an address of its own
  bool reflection = true;
  Tokens max_context = Tokens(kMaxTokens);
  std::string epoch = "e1";
  int64_t max_waiting = 10000;
  Blocks most = Blocks(0);  // that the pool may be made of
  Learning learning = Learning::kNever;
  Eviction eviction = Eviction::kOff;
};

class TestServer {
 public:
  using Options = TestServerOptions;

  explicit TestServer(const Options& options = {}) : options_(options) {
    cache_ = std::move(KvCache::Create({.capacity = options.blocks,
                                        .eviction = options.eviction,
                                        .most = options.most}))
                 .value();
    AdmissionOptions admission{.epoch = options.epoch};
    admission.max_context = options.max_context;
    admission.max_waiting = options.max_waiting;
    admission.learning = options.learning;
    admission.classes = {{"chat", {}}, {"none", {}}};
    shared_ = std::make_unique<SharedAdmission>(
        std::move(AdmissionController::Create(admission, *cache_, clock)).value());
  }

  // Separate, so that a loop may be made on admission() first.
  void Start(GenerationLoop* loop = nullptr) {
    const std::string address = !options_.listen.empty() ? options_.listen
                                : options_.unix_socket   ? "unix:" + folder_.File("socket")
                                                         : "127.0.0.1:0";
    server =
        std::move(Server::Start(
                      {.listen = {address},
                       .reflection = options_.reflection,
                       .block_bytes = Bytes(1000),
                       .info = {.version = "test",
                                .epoch = options_.epoch,
                                .model = "",
                                .device = "none"},
                       .resize = [this](Blocks total,
                                        const PoolResizedHandler& done) { done(Resize(total)); }},
                      *shared_, clock, loop))
            .value();
  }

  const std::string& address() const { return server->addresses().front(); }
  SharedAdmission& admission() { return *shared_; }
  absl::StatusOr<PoolResized> Resize(Blocks total) {
    return shared_->With([&](AdmissionController& controller) {
      return controller.Resize(total, [](Blocks, auto) { return absl::OkStatus(); });
    });
  }
  AdmissionSnapshot Now() const { return server->Capacity().snapshot; }
  bool AllFree() const { return Now().blocks.free == Now().blocks.total; }
  std::unique_ptr<Client> Connect() const {
    return std::move(Client::Create(PatientOptions(address()))).value();
  }

  SimulatedClock clock;
  std::unique_ptr<Server> server;

 private:
  const Options options_;
  TempDir folder_;
  std::unique_ptr<KvCache> cache_;
  std::unique_ptr<SharedAdmission> shared_;

  // After what it serves: declared last of all, `server` is stopped by hand.
 public:
  ~TestServer() { server.reset(); }
};

inline ReservationRequest RequestOf(int64_t prompt, int64_t fresh) {
  return {.prompt_tokens = Tokens(prompt), .max_new_tokens = Tokens(fresh)};
}

inline const Reservation& Granted(const absl::StatusOr<Answer>& answer) {
  PLIMSOLL_CHECK(answer.ok(), answer.status().ToString());
  PLIMSOLL_CHECK(std::holds_alternative<Reservation>(*answer));
  return std::get<Reservation>(*answer);
}

inline const Refusal& Refused(const absl::StatusOr<Answer>& answer) {
  PLIMSOLL_CHECK(answer.ok(), answer.status().ToString());
  PLIMSOLL_CHECK(std::holds_alternative<Refusal>(*answer));
  return std::get<Refusal>(*answer);
}

}  // namespace plimsoll
