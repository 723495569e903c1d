// Calls of our endpoints without a connection: the other side of gRPC's callback interface, where a
// fuzzer decides what the network does next.
//
// What gRPC promises is kept: one reaction for each thing that was started, and OnDone last, when
// the call is finished and nothing is under way.
//
// Threads: the fuzzer's makes the network's moves; an endpoint may answer from any other.
// Cost: some hundred nanoseconds a call. Errors: an endpoint that breaks the rules of the interface
// aborts: a second Finish, a write on top of a write.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/base/check.h"
#include "rpc/message_bytes.h"

namespace plimsoll {

// How a call ended, once it has.
class CallEnd {
 public:
  void Set(grpc::Status status) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    PLIMSOLL_CHECK(!status_.has_value(), status.error_message());
    status_ = std::move(status);
  }
  std::optional<grpc::Status> Get() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::optional<grpc::Status> status_ ABSL_GUARDED_BY(mutex_);
};

template <class In, class Out>
class DirectCall final : public grpc::ServerCallbackUnary {
 public:
  template <class Endpoint>
  DirectCall(Endpoint& endpoint,
             grpc::ServerUnaryReactor* (Endpoint::*method)(grpc::CallbackServerContext*, const In*,
                                                           Out*),
             In in)
      : in_(std::move(in)), reactor_((endpoint.*method)(&context_, &in_, &out_)) {
    BindReactor(reactor_);
  }
  // A raw method, which reads and writes bytes.
  template <class Endpoint>
  DirectCall(Endpoint& endpoint,
             grpc::ServerUnaryReactor* (Endpoint::*method)(grpc::CallbackServerContext*,
                                                           const grpc::ByteBuffer*,
                                                           grpc::ByteBuffer*),
             In in)
      : in_(std::move(in)),
        in_bytes_(BytesOf(in_.SerializeAsString())),
        reactor_((endpoint.*method)(&context_, &in_bytes_, &out_bytes_)) {
    BindReactor(reactor_);
  }
  // Once it has ended.
  ~DirectCall() override {
    PLIMSOLL_CHECK(end_.Get().has_value());
    reactor_->OnDone();
  }

  const In& in() const { return in_; }
  // Once it has ended well.
  Out out() const {
    if (!in_bytes_.Valid()) return out_;
    Out out;
    PLIMSOLL_CHECK(ParseBytes(out_bytes_, out));
    return out;
  }
  std::optional<grpc::Status> end() const { return end_.Get(); }
  // At most once.
  void Cancel() { reactor_->OnCancel(); }

  void Finish(grpc::Status status) override { end_.Set(std::move(status)); }
  void SendInitialMetadata() override {}

 private:
  grpc::internal::ServerReactor* reactor() override { return reactor_; }
  void CallOnDone() override { reactor_->OnDone(); }

  const In in_;
  const grpc::ByteBuffer in_bytes_ = {};  // of a raw method
  Out out_;
  grpc::ByteBuffer out_bytes_;
  CallEnd end_;
  grpc::CallbackServerContext context_;
  grpc::ServerUnaryReactor* const reactor_;
};

// A stream of answers, of a raw method.
class DirectWatch final : public grpc::ServerCallbackWriter<grpc::ByteBuffer> {
 public:
  using Reactor = grpc::ServerWriteReactor<grpc::ByteBuffer>;

  // `in` outlives it.
  template <class Endpoint>
  DirectWatch(Endpoint& endpoint,
              Reactor* (Endpoint::*method)(grpc::CallbackServerContext*, const grpc::ByteBuffer*),
              const grpc::ByteBuffer& in)
      : reactor_((endpoint.*method)(&context_, &in)) {
    BindReactor(reactor_);
  }
  // Once it has ended and nothing is under way.
  ~DirectWatch() override {
    PLIMSOLL_CHECK(end_.Get().has_value() && !WriteIsUnderWay());
    reactor_->OnDone();
  }

