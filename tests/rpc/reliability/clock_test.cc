// Row 16: the time of day jumps while leases run. It is libfaketime that tells the server so.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "tests/rpc/reliability/served_process.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

constexpr char kLibrary[] = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

// A variable of the environment of processes that are started meanwhile.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    setenv(name_, value.c_str(), 1);
  }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* const name_;
};

class JumpingClock : public testing::Test {
 protected:
  void SetUp() override {
    if (access(kLibrary, R_OK) != 0) GTEST_SKIP() << "faketime is not installed";
    Jump("+0s");
    const Variable preload("LD_PRELOAD", kLibrary), file("FAKETIME_TIMESTAMP_FILE", File()),
        fresh("FAKETIME_NO_CACHE", "1"), monotonic("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    server_ = std::make_unique<ServedProcess>(std::vector<std::string>{"--lease", "1s"});
    client_ = server_->Connect();
  }
  std::string File() const { return folder_.File("now"); }
  void Jump(const std::string& by) { folder_.Write("now", by + "\n"); }
  // By the server's time of day.
  WallTime ExpiryOf(const std::string& id) {
    return std::move(client_->Renew({id})).value().renewed.at(0).expire_time;
  }

  TempDir folder_;
  std::unique_ptr<ServedProcess> server_;
  std::unique_ptr<Client> client_;
};

TEST_F(JumpingClock, NoLeaseEndsEarlyAndNoneLivesForEver) {
  ReservationRequest lasting = RequestOf(16, 0);
  lasting.ttl = seconds(60);
  const std::string id = Granted(client_->Reserve(lasting)).id;
  const WallTime before = ExpiryOf(id);
  for (const auto& [jump, by] : {std::pair("+3600s", hours(1)), std::pair("-3600s", -hours(1)),
                                 std::pair("+0s", hours(0))}) {
    SCOPED_TRACE(jump);
    const std::string brief = Granted(client_->Reserve(RequestOf(160, 0))).id;
    Jump(jump);
    const Duration moved = ExpiryOf(id) - before;
    EXPECT_NEAR(std::chrono::duration<double>(moved - by).count(), 0, 60) << "the jump was seen";
    EXPECT_TRUE(Eventually([&] { return server_->Now().reservations == 1; })) << "of a second";
    EXPECT_TRUE(absl::IsNotFound(client_->Extend(brief, Tokens(200)).status()));
    EXPECT_EQ(client_->Renew({id})->renewed.size(), 1);
  }
}

}  // namespace
}  // namespace plimsoll
