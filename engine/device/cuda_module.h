/* What libplimsoll_cuda.so offers the program that loads it: plain C, so that the two share no C++
 * types and may be built by different compilers.
 *
 * Every call returns one of the codes below and, when it is not OK, writes one line to `message`.
 * A failed call changes nothing. One device per process; one thread calls at a time.
 */
#ifndef PLIMSOLL_ENGINE_DEVICE_CUDA_MODULE_H_
#define PLIMSOLL_ENGINE_DEVICE_CUDA_MODULE_H_

#include <stdint.h>

#include "engine/ops/attention_cuda.h"
#include "engine/ops/cuda_arguments.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Goes up with every change to this file. */
#define PLIMSOLL_CUDA_VERSION 5
#define PLIMSOLL_CUDA_ENTRY "plimsoll_cuda_module"

enum PlimsollCudaCode {
  PLIMSOLL_CUDA_OK = 0,
  PLIMSOLL_CUDA_NO_DEVICE = 1,     /* no driver, or no GPU */
  PLIMSOLL_CUDA_OUT_OF_MEMORY = 2, /* of the device, or of addresses */
  PLIMSOLL_CUDA_UNSUPPORTED = 3,   /* this device or driver cannot do it */
  PLIMSOLL_CUDA_FAILED = 4         /* any other CUDA error */
};

typedef struct PlimsollCudaMessage {
  char text[240]; /* ends in a zero */
} PlimsollCudaMessage;

typedef struct PlimsollCudaDevice {
  char name[256];                     /* "NVIDIA H100 80GB HBM3"; ends in a zero */
  int32_t multiprocessors;            /* 132 */
  int32_t compute_capability;         /* 90 for sm_90 */
  int32_t threads_per_multiprocessor; /* 2048 */
  char pci_bus_id[32];                /* "0000:65:00.0"; ends in a zero */
  /* Of the device's memory when the context had started: all that was used, by whomever. */
  int64_t context_bytes;
  /* What the kernels' own memory and libraries took then, and how much of it was asked for. */
  int64_t library_bytes;
  int64_t library_asked_bytes;
} PlimsollCudaDevice;

typedef struct PlimsollCudaCopy {
  void* to;
  const void* from;
  int64_t bytes;
} PlimsollCudaCopy;

typedef struct PlimsollCudaArena PlimsollCudaArena;
typedef struct PlimsollCudaGraph PlimsollCudaGraph;

/* The operations of engine/ops/ops.h. Each is queued, in the order of the calls, and reads and
 * writes device memory; a null has no kernel yet. UNSUPPORTED, before anything is queued, for a
 * type or shape that the kernel cannot do. */
typedef struct PlimsollCudaKernels {
  int (*embed)(const PlimsollCudaEmbed*, PlimsollCudaMessage*);
  int (*rms_norm)(const PlimsollCudaRmsNorm*, PlimsollCudaMessage*);
  int (*linear)(const PlimsollCudaLinear*, PlimsollCudaMessage*);
  int (*rotate_and_append)(const PlimsollCudaAppend*, PlimsollCudaMessage*);
  int (*attention)(const PlimsollCudaAttention*, PlimsollCudaMessage*);
  int (*gated_activation)(const PlimsollCudaGatedActivation*, PlimsollCudaMessage*);
  int (*softcap)(const PlimsollCudaSoftcap*, PlimsollCudaMessage*);
  int (*route)(const PlimsollCudaRoute*, PlimsollCudaMessage*);
  int (*experts)(const PlimsollCudaExperts*, PlimsollCudaMessage*);
  int (*sample)(const PlimsollCudaSample*, PlimsollCudaMessage*);
  /* The library's product, which linear uses for many rows. */
  int (*gemm)(const PlimsollCudaGemm*, PlimsollCudaMessage*);
} PlimsollCudaKernels;

