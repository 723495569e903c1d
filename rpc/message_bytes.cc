#include "rpc/message_bytes.h"

#include <grpcpp/support/slice.h>

namespace plimsoll {

bool ParseBytes(const grpc::ByteBuffer& bytes, google::protobuf::MessageLite& out) {
  if (!bytes.Valid()) return false;
  grpc::Slice slice;
  const bool whole = bytes.TrySingleSlice(&slice).ok() || bytes.DumpToSingleSlice(&slice).ok();
  return whole && out.ParseFromArray(slice.begin(), static_cast<int>(slice.size()));
}

grpc::ByteBuffer BytesOf(std::string_view text) {
  const grpc::Slice slice(text.data(), text.size());
  return {&slice, 1};
}

}  // namespace plimsoll
