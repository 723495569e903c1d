// A wire between a client and a server on Unix sockets, which a test can cut: all that goes over it
// goes through a thread that passes bytes on.
//
// Threads: the test's, and one of its own. Cost: a copy of each byte. Errors: abort.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kvcache/base/check.h"
#include "tests/support/eventually.h"

namespace plimsoll {

class CuttableWire {
 public:
  // Both are paths. What connects to `here` is passed on to `there`.
  CuttableWire(const std::string& here, std::string there) : there_(std::move(there)) {
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const sockaddr_un address = At(here);
    PLIMSOLL_CHECK(
        bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0, errno);
    PLIMSOLL_CHECK(listen(listener_, 16) == 0, errno);
    thread_ = std::thread([this] { Run(); });
  }
  ~CuttableWire() {
    stopping_ = true;
    thread_.join();
    close(listener_);
  }
  CuttableWire(const CuttableWire&) = delete;
  CuttableWire& operator=(const CuttableWire&) = delete;

  // Ends every connection, and each new one too until Mend.
  void Cut() {
    cut_ = true;
    PLIMSOLL_CHECK(Eventually([this] { return connections_ == 0; }));
  }
  void Mend() { cut_ = false; }

 private:
  static sockaddr_un At(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    PLIMSOLL_CHECK(path.size() < sizeof address.sun_path, path);
    path.copy(address.sun_path, path.size());
    return address;
  }

  void Run() {
    std::vector<std::pair<int, int>> pairs;
    while (!stopping_) {
      if (cut_) End(pairs);
      std::vector<pollfd> waiting = {{.fd = listener_, .events = POLLIN, .revents = 0}};
      for (const auto& [one, other] : pairs) {
        waiting.push_back({.fd = one, .events = POLLIN, .revents = 0});
        waiting.push_back({.fd = other, .events = POLLIN, .revents = 0});
      }
      poll(waiting.data(), waiting.size(), 5);
      for (size_t i = pairs.size(); i-- > 0;) {
        const bool ended =
            (waiting[1 + 2 * i].revents != 0 && !Pass(pairs[i].first, pairs[i].second)) ||
            (waiting[2 + 2 * i].revents != 0 && !Pass(pairs[i].second, pairs[i].first));
        if (!ended) continue;
        End(pairs[i]);
        pairs.erase(pairs.begin() + static_cast<std::ptrdiff_t>(i));
      }
      if (waiting[0].revents != 0) Accept(pairs);
      connections_ = pairs.size();
    }
    End(pairs);
  }
  void Accept(std::vector<std::pair<int, int>>& pairs) {
    const int one = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (one < 0) return;
    const int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = At(there_);
    const bool through =
        !cut_ && connect(other, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    if (through) {
      pairs.emplace_back(one, other);
    } else {
      End({one, other});
    }
  }
  static bool Pass(int from, int to) {
    std::array<char, 65536> bytes{};
    const ssize_t got = read(from, bytes.data(), bytes.size());
    return got > 0 && send(to, bytes.data(), static_cast<size_t>(got), MSG_NOSIGNAL) == got;
  }
  static void End(const std::pair<int, int>& pair) {
    close(pair.first);
    close(pair.second);
  }
  static void End(std::vector<std::pair<int, int>>& pairs) {
    for (const auto& pair : pairs) End(pair);
    pairs.clear();
  }

  const std::string there_;
  int listener_ = -1;
  std::atomic<bool> stopping_ = false;
  std::atomic<bool> cut_ = false;
  std::atomic<size_t> connections_ = 0;
  std::thread thread_;
};

}  // namespace plimsoll
