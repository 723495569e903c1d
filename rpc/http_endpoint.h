// A small HTTP/1.1 server for people, probes and scrapers, on a port of its own:
//
//   GET /healthz          200 "ok" while the server lives, 503 and why once only a restart helps
//   GET /readyz           200 "ready", or 503 and what holds it up, a line each (rpc/health.h)
//   GET /metrics          Prometheus' text format (rpc/metrics.h)
//   GET /api/v1/capacity  the JSON of `plimsoll capacity --format json`
//   GET /                 the page, and what it reads (rpc/dashboard/routes.h)
//
// Only GET and HEAD, only to a Host that is this server (rpc/http_server.h).
//
// Threads: its own, a fixed number. Cost: a snapshot per request; a sample of the pool a second.
// Errors: as Server::Start.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "kvcache/base/clock.h"

namespace plimsoll {

struct Served;

struct HttpOptions {
  std::string address;                  // host:port; port 0 picks a free one
  std::vector<std::string> names = {};  // hosts it is called by, beside addresses and localhost
  Duration to_ask = std::chrono::seconds(3);  // in which a request has to have come
};

class HttpEndpoint {
 public:
  // `served`, a server's, outlives the endpoint.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(const HttpOptions& options,
                                                             const Served& served);
  ~HttpEndpoint();

  const std::string& address() const;  // with the port the system chose

 private:
  struct State;
  explicit HttpEndpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
