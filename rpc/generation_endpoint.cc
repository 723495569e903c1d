#include "rpc/generation_endpoint.h"

#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "kvcache/base/errors.h"
#include "rpc/caller.h"
#include "rpc/convert_generation.h"

namespace plimsoll {
namespace {

// One Generate call. Tokens are queued by the loop and written by the housekeeper, or by gRPC's
// thread when a write is done; one write is in flight at a time.
class GenerationStream final : public grpc::ServerWriteReactor<v1::GenerateResponse>,
                               public GenerationListener,
                               public std::enable_shared_from_this<GenerationStream> {
 public:
  GenerationStream(const Served& served, LoadTrailer& load, grpc::CallbackServerContext& context)
      : served_(served), load_(load), context_(context) {}

  static grpc::ServerWriteReactor<v1::GenerateResponse>* Start(const Served& served,
                                                               LoadTrailer& load,
                                                               grpc::CallbackServerContext& context,
                                                               const v1::GenerateRequest& in) {
    auto stream = std::make_shared<GenerationStream>(served, load, context);
    stream->self_ = stream;
    const absl::Status status = stream->Submit(in);
    if (!status.ok()) stream->Fail(status);
    return stream.get();
  }

  // From the loop.
  void OnToken(int32_t token) override ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    tokens_.push_back(token);
    WakeLocked();
  }
  void OnFinished(FinishReason reason, const absl::Status& status) override
      ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    end_ = status.ok() ? absl::StatusOr<FinishReason>(reason) : status;
    WakeLocked();
  }

  // From gRPC.
  void OnWriteDone(bool) override ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
    }
    Write();
  }
  void OnCancel() override ABSL_LOCKS_EXCLUDED(mutex_) {
    std::optional<int64_t> ticket;
    {
      absl::MutexLock lock(&mutex_);
      ticket = ticket_;
    }
    if (ticket) served_.loop->Cancel(*ticket);  // and OnFinished ends the call
  }
  void OnDone() override { const std::shared_ptr<GenerationStream> last = std::move(self_); }

 private:
  absl::Status Submit(const v1::GenerateRequest& in) ABSL_LOCKS_EXCLUDED(mutex_) {
    if (served_.loop == nullptr) {
      return absl::UnimplementedError("a ledger server counts blocks and generates nothing");
    }
    absl::StatusOr<GenerationRequest> request = FromWire(in);
    if (!request.ok()) return request.status();
    const absl::StatusOr<Caller> caller = Caller::Of(served_, context_);
    if (!caller.ok()) return caller.status();
    PLIMSOLL_RETURN_IF_ERROR(served_.admission.With([&](const AdmissionController& admission) {
      return caller->CheckMayTouch(admission, request->reservation_id);
    }));
    const absl::StatusOr<int64_t> ticket = served_.loop->Submit(*std::move(request), self_);
    if (!ticket.ok()) return ticket.status();
    absl::MutexLock lock(&mutex_);
    ticket_ = *ticket;
    return absl::OkStatus();
  }

  void WakeLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (woken_ || writing_) return;
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

  // Starts the next write, or ends the call, if nothing is on its way.
  void Write() ABSL_LOCKS_EXCLUDED(mutex_) {
    bool finish = false;
    {
      absl::MutexLock lock(&mutex_);
      if (writing_ || finished_) return;
      if (tokens_.empty() && !end_) return;
      writing_ = true;
      finish = tokens_.empty();
      finished_ = finish;
      message_.Clear();
      if (!finish) {
        message_.mutable_tokens()->mutable_token_ids()->Add(tokens_.begin(), tokens_.end());
        tokens_.clear();
      } else if (end_->ok()) {
        message_.set_finish_reason(ToWire(**end_));
      }
      if (finish && !end_->ok()) failure_ = end_->status();
    }
    if (!finish) return StartWrite(&message_);
    if (!failure_.ok()) return Fail(failure_);
    context_.AddTrailingMetadata(kLoadTrailer, load_.Bytes());
    StartWriteAndFinish(&message_, grpc::WriteOptions(), grpc::Status::OK);
  }

  void Fail(const absl::Status& status) {
    context_.AddTrailingMetadata(kLoadTrailer, load_.Bytes());
    Finish(ToGrpc(status));
  }

  const Served& served_;
  LoadTrailer& load_;
  grpc::CallbackServerContext& context_;  // until OnDone
  std::shared_ptr<GenerationStream> self_;
  v1::GenerateResponse message_;  // of the write in flight
  absl::Status failure_;          // of the whole generation; set once, before Finish
  absl::Mutex mutex_;
  std::optional<int64_t> ticket_ ABSL_GUARDED_BY(mutex_);
  std::vector<int32_t> tokens_ ABSL_GUARDED_BY(mutex_);  // not yet written
  std::optional<absl::StatusOr<FinishReason>> end_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool woken_ ABSL_GUARDED_BY(mutex_) = false;     // a job to write is posted
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // the last write was started
};

}  // namespace

grpc::ServerWriteReactor<v1::GenerateResponse>* GenerationEndpoint::Generate(
    grpc::CallbackServerContext* context, const v1::GenerateRequest* in) {
  return GenerationStream::Start(served_, load_, *context, *in);
}

}  // namespace plimsoll
