// A small HTTP/1.1 server for people and probes, on a port of its own:
//
//   GET /healthz          200 "ok", or 503 "draining"
//   GET /api/v1/capacity  the JSON of `plimsoll capacity --format json`
//
// Threads: its own, a fixed handful, so slow readers only delay each other. Cost: a snapshot per
// request. Errors: as Server::Start.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "rpc/capacity_report.h"

namespace plimsoll {

class HttpEndpoint {
 public:
  // `capacity` is called from any of its threads until the endpoint is gone. `address` is
  // host:port; port 0 picks a free one.
  static absl::StatusOr<std::unique_ptr<HttpEndpoint>> Start(
      const std::string& address, const std::function<CapacityReport()>& capacity);
  ~HttpEndpoint();

  const std::string& address() const;  // with the port the system chose

 private:
  struct State;
  explicit HttpEndpoint(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll
