// What CUDA adds to C++, as functions that also exist on a CPU: the only PTX of the project.
//
// nvcc compiles the functions below. Any other compiler is given PLIMSOLL_SIMT_HEADER, the name of
// a header that defines the same functions with the same meaning on fibres of one thread; so the
// very text of a kernel runs where there is no GPU. In return, a kernel
//
//   - is a template in a header, marked SIMT_KERNEL, and what it calls is marked SIMT_DEVICE;
//   - asks for its index, barriers, shuffles and shared memory only here, and is started by Launch;
//   - has dynamic shared memory only, which holds nothing that is known when a block begins;
//   - ends in all threads of a block together if it has a barrier.
//
// A program may hold both kinds of code only in different shared libraries: the names are the same.
//
// A warp is 32 lanes. "lane / 4" and "lane % 4" are called g and t below. A word holds two 16-bit
// numbers, the first of a pair in its low half.
//
// Fragments of MultiplyAdd, D = A B + C with A [16, 16], B [16, 8] and C, D [16, 8]. Each lane
// holds
//
//   a[0] = A[g    ][2t, 2t+1]      a[2] = A[g    ][2t+8, 2t+9]
//   a[1] = A[g + 8][2t, 2t+1]      a[3] = A[g + 8][2t+8, 2t+9]
//   b[0] = B[2t, 2t+1][g]          b[1] = B[2t+8, 2t+9][g]
//   c[0], c[1] = C[g][2t], C[g][2t+1];   c[2], c[3] = C[g + 8][2t], C[g + 8][2t+1]
//
// (PTX manual, "Matrix fragments for mma.m16n8k16".)
//
// Threads: as CUDA says; what names no lanes is for a whole warp at once, all of it at one place of
// the program. Cost: an instruction or two each. Errors: none on a GPU; the emulator aborts, with
// the thread and the place, on what CUDA leaves undefined.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

struct CUstream_st;

namespace plimsoll::simt {

inline constexpr int kWarp = 32;
inline constexpr uint32_t kAllLanes = 0xffffffffu;

using Stream = CUstream_st*;  // a cudaStream_t

// `threads` is a multiple of 32.
struct LaunchShape {
  int blocks_x = 1;
  int blocks_y = 1;
  int blocks_z = 1;
  int threads = kWarp;
  int shared_bytes = 0;
};

}  // namespace plimsoll::simt

#ifndef __CUDACC__
#include PLIMSOLL_SIMT_HEADER
#else

// SIMT_KERNEL(threads, blocks): at most so many threads in a block, and registers few enough that
// so many blocks fit a multiprocessor.
#define SIMT_KERNEL(...) __global__ void __launch_bounds__(__VA_ARGS__)
#define SIMT_DEVICE __device__ __forceinline__

namespace plimsoll::simt {

SIMT_DEVICE int ThreadX() { return static_cast<int>(threadIdx.x); }
SIMT_DEVICE int ThreadsX() { return static_cast<int>(blockDim.x); }
SIMT_DEVICE int BlockX() { return static_cast<int>(blockIdx.x); }
SIMT_DEVICE int BlockY() { return static_cast<int>(blockIdx.y); }
SIMT_DEVICE int BlockZ() { return static_cast<int>(blockIdx.z); }
SIMT_DEVICE int BlocksX() { return static_cast<int>(gridDim.x); }

// The block's dynamic shared memory, aligned to 16 bytes.
template <class T>
SIMT_DEVICE T* SharedMemory() {
  extern __shared__ __align__(16) unsigned char bytes[];
  return reinterpret_cast<T*>(bytes);
}

// Waits for all threads of the block, and shows each what the others wrote.
SIMT_DEVICE void Synchronize() { __syncthreads(); }

// What lane `lane ^ lanes` brings. All of `mask` call it.
template <class T>
SIMT_DEVICE T ShuffleXor(T value, int lanes, uint32_t mask = kAllLanes) {
  static_assert(sizeof(T) == 4);
  return __shfl_xor_sync(mask, value, lanes);
}

// What lane `lane` brings, which each lane chooses for itself. All of `mask` call it.
template <class T>
SIMT_DEVICE T ShuffleFrom(T value, int lane, uint32_t mask = kAllLanes) {
  static_assert(sizeof(T) == 4);
  return __shfl_sync(mask, value, lane);
}

// 16 bytes at an address that 16 divides, which no kernel writes meanwhile. Not kept in L1: it is
// for what is read once.
SIMT_DEVICE uint4 Load16(const void* from) {
  uint4 r;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(r.x), "=r"(r.y), "=r"(r.z), "=r"(r.w)
               : "l"(from));
  return r;
}

// The same where `wanted`; otherwise zeros, and nothing is read.
SIMT_DEVICE uint4 Load16If(bool wanted, const void* from) {
  uint4 r;
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.b32 p, %5, 0;\n\t"
      "mov.b32 %0, 0;\n\tmov.b32 %1, 0;\n\tmov.b32 %2, 0;\n\tmov.b32 %3, 0;\n\t"
      "@p ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];\n\t"
      "}"
      : "=&r"(r.x), "=&r"(r.y), "=&r"(r.z), "=&r"(r.w)
      : "l"(from), "r"(static_cast<int>(wanted)));
  return r;
}

