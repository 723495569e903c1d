#include "engine/device/cuda_status.h"

#include <string>

namespace plimsoll {

absl::Status CudaStatus(int code, std::string_view what, const PlimsollCudaMessage& message) {
  const std::string line = std::string(what) + ": " + message.text;
  switch (code) {
    case PLIMSOLL_CUDA_OK:
      return absl::OkStatus();
    case PLIMSOLL_CUDA_NO_DEVICE:
      return absl::FailedPreconditionError(line);
    case PLIMSOLL_CUDA_OUT_OF_MEMORY:
      return absl::ResourceExhaustedError(line);
    case PLIMSOLL_CUDA_UNSUPPORTED:
      return absl::UnimplementedError(line);
    default:
      return absl::InternalError(line);
  }
}

}  // namespace plimsoll
