// A CUDA module whose GPU is the emulator: its device memory is the heap, its kernels the very text
// of the real ones, its matrix library three loops. What runs on it is the program's whole side of
// cuda_module.h and every kernel below it.
//
// Allocations are exactly as large as asked for and full of NaN, chunks of an arena that are not
// committed can't be touched: AddressSanitizer and the machine see what a GPU would pass over.
//
// Threads: one. Cost: a kernel takes some 10 ns for each thread and wait. Errors: as cuda_module.h.
#pragma once

#include "engine/device/cuda_module.h"

namespace plimsoll::emulator {

const PlimsollCudaModule& EmulatedModule();

}  // namespace plimsoll::emulator
