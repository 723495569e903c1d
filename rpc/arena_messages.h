// The messages of one call in one piece of memory, which goes as it came: for methods whose
// messages have parts of their own, each of which would be allocated and freed.
//
// Threads: gRPC's, each call its own. Cost: two allocations for a call whose messages fit `first`
// bytes, and one for each string too long to lie within its message; a few more for a larger one.
// A request of n bytes takes a small multiple of n. Errors: none.
#pragma once

#include <google/protobuf/arena.h>
#include <grpcpp/support/message_allocator.h>

#include <cstddef>

namespace plimsoll {

template <class Request, class Response>
class ArenaMessages final : public grpc::MessageAllocator<Request, Response> {
 public:
  explicit ArenaMessages(size_t first) { options_.start_block_size = first; }

  grpc::MessageHolder<Request, Response>* AllocateMessages() override {
    return new OfOneCall(options_);
  }

 private:
  class OfOneCall final : public grpc::MessageHolder<Request, Response> {
   public:
    explicit OfOneCall(const google::protobuf::ArenaOptions& options) : arena_(options) {
      this->set_request(google::protobuf::Arena::CreateMessage<Request>(&arena_));
      this->set_response(google::protobuf::Arena::CreateMessage<Response>(&arena_));
    }
    void Release() override { delete this; }

   private:
    google::protobuf::Arena arena_;
  };

  google::protobuf::ArenaOptions options_;
};

}  // namespace plimsoll
