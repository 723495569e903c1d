#include "rpc/http_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <utility>

namespace plimsoll {
namespace {

constexpr Duration kToTakeMore = std::chrono::seconds(5);

int MillisecondsUntil(Instant when) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      when - Instant(std::chrono::steady_clock::now()));
  return static_cast<int>(std::max<int64_t>(left.count(), 0));
}

// One connection. What is read has to come before a deadline; each write has one of its own.
class DeadlineStream final : public httplib::Stream {
 public:
  DeadlineStream(socket_t socket, Duration to_ask)
      : socket_(socket), deadline_(std::chrono::steady_clock::now() + to_ask) {}

  bool is_readable() const override { return Ready(POLLIN, deadline_); }
  bool is_writable() const override {
    char byte = 0;
    const ssize_t seen = recv(socket_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    const bool left = seen == 0 || (seen < 0 && errno != EAGAIN && errno != EINTR);
    return !left && Ready(POLLOUT, std::chrono::steady_clock::now() + kToTakeMore);
  }
  ssize_t read(char* to, size_t size) override {
    return is_readable() ? recv(socket_, to, size, 0) : -1;
  }
  ssize_t write(const char* from, size_t size) override {
    if (!Ready(POLLOUT, std::chrono::steady_clock::now() + kToTakeMore)) return -1;
    return send(socket_, from, size, MSG_NOSIGNAL | MSG_DONTWAIT);
  }
  // Nobody here asks who it is.
  void get_remote_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  void get_local_ip_and_port(std::string& ip, int& port) const override {
    ip.clear();
    port = 0;
  }
  socket_t socket() const override { return socket_; }

 private:
  bool Ready(int16_t events, Instant until) const {
    pollfd wanted{.fd = socket_, .events = events, .revents = 0};
    int found = 0;
    do {
      found = poll(&wanted, 1, MillisecondsUntil(until));
    } while (found < 0 && errno == EINTR);
    return found > 0;
  }

  const socket_t socket_;
  const Instant deadline_;
};

// Whether this thread runs a task only for its connection to be turned away: what a task is, is the
// library's business, which has no word for that.
thread_local bool turning_away = false;

// The library's pool with a line that ends.
class Line final : public httplib::TaskQueue {
 public:
  Line(size_t threads, int64_t longest) : pool_(threads), longest_(longest) {}

  // Newer versions of the library want to know whether it was taken.
  using Taken = decltype(std::declval<httplib::TaskQueue&>().enqueue({}));
  Taken enqueue(std::function<void()> task) override {
    if (waiting_.load() >= longest_) {
      turning_away = true;
      task();
      turning_away = false;
    } else {
      ++waiting_;
      pool_.enqueue([this, task = std::move(task)] {
        --waiting_;
        task();
      });
    }
    return static_cast<Taken>(true);
  }
  void shutdown() override { pool_.shutdown(); }

 private:
  httplib::ThreadPool pool_;
  const int64_t longest_;
  std::atomic<int64_t> waiting_ = 0;
};

// By the thread that accepts: it waits for nobody.
void TurnAway(socket_t socket) {
  static constexpr char kBusy[] =
      "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
      "Content-Length: 5\r\nContent-Type: text/plain\r\n\r\nbusy\n";
  send(socket, kBusy, sizeof(kBusy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// The library's default would let two servers share a port.
void SetSocketOptions(socket_t socket) {
  const int yes = 1;
  setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
}

bool IsAddress(const std::string& host) {
  in6_addr any{};
  return inet_pton(AF_INET, host.c_str(), &any) == 1 ||
         inet_pton(AF_INET6, host.c_str(), &any) == 1;
}

std::string WithoutPort(const std::string& host) {
  if (!host.empty() && host.front() == '[') return host.substr(1, host.find(']') - 1);
  return host.substr(0, host.find(':'));
}

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

void Refuse(httplib::Response& response, int status, const std::string& why) {
  response.status = status;
  response.set_content(why + "\n", "text/plain");
}

}  // namespace

bool IsOurHost(const std::string& host, const std::vector<std::string>& names) {
  if (host.empty()) return true;
  const std::string name = Lower(WithoutPort(host));
  return IsAddress(name) || name == "localhost" ||
         std::find(names.begin(), names.end(), name) != names.end();
}

HttpServer::HttpServer(size_t threads, std::vector<std::string> names, Duration to_ask)
    : to_ask_(to_ask) {
  for (std::string& name : names) name = Lower(std::move(name));
  new_task_queue = [threads] { return new Line(threads, kLongestLine); };
  set_socket_options(SetSocketOptions);
  set_payload_max_length(0);
  set_default_headers({{"Content-Security-Policy", "default-src 'self'; frame-ancestors 'none'"},
                       {"X-Content-Type-Options", "nosniff"},
                       {"Referrer-Policy", "no-referrer"},
                       {"Cache-Control", "no-store"}});
  set_pre_routing_handler(
      [names = std::move(names)](const httplib::Request& request, httplib::Response& response) {
        if (request.method != "GET" && request.method != "HEAD") {
          response.set_header("Allow", "GET, HEAD");
          Refuse(response, 405, "this port only answers GET and HEAD");
        } else if (!IsOurHost(request.get_header_value("Host"), names)) {
          Refuse(response, 403, "Host: want an address, localhost, or a name given by --http-name");
        } else {
          return httplib::Server::HandlerResponse::Unhandled;
        }
        return httplib::Server::HandlerResponse::Handled;
      });
}

void HttpServer::DeepenBacklog() { ::listen(svr_sock_, SOMAXCONN); }

bool HttpServer::process_and_close_socket(socket_t socket) {
  bool answered = false;
  if (turning_away) {
    TurnAway(socket);
    ++turned_away_;
  } else {
    DeadlineStream stream(socket, to_ask_);
    bool closed = false;
    answered = process_request(stream, /*close_connection=*/true, closed, nullptr);
  }
  shutdown(socket, SHUT_RDWR);
  close(socket);
  return answered;
}

}  // namespace plimsoll
