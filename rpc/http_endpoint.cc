#include "rpc/http_endpoint.h"

#include <httplib.h>

#include <thread>
#include <utility>

#include "kvcache/base/errors.h"
#include "rpc/address.h"

namespace plimsoll {
namespace {

constexpr size_t kThreads = 4;
constexpr time_t kTimeoutSeconds = 5;

void SetSocketOptions(socket_t socket) {
  // The library's default would let two servers share a port.
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
}

}  // namespace

struct HttpEndpoint::State {
  httplib::Server server;
  std::string address;
  std::thread thread;
};

HttpEndpoint::HttpEndpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(
    const std::string& address, const std::function<CapacityReport()>& capacity) {
  const absl::StatusOr<HostPort> where = ParseHostPort(address);
  if (!where.ok()) return where.status();
  auto state = std::make_unique<State>();
  httplib::Server& server = state->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };
  server.set_socket_options(SetSocketOptions);
  server.set_read_timeout(kTimeoutSeconds);
  server.set_write_timeout(kTimeoutSeconds);
  server.set_keep_alive_timeout(kTimeoutSeconds);
  server.set_payload_max_length(0);
  server.Get("/healthz", [capacity](const httplib::Request&, httplib::Response& response) {
    const bool draining = capacity().snapshot.draining;
    response.status = draining ? 503 : 200;
    response.set_content(draining ? "draining\n" : "ok\n", "text/plain");
  });
  server.Get("/api/v1/capacity", [capacity](const httplib::Request&, httplib::Response& response) {
    response.set_content(ToJson(capacity()) + "\n", "application/json");
  });
  int port = where->port;
  const bool bound = port == 0 ? (port = server.bind_to_any_port(where->host)) > 0
                               : server.bind_to_port(where->host, port);
  if (!bound) return WhyNotListen(address);
  state->address = address.substr(0, address.rfind(':') + 1) + std::to_string(port);
  state->thread = std::thread([&server] { server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();  // so that stop() is never too early
  return std::unique_ptr<HttpEndpoint>(new HttpEndpoint(std::move(state)));
}

HttpEndpoint::~HttpEndpoint() {
  state_->server.stop();
  state_->thread.join();
}

const std::string& HttpEndpoint::address() const { return state_->address; }

}  // namespace plimsoll
