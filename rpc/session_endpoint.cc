#include "rpc/session_endpoint.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "rpc/message_bytes.h"
#include "rpc/session_dialogue.h"

namespace plimsoll {
namespace {

class SessionStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                            public std::enable_shared_from_this<SessionStream> {
 public:
  SessionStream(const Served& served, Sessions& sessions, Caller caller)
      : served_(served),
        dialogue_(served.admission, sessions, served.clock, std::move(caller), [this] { Wake(); }) {
  }

  static SessionStream* Start(const Served& served, Sessions& sessions,
                              absl::StatusOr<Caller> caller) {
    auto stream =
        std::make_shared<SessionStream>(served, sessions, caller.ok() ? *caller : Caller());
    stream->self_ = stream;
    if (caller.ok()) {
      stream->StartRead(&stream->request_);
    } else {
      stream->End(caller.status());
    }
    return stream.get();
  }

  void OnReadDone(bool ok) override {
    const absl::Status status = ok ? Take() : absl::OkStatus();
    if (!ok || !status.ok()) return End(status);
    Write();
    StartRead(&request_);
  }
  void OnWriteDone(bool) override ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
    }
    Write();
  }
  void OnCancel() override { End(absl::CancelledError("the client went away")); }
  void OnDone() override { const std::shared_ptr<SessionStream> last = std::move(self_); }

 private:
  absl::Status Take() {
    Received<v1::SessionRequest, 24 << 10> received(request_);
    return received.parsed() ? dialogue_.Take(*received) : DoesNotParse();
  }
  // Inside the admission lock.
  void Wake() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (woken_ || writing_ || finished_) return;
    woken_ = true;
    served_.housekeeper.Post([stream = shared_from_this()] { stream->WriteWoken(); });
  }
  void WriteWoken() ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      woken_ = false;
    }
    Write();
  }

  void End(const absl::Status& status) {
    dialogue_.End(status);
    Write();
  }

  // Starts the next write, or finishes when all is written. Who is cut off because he does not read
  // would never let the write on its way end: then nothing is waited for.
  void Write() ABSL_LOCKS_EXCLUDED(mutex_) {
    auto turn = SessionDialogue::Turn::kNothing;
    {
      absl::MutexLock lock(&mutex_);
      if (finished_) return;
      if (writing_ && (!dialogue_.cut_off() || starting_ > 0)) return;
      turn = dialogue_.Next(text_);
      if (turn == SessionDialogue::Turn::kNothing) return;
      if (turn == SessionDialogue::Turn::kMessage) message_ = BytesOf(text_);
      finished_ = turn == SessionDialogue::Turn::kEnd;
      writing_ = !finished_;
      starting_ += finished_ ? 0 : 1;
    }
    if (turn == SessionDialogue::Turn::kEnd) return Finish(ToGrpc(dialogue_.end()));
    StartWrite(&message_);
    {
      absl::MutexLock lock(&mutex_);
      --starting_;
    }
    if (dialogue_.cut_off()) Write();  // which did nothing while the write was starting
  }

  const Served& served_;
  SessionDialogue dialogue_;
  std::shared_ptr<SessionStream> self_;
  grpc::ByteBuffer request_;  // of the read in flight
  grpc::ByteBuffer message_;  // of the write in flight
  absl::Mutex mutex_;
  std::string text_ ABSL_GUARDED_BY(mutex_);  // the room in which messages are made
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  int starting_ ABSL_GUARDED_BY(mutex_) = 0;       // calls of StartWrite that have not returned
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;     // a job to write is posted
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // Finish was called
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StartSession(
    const Served& served, Sessions& sessions, absl::StatusOr<Caller> caller) {
  return SessionStream::Start(served, sessions, std::move(caller));
}

}  // namespace plimsoll
