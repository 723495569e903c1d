// Messages of a raw method: read from bytes into memory of their own, and bytes to answer with.
//
// Threads: none. Cost: an allocation for each text longer than 15 bytes, and for what does not fit
// the room given; a request of n bytes takes a small multiple of n. Errors: as they say.
#pragma once

#include <google/protobuf/arena.h>
#include <google/protobuf/message_lite.h>
#include <grpcpp/support/byte_buffer.h>

#include <array>
#include <cstddef>
#include <string_view>

#include "absl/status/status.h"

namespace plimsoll {

// False where they do not parse.
bool ParseBytes(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite& out);
// A copy.
grpc::ByteBuffer BytesOf(std::string_view text);

// As methods whose messages gRPC reads.
inline absl::Status DoesNotParse() {
  return absl::UnimplementedError("the message could not be parsed");
}

// A message in one piece of memory, of which the first bytes are in it: put it on the stack.
template <class Message, size_t kFirstBytes>
class Received {
 public:
  explicit Received(const grpc::ByteBuffer& bytes)
      : arena_(Options(first_)),
        message_(*google::protobuf::Arena::CreateMessage<Message>(&arena_)),
        parsed_(ParseBytes(bytes, message_)) {}

  bool parsed() const { return parsed_; }
  Message& operator*() { return message_; }

 private:
  using First = std::array<char, kFirstBytes>;
  static google::protobuf::ArenaOptions Options(First& first) {
    google::protobuf::ArenaOptions options;
    options.initial_block = first.data();
    options.initial_block_size = first.size();
    return options;
  }

  alignas(std::max_align_t) First first_;
  google::protobuf::Arena arena_;
  Message& message_;
  const bool parsed_;
};

}  // namespace plimsoll
