// A peer that speaks no gRPC: a socket that connects, perhaps says something, and sees whether it
// is cut off.
//
// Threads: the test's. Errors: one that could not connect is not open().
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <string>

#include "rpc/address.h"
#include "rpc/descriptor.h"

namespace plimsoll {

class RawPeer {
 public:
  // "127.0.0.1:port" or "unix:/path".
  explicit RawPeer(const std::string& address)
      : fd_(socket(IsUnixAddress(address) ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    if (IsUnixAddress(address)) {
      const sockaddr_un name = SocketNameOf(address);
      Connect(&name, sizeof(name));
    } else {
      sockaddr_in name{};
      name.sin_family = AF_INET;
      name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      name.sin_port = htons(static_cast<uint16_t>(ParseHostPort(address).value().port));
      Connect(&name, sizeof(name));
    }
  }

  bool open() const { return fd_.open(); }
  void Close() { fd_.Close(); }
  void Say(const std::string& bytes) { send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }

  // Whether the other side closes within `limit`; what it sends until then is thrown away.
  bool IsCutOffWithin(std::chrono::milliseconds limit) {
    const auto give_up = std::chrono::steady_clock::now() + limit;
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
          give_up - std::chrono::steady_clock::now());
      pollfd look = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (left.count() < 0 || poll(&look, 1, static_cast<int>(left.count())) <= 0) return false;
      char bytes[4096];
      if (recv(fd_.get(), bytes, sizeof(bytes), 0) <= 0) return true;
    }
  }

 private:
  template <class Name>
  void Connect(const Name* name, socklen_t size) {
    if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(name), size) != 0) fd_.Close();
  }

  Descriptor fd_;
};

}  // namespace plimsoll
