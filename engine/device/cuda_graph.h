// Inside the CUDA module: graphs, captured from the stream of its kernels.
//
// Threads: one. Cost: EndCapture takes milliseconds and, on the device, some 10 KB a kernel;
// LaunchGraph takes some microseconds, whatever the graph holds. Errors: codes of cuda_module.h.
#pragma once

#include "engine/device/cuda_module.h"

namespace plimsoll::cuda {

int BeginCapture(PlimsollCudaMessage* message);
// The graph is on the device when this returns: launching it takes no memory.
int EndCapture(PlimsollCudaGraph** graph, PlimsollCudaMessage* message);
int LaunchGraph(PlimsollCudaGraph* graph, PlimsollCudaMessage* message);
void DestroyGraph(PlimsollCudaGraph* graph);

}  // namespace plimsoll::cuda
