// Servers and clients that die, stop and come back, as processes: rows 3, 4, 5, 7, 15 and 23.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <set>
#include <thread>

#include "tests/rpc/holding_process.h"
#include "tests/rpc/reliability/served_process.h"
#include "tests/support/temp_dir.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A ledger at one address, life after life.
class Restart : public testing::Test {
 protected:
  Restart() { NextLife(); }

  void NextLife(const std::string& lease = "30s") {
    server_.reset();  // killed
    server_ = std::make_unique<ServedProcess>(
        std::vector<std::string>{"--listen", "unix:" + folder_.File("socket"), "--lease", lease});
  }
  // So many reservations of one block each, confirmed.
  std::vector<std::string> Hold(Client& client, int count) {
    std::mutex mutex;
    std::vector<std::string> ids;
    for (int i = 0; i < count; ++i) {
      client.ReserveAsync(RequestOf(16, 0), Duration::zero(),
                          [&](const absl::StatusOr<Answer>& answer) {
                            const std::scoped_lock lock(mutex);
                            ids.push_back(Granted(answer).id);
                          });
    }
    EXPECT_TRUE(Eventually([&] {
      const std::scoped_lock lock(mutex);
      return std::ssize(ids) == count;
    }));
    return ids;
  }
  bool Answers(Client& client) {
    return Eventually([&] { return client.GetCapacity().ok(); });
  }

  TempDir folder_;
  std::unique_ptr<ServedProcess> server_;
};

// Rows 4 and 5: of a thousand leases of the life before, none is taken for one of this life, and
// all of the pool is there for this life's.
TEST_F(Restart, AThousandLeasesOfAKilledServerAreStaleInItsNextLife) {
  const std::unique_ptr<Client> client = server_->Connect();
  const std::vector<std::string> ids = Hold(*client, 1000);
  const std::string epoch = client->GetCapacity()->epoch;
  EXPECT_EQ(client->GetCapacity()->snapshot.blocks.free, Blocks(0));
  NextLife();
  ASSERT_TRUE(Answers(*client));
  EXPECT_NE(client->GetCapacity()->epoch, epoch);
  const absl::StatusOr<Renewal> renewal = client->Renew(ids);
  ASSERT_TRUE(renewal.ok()) << renewal.status();
  EXPECT_EQ(renewal->renewed.size(), 0);
  ASSERT_EQ(renewal->lost.size(), 1000);
  for (const LostReservation& lost : renewal->lost) EXPECT_TRUE(lost.stale_epoch) << lost.id;
  for (const absl::Status& status :
       {client->Release(ids.front()), client->Extend(ids.front(), Tokens(32)).status()}) {
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_EQ(std::string(status.message()).rfind("STALE_EPOCH", 0), 0) << status;
  }
  EXPECT_TRUE(server_->AllFree());
}

