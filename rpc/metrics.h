// The server in Prometheus' text format: families of its own in base units, and the five vllm:
// series by which endpoint pickers of Kubernetes choose a server without being configured.
//
// Labels are few and known beforehand, classes of requests at most 24 by name: never a request,
// never a tenant by name.
//
// Threads: any. Cost: one snapshot and a few dozen atomic reads; the admission lock is taken for
// one O(1) question. Errors: none.
#pragma once

#include <string>

#include "rpc/health.h"
#include "rpc/served.h"

namespace plimsoll {

// Who was turned away at the HTTP port.
struct HttpCounts {
  int64_t connections = 0;  // too many waited for a thread
  int64_t viewers = 0;      // too many watched
};

// A text of some 10 kB.
std::string MetricsText(const Served& served, const HttpCounts& http);

}  // namespace plimsoll
