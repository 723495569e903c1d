#include <cuda_runtime_api.h>

#include "engine/device/cuda_error.h"
#include "engine/device/cuda_memory.h"

namespace plimsoll::cuda {
namespace {

class SlabArena final : public PlimsollCudaArena {
 public:
  explicit SlabArena(void* base) : base_(base) {}
  SlabArena(const SlabArena&) = delete;
  SlabArena& operator=(const SlabArena&) = delete;
  ~SlabArena() override { cudaFree(base_); }

  const char* Kind() const override { return "cuda-slab"; }
  void* Base() const override { return base_; }
  int Commit(int64_t, int64_t, PlimsollCudaMessage*) override { return PLIMSOLL_CUDA_OK; }
  int Decommit(int64_t, int64_t, PlimsollCudaMessage* message) override {
    return Unsupported("a slab is given back only as a whole", message);
  }
  bool CanExport() const override { return false; }
  int Export(int64_t, int*, PlimsollCudaMessage* message) override {
    return Unsupported("a slab has no file descriptor", message);
  }
  int Import(int64_t, int, bool, PlimsollCudaMessage* message) override {
    return Unsupported("a slab has memory of its own and no place for another's", message);
  }

 private:
  void* const base_;
};

}  // namespace

int CreateSlabArena(const ArenaShape& shape, std::unique_ptr<PlimsollCudaArena>* arena,
                    PlimsollCudaMessage* message) {
  void* base = nullptr;
  const int code = Report(cudaMalloc(&base, static_cast<size_t>(shape.chunk_bytes * shape.chunks)),
                          "cudaMalloc", message);
  if (code != PLIMSOLL_CUDA_OK) return code;
  *arena = std::make_unique<SlabArena>(base);
  return PLIMSOLL_CUDA_OK;
}

}  // namespace plimsoll::cuda
