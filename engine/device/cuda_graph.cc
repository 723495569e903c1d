#include "engine/device/cuda_graph.h"

#include <cuda_runtime_api.h>

#include "engine/device/cuda_error.h"
#include "engine/device/cuda_kernels.h"

// What the opaque handle of cuda_module.h is.
struct PlimsollCudaGraph {
  cudaGraphExec_t graph = nullptr;
};

namespace plimsoll::cuda {

// Relaxed, since kernels may be loaded when they are queued for the first time.
int BeginCapture(PlimsollCudaMessage* message) {
  return Report(cudaStreamBeginCapture(Stream(), cudaStreamCaptureModeRelaxed),
                "cudaStreamBeginCapture", message);
}

int EndCapture(PlimsollCudaGraph** graph, PlimsollCudaMessage* message) {
  cudaGraph_t captured = nullptr;
  int code = Report(cudaStreamEndCapture(Stream(), &captured), "cudaStreamEndCapture", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  cudaGraphExec_t made = nullptr;
  code = Report(cudaGraphInstantiate(&made, captured, 0), "cudaGraphInstantiate", message);
  static_cast<void>(cudaGraphDestroy(captured));
  if (code != PLIMSOLL_CUDA_OK) return code;
  code = Report(cudaGraphUpload(made, Stream()), "cudaGraphUpload", message);
  if (code != PLIMSOLL_CUDA_OK) {
    static_cast<void>(cudaGraphExecDestroy(made));
    return code;
  }
  *graph = new PlimsollCudaGraph{made};
  return PLIMSOLL_CUDA_OK;
}

int LaunchGraph(PlimsollCudaGraph* graph, PlimsollCudaMessage* message) {
  return Report(cudaGraphLaunch(graph->graph, Stream()), "cudaGraphLaunch", message);
}

void DestroyGraph(PlimsollCudaGraph* graph) {
  static_cast<void>(cudaGraphExecDestroy(graph->graph));
  delete graph;
}

}  // namespace plimsoll::cuda