typedef struct PlimsollCudaModule {
  uint32_t version;    /* PLIMSOLL_CUDA_VERSION, of the module; read before anything else */
  uint32_t can_decode; /* whether it has kernels enough for an engine */

  /* Chooses a device and starts its context. Before all others. */
  int (*open)(int device, PlimsollCudaMessage* message);
  int (*describe)(PlimsollCudaDevice* device, PlimsollCudaMessage* message);
  int (*memory)(int64_t* total, int64_t* free, PlimsollCudaMessage* message);
  int (*synchronize)(PlimsollCudaMessage* message);
  /* At a multiple of 256 bytes. */
  int (*allocate)(int64_t bytes, void** memory, PlimsollCudaMessage* message);
  void (*release)(void* memory);
  int (*copy_to_device)(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message);
  int (*copy_to_host)(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message);

  /* Each from and to memory of the device or of the host, in the order given; it returns when all
   * are done. Memory of the host that is pinned needs no detour. */
  int (*copy_all)(const PlimsollCudaCopy* copies, int64_t count, PlimsollCudaMessage* message);
  /* Memory of the host, which stays where it is until it is unpinned. */
  int (*pin)(void* memory, int64_t bytes, PlimsollCudaMessage* message);
  void (*unpin)(void* memory);

  /* Queued like a kernel. */
  int (*copy_on_device)(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message);
  /* Copies from and to pinned memory, queued like a kernel: until `synchronize`, nobody else
   * touches it. */
  int (*queue_to_device)(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message);
  int (*queue_to_host)(void* to, const void* from, int64_t bytes, PlimsollCudaMessage* message);

  /* Between the two calls what is queued is not done but noted, with the arguments it was given;
   * nothing else is asked of the device. launch_graph queues all of it at once, any number of
   * times. After end_capture, OK or not, no graph is being captured. */
  int (*begin_capture)(PlimsollCudaMessage* message);
  int (*end_capture)(PlimsollCudaGraph** graph, PlimsollCudaMessage* message);
  int (*launch_graph)(PlimsollCudaGraph* graph, PlimsollCudaMessage* message);
  void (*destroy_graph)(PlimsollCudaGraph* graph);

  /* Device time of what is queued between the two calls; the second waits for it. */
  int (*start_timer)(PlimsollCudaMessage* message);
  int (*stop_timer)(double* seconds, PlimsollCudaMessage* message);

  /* Bytes of which an arena's chunks are a multiple. */
  int (*arena_granule)(int64_t* bytes, PlimsollCudaMessage* message);
  int (*arena_create)(int64_t chunk_bytes, int64_t chunks, PlimsollCudaArena** arena,
                      PlimsollCudaMessage* message);
  void (*arena_destroy)(PlimsollCudaArena* arena);
  const char* (*arena_kind)(const PlimsollCudaArena* arena); /* "cuda-vmm" or "cuda-slab" */
  void* (*arena_base)(const PlimsollCudaArena* arena);
  /* Chunks [first, first + count): inside the arena, and none, respectively all, committed. */
  int (*arena_commit)(PlimsollCudaArena* arena, int64_t first, int64_t count,
                      PlimsollCudaMessage* message);
  int (*arena_decommit)(PlimsollCudaArena* arena, int64_t first, int64_t count,
                        PlimsollCudaMessage* message);
  /* Whether chunks can be exported at all; then, a file descriptor for a committed chunk, owned by
   * the caller. */
  int (*arena_can_export)(const PlimsollCudaArena* arena);
  int (*arena_export)(PlimsollCudaArena* arena, int64_t chunk, int* file,
                      PlimsollCudaMessage* message);
  /* In place of a commit of one chunk: maps what another process exported. The file stays the
   * caller's. */
  int (*arena_import)(PlimsollCudaArena* arena, int64_t chunk, int file, int writable,
                      PlimsollCudaMessage* message);

  PlimsollCudaKernels kernels;
} PlimsollCudaModule;

/* The module's only symbol, named PLIMSOLL_CUDA_ENTRY. Touches no driver. */
typedef const PlimsollCudaModule* (*PlimsollCudaEntry)(void);

#ifdef __cplusplus
}
#endif

#endif
