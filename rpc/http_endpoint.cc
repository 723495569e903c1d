#include "rpc/http_endpoint.h"

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/str_join.h"
#include "rpc/address.h"
#include "rpc/dashboard/routes.h"
#include "rpc/http_server.h"
#include "rpc/metrics.h"
#include "rpc/served.h"

namespace plimsoll {
namespace {

// Who watches has a thread; so many are left for everybody else.
constexpr size_t kThreads = 64;
constexpr int64_t kMostViewers = 48;

using httplib::Request;
using httplib::Response;

std::vector<std::string> NamesOf(const HttpOptions& options, const HostPort& where) {
  std::vector<std::string> names = options.names;
  names.push_back(where.host);
  return names;
}

void AddProbes(httplib::Server& server, const Served& served) {
  server.Get("/healthz", [&served](const Request&, Response& response) {
    const absl::Status alive = served.health.Alive();
    response.status = alive.ok() ? 200 : 503;
    response.set_content(alive.ok() ? "ok\n" : std::string(alive.message()) + "\n", "text/plain");
  });
  server.Get("/readyz", [&served](const Request&, Response& response) {
    const HealthReport health = served.health.Check();
    response.status = health.ready ? 200 : 503;
    response.set_content(
        health.ready ? std::string("ready\n") : absl::StrJoin(health.problems, "\n") + "\n",
        "text/plain");
  });
}

// `dashboard` outlives the server's answers.
void AddNumbers(HttpServer& server, const Served& served, const DashboardRoutes& dashboard) {
  server.Get("/metrics", [&](const Request&, Response& response) {
    const HttpCounts http{.connections = server.turned_away(), .viewers = dashboard.turned_away()};
    response.set_content(MetricsText(served, http), "text/plain; version=0.0.4; charset=utf-8");
  });
  server.Get("/api/v1/capacity", [&served](const Request&, Response& response) {
    response.set_content(ToJson(served.Capacity()) + "\n", "application/json");
  });
}

}  // namespace

struct HttpEndpoint::State {
  State(std::vector<std::string> names, Duration to_ask, const Served& served)
      : dashboard(served, kMostViewers), server(kThreads, std::move(names), to_ask) {}

  DashboardRoutes dashboard;
  HttpServer server;
  std::string address;
  std::atomic<bool> failed = false;
  std::thread thread;
};

HttpEndpoint::HttpEndpoint(std::unique_ptr<State> state) : state_(std::move(state)) {}

absl::StatusOr<std::unique_ptr<HttpEndpoint>> HttpEndpoint::Start(const HttpOptions& options,
                                                                  const Served& served) {
  const absl::StatusOr<HostPort> where = ParseHostPort(options.address);
  if (!where.ok()) return where.status();
  auto state = std::make_unique<State>(NamesOf(options, *where), options.to_ask, served);
  HttpServer& server = state->server;
  AddProbes(server, served);
  AddNumbers(server, served, state->dashboard);
  state->dashboard.AddTo(server);
  int port = where->port;
  const bool bound = port == 0 ? (port = server.bind_to_any_port(where->host)) > 0
                               : server.bind_to_port(where->host, port);
  if (!bound) return WhyNotListen(options.address);
  server.DeepenBacklog();
  state->address = options.address.substr(0, options.address.rfind(':') + 1) + std::to_string(port);
  state->thread = std::thread([at = state.get()] {
    if (!at->server.listen_after_bind()) at->failed = true;
  });
  // So that stop() is never too early.
  while (!server.is_running() && !state->failed) std::this_thread::yield();
  std::unique_ptr<HttpEndpoint> endpoint(new HttpEndpoint(std::move(state)));
  if (endpoint->state_->failed) return WhyNotListen(options.address);
  return endpoint;
}

HttpEndpoint::~HttpEndpoint() {
  state_->dashboard.Close();
  state_->server.stop();
  state_->thread.join();
}

const std::string& HttpEndpoint::address() const { return state_->address; }

}  // namespace plimsoll
