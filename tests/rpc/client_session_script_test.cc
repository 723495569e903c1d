// Clients against a server that does what a test says, message by message: what the real one does
// too seldom to wait for.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "kvcache/base/mutex.h"
#include "plimsoll/v1/admission.grpc.pb.h"
#include "rpc/client_session.h"
#include "rpc/reservation_holder.h"
#include "tests/rpc/test_server.h"

namespace plimsoll {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Stream = grpc::ServerReaderWriter<v1::SessionResponse, v1::SessionRequest>;

void SetTime(Duration duration, google::protobuf::Duration& out) {
  out.set_seconds(duration / seconds(1));
  out.set_nanos(static_cast<int32_t>((duration % seconds(1)).count()));
}

void Fill(const std::string& id, Duration ttl, v1::Reservation& out) {
  out.set_reservation_id(id);
  out.set_epoch(id.substr(0, id.find('-')));
  out.set_prompt_tokens(16);
  out.set_blocks(1);
  out.set_confirmed(true);
  SetTime(ttl, *out.mutable_ttl());
  SetTime(ttl, *out.mutable_remaining());
}

class ScriptedServer final : public v1::AdmissionService::Service {
 public:
  // What becomes of one stream, counted from 1. When it returns, the server is gone.
  using Script = std::function<void(int number, Stream& stream)>;
  explicit ScriptedServer(Script script) : script_(std::move(script)) {
    server_ = grpc::ServerBuilder()
                  .AddListeningPort(address, grpc::InsecureServerCredentials())
                  .RegisterService(this)
                  .BuildAndStart();
  }
  ~ScriptedServer() override { server_->Shutdown(std::chrono::system_clock::now()); }

  grpc::Status Session(grpc::ServerContext* /*context*/, Stream* stream) override {
    script_(++streams_, *stream);
    return {grpc::StatusCode::UNAVAILABLE, "gone"};
  }
  grpc::Status ReserveCapacity(grpc::ServerContext* /*context*/,
                               const v1::ReserveCapacityRequest* in,
                               v1::ReserveCapacityResponse* out) override {
    Fill("e1-1", seconds(in->ttl().seconds()), *out->mutable_reservation());
    return grpc::Status::OK;
  }
  // Once; then it is of another life, which fails to take claims.
  grpc::Status RenewReservations(grpc::ServerContext* /*context*/,
                                 const v1::RenewReservationsRequest* in,
                                 v1::RenewReservationsResponse* out) override {
    if (in->claims_size() > 0) {
      ++claims;
      return {grpc::StatusCode::UNAVAILABLE, "not now"};
    }
    const bool confirms = renewals_++ == 0;
    for (const std::string& id : in->reservation_ids()) {
      if (confirms) {
        Fill(id, seconds(2), *out->add_reservations());
        continue;
      }
      v1::LostReservation& lost = *out->add_lost();
      lost.set_reservation_id(id);
      lost.set_cause(v1::LOSS_CAUSE_STALE_EPOCH);
    }
    return grpc::Status::OK;
  }

 private:
  const TempDir folder_;
  const Script script_;
  std::atomic<int> streams_ = 0;
  std::atomic<int> renewals_ = 0;
  std::unique_ptr<grpc::Server> server_;

