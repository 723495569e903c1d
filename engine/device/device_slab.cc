#include <utility>

#include "engine/device/backend.h"

namespace plimsoll {

DeviceSlab& DeviceSlab::operator=(DeviceSlab&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(release_, other.release_);
  std::swap(owner_, other.owner_);
  return *this;
}

DeviceSlab::~DeviceSlab() {
  if (data_ != nullptr) release_(owner_, data_, bytes_);
}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(unpin_, other.unpin_);
  std::swap(owner_, other.owner_);
  return *this;
}

PinnedMemory::~PinnedMemory() {
  if (unpin_ != nullptr) unpin_(owner_, data_);
}

DeviceGraph& DeviceGraph::operator=(DeviceGraph&& other) noexcept {
  std::swap(graph_, other.graph_);
  std::swap(release_, other.release_);
  std::swap(owner_, other.owner_);
  return *this;
}

DeviceGraph::~DeviceGraph() {
  if (graph_ != nullptr) release_(owner_, graph_);
}

}  // namespace plimsoll
