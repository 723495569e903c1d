#include "engine/decoder/drawn_tokens.h"

#include <utility>

#include "kvcache/base/errors.h"

namespace plimsoll {

Bytes DrawnTokens::BytesFor(int64_t rows) {
  return Bytes(rows * static_cast<int64_t>(sizeof(int32_t)));
}

absl::StatusOr<DrawnTokens> DrawnTokens::Create(const DeviceBackend& backend, int64_t rows) {
  absl::StatusOr<DeviceSlab> slab = backend.Allocate(BytesFor(rows));
  if (!slab.ok()) return Annotate(slab.status(), "drawn tokens");
  DrawnTokens tokens;
  tokens.backend_ = &backend;
  absl::StatusOr<PinnedBuffer> host = PinnedBuffer::Create(backend, BytesFor(rows));
  if (!host.ok()) return Annotate(host.status(), "drawn tokens");
  tokens.host_ = *std::move(host);
  tokens.device_ = *std::move(slab);
  return tokens;
}

absl::Status DrawnTokens::Fetch(int64_t rows) {
  return backend_->QueueToHost(host_.data(), device_.data(), BytesFor(rows));
}

}  // namespace plimsoll