 public:
  const std::string address = "unix:" + folder_.File("socket");
  std::atomic<int> claims = 0;
};

v1::Hello ReadHello(Stream& stream) {
  v1::SessionRequest request;
  EXPECT_TRUE(stream.Read(&request));
  return request.hello();
}

// With one that was claimed, where `id` says so.
void Welcome(Stream& stream, bool resumed, const std::string& claimed_id = {},
             const std::string& id = {}, Duration ttl = seconds(20)) {
  v1::SessionResponse response;
  v1::Welcome& welcome = *response.mutable_welcome();
  welcome.set_epoch("e");
  welcome.set_resume_token("token");
  welcome.set_resumed(resumed);
  SetTime(ttl, *welcome.mutable_ttl());
  if (!id.empty()) {
    v1::Reservation& reservation = *welcome.add_reservations();
    Fill(id, seconds(20), reservation);
    reservation.set_claimed_id(claimed_id);
  }
  stream.Write(response);
}

// Until so many were heard, or the stream ended.
std::vector<v1::Operation> ReadOperations(Stream& stream, size_t count) {
  std::vector<v1::Operation> heard;
  v1::SessionRequest request;
  while (heard.size() < count && stream.Read(&request)) {
    heard.insert(heard.end(), request.operations().begin(), request.operations().end());
  }
  return heard;
}

void Grant(Stream& stream, const v1::Operation& operation, const std::string& id) {
  v1::SessionResponse response;
  v1::OperationResult& result = *response.add_results();
  result.set_id(operation.id());
  Fill(id, seconds(20), *result.mutable_reservation());
  stream.Write(response);
}

void Release(Stream& stream, const v1::Operation& operation) {
  v1::SessionResponse response;
  v1::OperationResult& result = *response.add_results();
  result.set_id(operation.id());
  result.mutable_released();
  stream.Write(response);
}

std::unique_ptr<ClientSession> Open(const ScriptedServer& server) {
  return std::move(
             ClientSession::Open({.client = {.server = server.address, .retry_for = seconds(60)}}))
      .value();
}

TEST(ScriptedSession, AReleaseThatCrossesTheClaimIsOfTheNewId) {
  absl::Notification claimed, let_go, heard;
  std::string released_id;
  ScriptedServer server([&](int number, Stream& stream) {
    const v1::Hello hello = ReadHello(stream);
    if (number == 1) {
      Welcome(stream, false);
      return Grant(stream, ReadOperations(stream, 1).at(0), "e1-1");
    }
    if (number > 2) return;
    EXPECT_EQ(hello.claims_size(), 1);
    claimed.Notify();
    let_go.WaitForNotification();
    Welcome(stream, false, "e1-1", "e2-1");
    const std::vector<v1::Operation> operations = ReadOperations(stream, 1);
    released_id = operations.at(0).release().reservation_id();
    Release(stream, operations[0]);
    heard.Notify();
  });
  const auto session = Open(server);
  EXPECT_EQ(Granted(session->Reserve(RequestOf(16, 0))).id, "e1-1");
  claimed.WaitForNotification();
  absl::Notification done;
  session->Ask(ReleaseAction{.id = "e1-1"}, [&](const Outcome& outcome) {
    EXPECT_TRUE(outcome.ok()) << outcome.status();
    done.Notify();
  });
  let_go.Notify();
  done.WaitForNotification();
  heard.WaitForNotification();
  EXPECT_EQ(released_id, "e2-1");
}

// More than goes over a stream that ends soon, so that some is left to ask again when it does.
TEST(ScriptedSession, WhatIsAskedAgainTwiceIsAskedOnceOverOneStream) {
  constexpr size_t kMany = 2000;
  std::multiset<uint64_t> ids;
  absl::Notification third, heard;
  ScriptedServer server([&](int number, Stream& stream) {
    ReadHello(stream);
    Welcome(stream, number > 1);
    if (number == 1) ReadOperations(stream, kMany);
    if (number == 2) ReadOperations(stream, 1);
    if (number != 3) return;
    third.Notify();
    v1::SessionRequest request;
    while (stream.Read(&request)) {
      for (const v1::Operation& its : request.operations()) {
        ids.insert(its.id());
        if (its.reserve().prompt_tokens() == 32) heard.Notify();
      }
    }
  });
  const auto session = Open(server);
  ReservationRequest request = RequestOf(16, 0);
  request.tenant = std::string(128, 't');
  for (size_t i = 0; i < kMany; ++i) session->Ask(ReserveAction{.request = request}, [](auto) {});
  third.WaitForNotification();
  session->Ask(ReserveAction{.request = RequestOf(32, 0)}, [](auto) {});  // after all of those
  ASSERT_TRUE(heard.WaitForNotificationWithTimeout(absl::Seconds(10)));
  EXPECT_EQ(ids.size(), kMany + 1);
  EXPECT_EQ(std::set<uint64_t>(ids.begin(), ids.end()).size(), kMany + 1);
  session->Close();
}

// What the session that was forgotten granted under the name has ended.
TEST(ScriptedSession, AReservationThatANewSessionIsAskedForHasANewName) {
  Mutex mutex;
  std::map<int, std::set<std::string>> names;
  ScriptedServer server([&](int number, Stream& stream) {
    ReadHello(stream);
    Welcome(stream, number == 2);
    const std::vector<v1::Operation> operations = ReadOperations(stream, 2);
    {
      const MutexLock lock(mutex);
      for (const auto& its : operations) names[number].insert(its.reserve().request_id());
    }
    if (number < 3) return;
    Grant(stream, operations.at(0), "e1-1");
    Grant(stream, operations.at(1), "e1-2");
    ReadOperations(stream, 1);
  });
  const auto session = Open(server);
  ReservationRequest named = RequestOf(16, 0);
  named.request_id = "mine";
  const auto outcomes =
      session->Batch({ReserveAction{.request = named}, ReserveAction{.request = RequestOf(16, 0)}});
  EXPECT_TRUE(outcomes[0].ok() && outcomes[1].ok());
  const MutexLock lock(mutex);
  EXPECT_EQ(names[1], names[2]) << "the session went on";
  EXPECT_NE(names[2], names[3]);
  for (int i = 1; i <= 3; ++i) {
    EXPECT_EQ(names[i].size(), 2u);
    EXPECT_TRUE(names[i].contains("mine"));
  }
}

// The caller's own name stays, so a server of the same life may know it.
TEST(ScriptedSession, AReservationThatIsAskedAgainAndHasEndedIsNotGranted) {
  absl::Notification over;
  ScriptedServer server([&](int number, Stream& stream) {
    ReadHello(stream);
    Welcome(stream, false);
    const std::vector<v1::Operation> operations = ReadOperations(stream, 1);
    if (number == 1) return;
    EXPECT_EQ(operations.at(0).reserve().request_id(), "mine");
    v1::SessionResponse response;
    v1::OperationResult& result = *response.add_results();
    result.set_id(operations[0].id());
    Fill("e1-1", seconds(20), *result.mutable_reservation());
    result.mutable_reservation()->set_ended(true);
    stream.Write(response);
    over.WaitForNotification();
  });
  const auto session = Open(server);
  ReservationRequest named = RequestOf(16, 0);
  named.request_id = "mine";
  EXPECT_TRUE(absl::IsNotFound(session->Reserve(named).status()));
  EXPECT_FALSE(session->Holds("e1-1"));
  over.Notify();
}

// The next sign of life that is asked for; 0 where the stream ended before.
uint64_t ReadPing(Stream& stream) {
  v1::SessionRequest request;
  while (stream.Read(&request)) {
    if (request.ping() != 0) return request.ping();
  }
  return 0;
}
void AnswerPing(Stream& stream) {
  v1::SessionResponse response;
  response.set_pong(ReadPing(stream));
  EXPECT_NE(response.pong(), 0u);
  stream.Write(response);
}

// The server answers some, then none, and then some again; and then it is gone.
TEST(ScriptedSession, HoldsForATtlFromTheLastSignOfLifeByItsOwnClock) {
  constexpr Duration kTtl = milliseconds(300);
  const SystemClock clock;
  Instant earliest;
  absl::Notification silent, speaks, held, answered, gone;
  ScriptedServer server([&](int number, Stream& stream) {
    if (number > 1) return gone.WaitForNotification();  // the last one may break off at its hello
    ReadHello(stream);
    Welcome(stream, false, {}, {}, kTtl);
    Grant(stream, ReadOperations(stream, 1).at(0), "e1-1");
    for (int i = 0; i < 6; ++i) AnswerPing(stream);  // longer than a ttl
    silent.Notify();
    speaks.WaitForNotification();
    while (!held.HasBeenNotified()) AnswerPing(stream);
    earliest = clock.Now();
    AnswerPing(stream);
    AnswerPing(stream);               // asked for later than that,
    EXPECT_NE(ReadPing(stream), 0u);  // and its answer was heard
    answered.Notify();
  });
  const auto session = Open(server);
  EXPECT_EQ(Granted(session->Reserve(RequestOf(16, 0))).id, "e1-1");
  silent.WaitForNotification();
  EXPECT_TRUE(Eventually([&] { return !session->Holds("e1-1"); })) << "though the stream is there";
  speaks.Notify();
  EXPECT_TRUE(Eventually([&] { return session->Holds("e1-1"); }));
  held.Notify();
  answered.WaitForNotification();
  Instant seen;
  EXPECT_TRUE(Eventually([&] {
    const bool holds = session->Holds("e1-1");
    seen = clock.Now();
    return !holds;
  })) << "while it tries another stream";
  EXPECT_GE(seen, earliest + kTtl);
  gone.Notify();
}

TEST(ScriptedHolder, ClaimsThatFailAreMadeAgainWithPauses) {
  ScriptedServer server([](int, Stream&) {});
  const auto holder =
      std::move(ReservationHolder::Create({.client = {.server = server.address}})).value();
  ReservationRequest request = RequestOf(16, 0);
  request.ttl = seconds(2);
  EXPECT_EQ(Granted(holder->Reserve(request)).id, "e1-1");
  ASSERT_TRUE(Eventually([&] { return server.claims > 0; }));
  const int before = server.claims;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(Eventually([&] { return server.claims >= before + 3; })) << "it goes on";
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(300)) << "200 ms apart";
}

}  // namespace
}  // namespace plimsoll