  std::optional<grpc::Status> end() const { return end_.Get(); }
  void Cancel() { reactor_->OnCancel(); }
  // What was being written has left, or never will; nothing where nothing was.
  void EndWrite(bool ok) ABSL_LOCKS_EXCLUDED(mutex_) {
    if (TakeWrite()) reactor_->OnWriteDone(ok);
  }

  void Finish(grpc::Status status) override { end_.Set(std::move(status)); }
  void SendInitialMetadata() override {}
  void Write(const grpc::ByteBuffer*, grpc::WriteOptions) override ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    PLIMSOLL_CHECK(!writing_);
    writing_ = true;
  }
  void WriteAndFinish(const grpc::ByteBuffer* out, grpc::WriteOptions options,
                      grpc::Status status) override {
    Write(out, options);
    Finish(std::move(status));
  }

 private:
  grpc::internal::ServerReactor* reactor() override { return reactor_; }
  void CallOnDone() override { reactor_->OnDone(); }
  bool WriteIsUnderWay() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return writing_;
  }
  bool TakeWrite() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return std::exchange(writing_, false);
  }

  CallEnd end_;
  mutable absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::CallbackServerContext context_;
  Reactor* const reactor_;
};

// A stream of both, of a raw method.
template <class In, class Out>
class DirectStream final
    : public grpc::ServerCallbackReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  using Reactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  template <class Endpoint>
  DirectStream(Endpoint& endpoint, Reactor* (Endpoint::*method)(grpc::CallbackServerContext*))
      : reactor_((endpoint.*method)(&context_)) {
    this->BindReactor(reactor_);
  }
  // Once it has ended and nothing is under way: after Close.
  ~DirectStream() override {
    PLIMSOLL_CHECK(end_.Get().has_value() && !busy());
    reactor_->OnDone();
  }

  std::optional<grpc::Status> end() const { return end_.Get(); }
  bool busy() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return reading_ != nullptr || writing_;
  }
  // Whether it came: the endpoint reads, and the stream has not ended.
  bool Send(const In& message) {
    grpc::ByteBuffer* const to = TakeRead();
    if (to == nullptr) return false;
    *to = BytesOf(message.SerializeAsString());
    reactor_->OnReadDone(true);
    return true;
  }
  // The other side says no more.
  void EndReads() {
    if (TakeRead() != nullptr) reactor_->OnReadDone(false);
  }
  void EndWrite(bool ok) ABSL_LOCKS_EXCLUDED(mutex_) {
    bool wrote = false;
    {
      absl::MutexLock lock(&mutex_);
      wrote = std::exchange(writing_, false);
    }
    if (wrote) reactor_->OnWriteDone(ok);
  }
  // What was written since the last call.
  std::vector<Out> Take() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return std::exchange(written_, {});
  }
  void Cancel() { reactor_->OnCancel(); }

  void Finish(grpc::Status status) override { end_.Set(std::move(status)); }
  void SendInitialMetadata() override {}
  void Read(grpc::ByteBuffer* to) override ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    PLIMSOLL_CHECK(reading_ == nullptr);
    reading_ = to;
  }
  void Write(const grpc::ByteBuffer* out, grpc::WriteOptions) override ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    PLIMSOLL_CHECK(!writing_);
    writing_ = true;
    PLIMSOLL_CHECK(ParseBytes(*out, written_.emplace_back()));
  }
  void WriteAndFinish(const grpc::ByteBuffer* out, grpc::WriteOptions options,
                      grpc::Status status) override {
    Write(out, options);
    Finish(std::move(status));
  }

 private:
  grpc::internal::ServerReactor* reactor() override { return reactor_; }
  void CallOnDone() override { reactor_->OnDone(); }
  grpc::ByteBuffer* TakeRead() ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return std::exchange(reading_, nullptr);
  }

  CallEnd end_;
  mutable absl::Mutex mutex_;
  grpc::ByteBuffer* reading_ ABSL_GUARDED_BY(mutex_) = nullptr;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<Out> written_ ABSL_GUARDED_BY(mutex_);
  grpc::CallbackServerContext context_;
  Reactor* const reactor_;
};

}  // namespace plimsoll
