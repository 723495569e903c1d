// A session with a server of a test, one call at a time.
//
// Threads: the test's. Read blocks until something comes; the stream's deadline of ten seconds ends
// a test that would wait for ever.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "plimsoll/v1/admission.grpc.pb.h"
#include "tests/rpc/raw_call.h"

namespace plimsoll {

class TestSession {
 public:
  explicit TestSession(const std::string& address) : TestSession(ChannelTo(address)) {}
  explicit TestSession(const std::shared_ptr<grpc::Channel>& channel, const std::string& token = "")
      : stub_(v1::AdmissionService::NewStub(channel)) {
    if (!token.empty()) context_.AddMetadata("authorization", "Bearer " + token);
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    // Under load gRPC 1.51 now and then takes a connection that is under way for one that failed.
    context_.set_wait_for_ready(true);
    stream_ = stub_->Session(&context_);
  }
  ~TestSession() {
    if (!over_) Break();
  }

  bool Send(const v1::SessionRequest& request) { return stream_->Write(request); }
  bool Read(v1::SessionResponse& response) { return stream_->Read(&response); }

  v1::Welcome Greet(const v1::Hello& hello = {}) {
    v1::SessionRequest request;
    *request.mutable_hello() = hello;
    Send(request);
    v1::SessionResponse response;
    Read(response);
    return response.welcome();
  }
  // Reads until so many results and revoked ids have come in all, or the stream ends.
  void Await(size_t results, size_t revoked = 0) {
    v1::SessionResponse response;
    while ((results_.size() < results || revoked_.size() < revoked) && Read(response)) {
      results_.insert(results_.end(), response.results().begin(), response.results().end());
      revoked_.insert(revoked_.end(), response.revoked_ids().begin(), response.revoked_ids().end());
    }
  }
  // The result of one operation, when no other is outstanding.
  v1::OperationResult Do(const v1::Operation& operation) {
    v1::SessionRequest request;
    *request.add_operations() = operation;
    Send(request);
    results_.clear();
    Await(1);
    return results_.empty() ? v1::OperationResult() : results_.front();
  }
  v1::OperationResult Reserve(int64_t blocks, const std::string& request_id = "") {
    v1::Operation operation;
    operation.mutable_reserve()->set_prompt_tokens(16 * blocks);
    operation.mutable_reserve()->set_request_id(request_id);
    return Do(operation);
  }
  v1::OperationResult Release(const std::string& id) {
    v1::Operation operation;
    operation.mutable_release()->set_reservation_id(id);
    return Do(operation);
  }
  v1::OperationResult Extend(const std::string& id, int64_t total) {
    v1::Operation operation;
    operation.mutable_extend()->set_reservation_id(id);
    operation.mutable_extend()->set_total_tokens(total);
    return Do(operation);
  }

  const std::vector<v1::OperationResult>& results() const { return results_; }
  const std::vector<std::string>& revoked() const { return revoked_; }

  // How the server ended it; what it still says is dropped.
  grpc::Status End() {
    over_ = true;
    v1::SessionResponse response;
    while (Read(response)) {
    }
    return stream_->Finish();
  }
  grpc::Status Close() {
    stream_->WritesDone();
    return End();
  }
  // As if the connection were cut.
  void Break() {
    Cut();
    End();
  }
  void Cut() { context_.TryCancel(); }

 private:
  std::unique_ptr<v1::AdmissionService::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::SessionRequest, v1::SessionResponse>> stream_;
  std::vector<v1::OperationResult> results_;
  std::vector<std::string> revoked_;
  bool over_ = false;
};

}  // namespace plimsoll
