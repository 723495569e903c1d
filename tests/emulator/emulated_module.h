// A CUDA module whose GPU is the emulator: its device memory is the heap, its kernels the very text
// of the real ones, its matrix library three loops. What runs on it is the program's whole side of
// cuda_module.h and every kernel below it.
//
// Allocations are exactly as large as asked for and full of NaN, chunks of an arena that are not
// committed can't be touched: AddressSanitizer and the machine see what a GPU would pass over.
//
// A copy to the host that is queued arrives when the device is synchronized, so that who looks
// before sees what was there. What may not be done while a graph is captured is refused then.
//
// Threads: one. Cost: a kernel takes some 10 ns for each thread and wait. Errors: as cuda_module.h.
#pragma once

#include "engine/device/cuda_module.h"

namespace plimsoll::emulator {

const PlimsollCudaModule& EmulatedModule();

// What the module was asked for since the program began.
struct EmulatedCalls {
  int64_t allocations = 0;
  int64_t copies_to_device = 0;
  int64_t copies_to_host = 0;
  int64_t bytes_to_host = 0;
  int64_t graphs_captured = 0;
  int64_t graphs_launched = 0;
  int64_t graphs_before_commit = 0;  // captured when chunks of an arena were last committed
};
const EmulatedCalls& CallsOfEmulatedModule();

// What each graph that is captured from now on takes of the device's memory, until it ends.
void SetGraphBytes(int64_t bytes);

}  // namespace plimsoll::emulator
