#include "engine/ops/experts_cuda.cuh"

#include "engine/ops/route_cuda.cuh"

namespace plimsoll::cuda {

int LaunchRoute(const PlimsollCudaRoute& args, simt::Stream stream) {
  if (args.rows == 0) return 0;
  return simt::Launch(&RouteRow,
                      {.blocks_x = static_cast<int>((args.rows + kRouteWarps - 1) / kRouteWarps),
                       .threads = kRouteThreads},
                      stream, args);
}

int LaunchExperts(const PlimsollCudaExperts& args, simt::Stream stream) {
  if (args.rows == 0) return 0;
  const bool quantised = args.type == PLIMSOLL_CUDA_INT4 || args.type == PLIMSOLL_CUDA_INT8;
  if (!quantised && args.type != args.x_type) return kNoKernel;
  if (args.hidden % kBlockColumns != 0 || args.width % kBlockColumns != 0) return kNoKernel;
  return WithHalfType(args.x_type, [&](auto element) {
    using T = decltype(element);
    if constexpr (std::is_same_v<T, float>) {
      return kNoKernel;
    } else {
      return LaunchExpertsOf<T>(args, stream);
    }
  });
}

}  // namespace plimsoll::cuda