// 8 and 4 bytes likewise, at addresses that 8 and 4 divide.
SIMT_DEVICE uint2 Load8If(bool wanted, const void* from) {
  uint2 r;
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.b32 p, %3, 0;\n\t"
      "mov.b32 %0, 0;\n\tmov.b32 %1, 0;\n\t"
      "@p ld.global.nc.v2.u32 {%0, %1}, [%2];\n\t"
      "}"
      : "=&r"(r.x), "=&r"(r.y)
      : "l"(from), "r"(static_cast<int>(wanted)));
  return r;
}

SIMT_DEVICE uint32_t Load4If(bool wanted, const void* from) {
  uint32_t r;
  asm volatile(
      "{\n\t"
      ".reg .pred p;\n\t"
      "setp.ne.b32 p, %2, 0;\n\t"
      "mov.b32 %0, 0;\n\t"
      "@p ld.global.nc.u32 %0, [%1];\n\t"
      "}"
      : "=&r"(r)
      : "l"(from), "r"(static_cast<int>(wanted)));
  return r;
}

// kBytes, 4, 8 or 16 and a divisor of both addresses, on their way to shared memory; zeros where
// they are not wanted, and nothing is read. They are there, for the thread that asked, once it
// awaited their group, and for others behind the next barrier. EndCopies closes the group of what
// was asked for since the last; AwaitCopies leaves the last kGroups under way. Before sm_80 they
// are there at once.
template <int kBytes>
SIMT_DEVICE void CopyAsync(bool wanted, void* shared, const void* from);
SIMT_DEVICE void EndCopies();
template <int kGroups>
SIMT_DEVICE void AwaitCopies();

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800

template <int kBytes>
SIMT_DEVICE void CopyAsync(bool wanted, void* shared, const void* from) {
  if constexpr (kBytes == 16) {
    *static_cast<uint4*>(shared) = Load16If(wanted, from);
  } else if constexpr (kBytes == 8) {
    *static_cast<uint2*>(shared) = Load8If(wanted, from);
  } else {
    *static_cast<uint32_t*>(shared) = Load4If(wanted, from);
  }
}
SIMT_DEVICE void EndCopies() {}
template <int kGroups>
SIMT_DEVICE void AwaitCopies() {}

#else

template <int kBytes>
SIMT_DEVICE void CopyAsync(bool wanted, void* shared, const void* from) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16);
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  const int read = wanted ? kBytes : 0;
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(read)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes),
                 "r"(read)
                 : "memory");
  }
}
SIMT_DEVICE void EndCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kGroups>
SIMT_DEVICE void AwaitCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

#endif

// Byte i of the result is byte (selector >> 4 i) & 7 of the eight bytes {a, b}, a's first.
SIMT_DEVICE uint32_t PermuteBytes(uint32_t a, uint32_t b, uint32_t selector) {
  return __byte_perm(a, b, selector);
}

// (a & mask) | set
SIMT_DEVICE uint32_t AndOr(uint32_t a, uint32_t mask, uint32_t set) {
  uint32_t r;
  asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(r) : "r"(a), "r"(mask), "r"(set));
  return r;
}

// a - b, for each of the two fp16.
SIMT_DEVICE uint32_t SubtractHalves(uint32_t a, uint32_t b) {
  uint32_t r;
  asm("sub.f16x2 %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));
  return r;
}

// 2^x, to two units in the last place; a denormal argument or result is zero.
SIMT_DEVICE float PowerOfTwo(float x) {
  float r;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
  return r;
}

// A matrix [8, 8] of 16-bit elements, of which lane (g, t) holds row g, columns 2t and 2t + 1,
// comes back transposed, held in the same way.
SIMT_DEVICE uint32_t Transpose(uint32_t pair) {
  uint32_t r;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(pair));
  return r;
}

// C += A B, with elements of A and B in T, which is __half or __nv_bfloat16. Before sm_80 there is
// no bf16, which traps, and an fp16 step is taken in two halves.
template <class T>
SIMT_DEVICE void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800

template <>
SIMT_DEVICE void MultiplyAdd<__half>(float (&c)[4], const uint32_t (&a)[4],
                                     const uint32_t (&b)[2]) {
#pragma unroll
  for (int k = 0; k < 2; ++k) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 "
        "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[2 * k]), "r"(a[2 * k + 1]), "r"(b[k]));
  }
}

template <>
SIMT_DEVICE void MultiplyAdd<__nv_bfloat16>(float (&)[4], const uint32_t (&)[4],
                                            const uint32_t (&)[2]) {
  __trap();
}

#else

template <>
SIMT_DEVICE void MultiplyAdd<__half>(float (&c)[4], const uint32_t (&a)[4],
                                     const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <>
SIMT_DEVICE void MultiplyAdd<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4],
                                            const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

#endif

// Queues the kernel. Returns 0, or the cudaError_t that says why not.
template <class... Parameters, class... Arguments>
int Launch(void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream,
           Arguments... arguments) {
  if (shape.shared_bytes > 48 * 1024) {  // more has to be asked for
    const cudaError_t asked = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shape.shared_bytes);
    if (asked != cudaSuccess) return asked;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(shape.blocks_x, shape.blocks_y, shape.blocks_z);
  config.blockDim = dim3(shape.threads);
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

}  // namespace plimsoll::simt
#endif