// Row 7: the same request from many at once, with other content, and in the next life.
TEST_F(Restart, ARequestIsGrantedOnceHoweverOftenItIsAsked) {
  const ReservationRequest request{
      .request_id = "one", .prompt_tokens = Tokens(160), .max_new_tokens = Tokens(0)};
  const auto ask_64_times = [&] {
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<std::thread> threads;
    std::mutex mutex;
    std::set<std::string> ids;
    for (int i = 0; i < 8; ++i) {
      clients.push_back(server_->Connect());
      threads.emplace_back([&, client = clients.back().get()] {
        for (int call = 0; call < 8; ++call) {
          const absl::StatusOr<Answer> answer = client->Reserve(request);
          const std::scoped_lock lock(mutex);
          ids.insert(Granted(answer).id);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return ids;
  };
  const std::set<std::string> first = ask_64_times();
  EXPECT_EQ(first.size(), 1);
  EXPECT_EQ(server_->Now().blocks.reserved, Blocks(10));
  ReservationRequest other = request;
  other.max_new_tokens = Tokens(1);
  EXPECT_TRUE(absl::IsInvalidArgument(server_->Connect()->Reserve(other).status()));
  EXPECT_EQ(server_->Now().reservations, 1);
  NextLife();
  const std::set<std::string> second = ask_64_times();
  EXPECT_EQ(second.size(), 1);
  EXPECT_NE(first, second);
  EXPECT_EQ(server_->Now().blocks.reserved, Blocks(10));
}

// Row 15: whoever was connected asks again and again from the moment that the server is back, and
// all are served soon.
TEST_F(Restart, ManyClientsAreServedSoonAfterAnOutage) {
  constexpr int kClients = 1000;
  std::vector<std::unique_ptr<Client>> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.push_back(server_->Connect());
    ASSERT_TRUE(clients.back()->GetCapacity().ok());
  }
  server_.reset();
  std::vector<std::atomic<bool>> asking(kClients), served(kClients);
  const auto ask = [&] {
    for (size_t i = 0; i < kClients; ++i) {
      if (served[i] || asking[i].exchange(true)) continue;
      clients[i]->ReserveAsync(RequestOf(16, 0), Duration::zero(),
                               [&, i](const absl::StatusOr<Answer>& answer) {
                                 served[i] = answer.ok();
                                 asking[i] = false;
                               });
    }
  };
  for (int i = 0; i < 10; ++i) {
    ask();
    std::this_thread::sleep_for(milliseconds(50));
  }
  NextLife("10m");  // none ends while others are still served
  EXPECT_TRUE(Eventually([&] {
    ask();
    std::this_thread::sleep_for(milliseconds(20));
    return std::all_of(served.begin(), served.end(), [](const auto& is) { return is.load(); });
  })) << "within a minute";
  EXPECT_EQ(server_->Now().reservations, kClients);
  ASSERT_TRUE(Eventually([&] {
    return std::none_of(asking.begin(), asking.end(), [](const auto& is) { return is.load(); });
  }));
}

// Row 23: clients that go on asking while the server drains lose no release, and it ends by itself.
TEST_F(Restart, DrainingUnderLoadLosesNoRelease) {
  std::atomic<int> granted = 0, released = 0, drained = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const std::unique_ptr<Client> client = server_->Connect();
      while (true) {
        const absl::StatusOr<Answer> answer = client->Reserve(RequestOf(160, 0));
        if (!answer.ok()) return;  // it has ended
        if (std::holds_alternative<Refusal>(*answer)) {
          EXPECT_EQ(std::get<Refusal>(*answer).reason, Reason::kDraining);
          drained.fetch_add(1);
          return;
        }
        granted.fetch_add(1);
        std::this_thread::sleep_for(milliseconds(granted % 20));
        const absl::Status status = client->Release(Granted(answer).id);
        EXPECT_TRUE(status.ok()) << status;
        released.fetch_add(status.ok() ? 1 : 0);
      }
    });
  }
  ASSERT_TRUE(Eventually([&] { return granted > 40; }));
  server_->process().Signal(SIGTERM);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(server_->process().Wait(), 0);
  EXPECT_EQ(granted, released);
  EXPECT_NE(server_->process().output().find("stopped; nothing was cut off"), std::string::npos)
      << server_->process().output();
}

// Row 3: a client that is stopped, as one whose cable was cut, is noticed by its silence long
// before its lease or its waits are over.
TEST_F(Restart, AStoppedClientIsNoticed) {
  server_ = std::make_unique<ServedProcess>();
  HoldingClient client(server_->address(), 16'000);  // all of it, for 30 s
  ASSERT_TRUE(client.Holds());
  client.AskForMore();  // for a minute
  ASSERT_TRUE(Eventually([&] { return server_->Now().waiting == 3; }));
  client.Stop();
  const auto stopped = std::chrono::steady_clock::now();
  while (server_->Now().waiting > 0) {
    ASSERT_LT(std::chrono::steady_clock::now() - stopped, seconds(25));
    std::this_thread::sleep_for(milliseconds(100));
  }
  EXPECT_EQ(server_->Now().reservations, 1) << "the lease is not over";
}

}  // namespace
}  // namespace plimsoll
