// The threads that CpuOps computes on: as many as the process may use cores, until told otherwise.
//
// Threads: not while an operation runs. Cost: SetCpuThreads starts and joins threads. Errors: a
// count below 1 aborts.
#pragma once

#include "engine/ops/thread_pool.h"

namespace plimsoll {

ThreadPool& CpuThreads();
void SetCpuThreads(int threads);

}  // namespace plimsoll
