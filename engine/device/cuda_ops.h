// The operations of ops.h by the kernels of a CUDA module: arguments are put into the module's
// plain C, its answers into statuses.
//
// An operation whose kernel the module lacks is Unimplemented, as is one of the model's types that
// kernels do not take: 16-bit products read their input from `narrowed`.
//
// Threads: as ops.h says. Cost: nothing beside the launch. Errors: Unimplemented, Internal, each
// naming the operation.
#pragma once

#include "engine/device/cuda_module.h"
#include "engine/ops/ops.h"

namespace plimsoll {

// The table of the module that was given last: a process has one GPU, and so one module, which
// outlives the table.
const Ops& CudaOps(const PlimsollCudaModule& module);

// A weight as kernels take it.
PlimsollCudaWeight CudaWeight(const WeightView& weight);

}  // namespace plimsoll
