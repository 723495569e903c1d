// Inside the CUDA module: the two kinds of arena memory.
//
// Vmm reserves addresses and maps physical memory into them chunk by chunk, so that memory can be
// given back and shared with other processes. Slab is one allocation, for devices or drivers that
// cannot do that: all of it is taken at creation and stays.
//
// Threads: none. Cost: tens of microseconds per chunk. Errors: codes of cuda_module.h; a failed
// call changes nothing.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/device/cuda_module.h"

// What the opaque handle of cuda_module.h is.
struct PlimsollCudaArena {
  virtual ~PlimsollCudaArena() = default;
  virtual const char* Kind() const = 0;
  virtual void* Base() const = 0;
  virtual int Commit(int64_t first, int64_t count, PlimsollCudaMessage* message) = 0;
  virtual int Decommit(int64_t first, int64_t count, PlimsollCudaMessage* message) = 0;
  virtual bool CanExport() const = 0;
  virtual int Export(int64_t chunk, int* file, PlimsollCudaMessage* message) = 0;
  virtual int Import(int64_t chunk, int file, bool writable, PlimsollCudaMessage* message) = 0;
};

namespace plimsoll::cuda {

struct ArenaShape {
  int device;
  int64_t chunk_bytes;
  int64_t chunks;
};

// Whether `device` can have Vmm arenas.
bool HasVmm(int device);
int VmmGranule(int device, int64_t* bytes, PlimsollCudaMessage* message);

int CreateVmmArena(const ArenaShape& shape, std::unique_ptr<PlimsollCudaArena>* arena,
                   PlimsollCudaMessage* message);
int CreateSlabArena(const ArenaShape& shape, std::unique_ptr<PlimsollCudaArena>* arena,
                    PlimsollCudaMessage* message);

}  // namespace plimsoll::cuda
