// HTTP/2 by hand over TCP: frames that no library would send.
//
// Threads: one. Errors: a peer that closes is no error; Send says whether it still listens.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "kvcache/base/check.h"
#include "rpc/address.h"

namespace plimsoll {

enum class FrameType : uint8_t {
  kData = 0,
  kHeaders = 1,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kWindowUpdate = 8,
  kContinuation = 9,
};
inline constexpr uint8_t kAck = 1, kEndStream = 1, kEndHeaders = 4;
inline constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string BigEndian(uint32_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out.push_back(static_cast<char>(value >> (8 * i)));
  return out;
}

inline std::string Frame(FrameType type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string frame = BigEndian(static_cast<uint32_t>(payload.size()), 3);
  frame.push_back(static_cast<char>(type));
  frame.push_back(static_cast<char>(flags));
  return frame + BigEndian(stream, 4) + std::string(payload);
}

// A string literal of HPACK, not Huffman coded: its length in an integer of a seven bit prefix.
inline std::string HeaderText(std::string_view text) {
  std::string out;
  size_t length = text.size();
  if (length < 127) {
    out.push_back(static_cast<char>(length));
  } else {
    out.push_back(127);
    for (length -= 127; length >= 128; length /= 128) {
      out.push_back(static_cast<char>(length % 128 + 128));
    }
    out.push_back(static_cast<char>(length));
  }
  return out + std::string(text);
}

using Header = std::pair<std::string_view, std::string_view>;

// Literals that neither side remembers.
inline std::string HeaderBlock(std::initializer_list<Header> headers) {
  std::string block;
  for (const Header& header : headers) {
    block += '\0' + HeaderText(header.first) + HeaderText(header.second);
  }
  return block;
}

// Of a call as a client would make it.
inline std::string CallHeaders(std::string_view path, std::initializer_list<Header> more = {},
                               std::string_view scheme = "http", std::string_view te = "trailers") {
  return HeaderBlock({{":method", "POST"},
                      {":scheme", scheme},
                      {":path", path},
                      {":authority", "localhost"},
                      {"te", te},
                      {"content-type", "application/grpc"}}) +
         HeaderBlock(more);
}

class RawConnection {
 public:
  explicit RawConnection(const std::string& address) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    const HostPort where = ParseHostPort(address).value();
    sockaddr_in name{};
    name.sin_family = AF_INET;
    name.sin_port = htons(static_cast<uint16_t>(where.port));
    inet_pton(AF_INET, where.host.c_str(), &name.sin_addr);
    PLIMSOLL_CHECK(connect(socket_, reinterpret_cast<sockaddr*>(&name), sizeof(name)) == 0, errno);
    fcntl(socket_, F_SETFL, O_NONBLOCK);
  }
  ~RawConnection() { close(socket_); }
  RawConnection(RawConnection&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  RawConnection& operator=(RawConnection&&) = delete;

  // Preface and settings of both sides.
  bool Greet() {
    return Send(std::string(kPreface) + Frame(FrameType::kSettings, 0, 0, "") +
                Frame(FrameType::kSettings, kAck, 0, ""));
  }
  // Writes all of it; false where the peer closed, or takes nothing more for two seconds. What the
  // peer says is read and forgotten if `reads`.
  bool Send(std::string_view bytes, bool reads = true) {
    while (!bytes.empty()) {
      const ssize_t n = send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n > 0) bytes.remove_prefix(static_cast<size_t>(n));
      if (reads && !Read()) return false;
      if (n > 0) continue;
      if (n == 0 || (errno != EAGAIN && errno != EINTR)) return false;
      pollfd ready = {socket_, static_cast<int16_t>(reads ? POLLOUT | POLLIN : POLLOUT), 0};
      if (poll(&ready, 1, 2000) <= 0) return false;
    }
    return true;
  }
  // Whether the peer closes within `milliseconds`.
  bool ClosesWithin(int milliseconds) {
    pollfd ready = {socket_, POLLIN, 0};
    while (poll(&ready, 1, milliseconds) > 0) {
      if (!Read()) return true;
    }
    return false;
  }

 private:
  // Forgets what is there; false at the end.
  bool Read() {
    std::array<char, 4096> buffer;
    while (true) {
      const ssize_t n = recv(socket_, buffer.data(), buffer.size(), 0);
      if (n > 0) continue;
      return n < 0 && (errno == EAGAIN || errno == EINTR);
    }
  }

  int socket_;
};

}  // namespace plimsoll
