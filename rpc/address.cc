#include "rpc/address.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <system_error>

#include "kvcache/base/errors.h"
#include "rpc/descriptor.h"

namespace plimsoll {
namespace {

constexpr char kUnixScheme[] = "unix:";

Descriptor NewSocket(int family) {
  return Descriptor(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
}

// The errno of binding as a server would, or 0. Binding is tried and undone.
int ErrorOfBinding(int family, const sockaddr* name, socklen_t size) {
  const Descriptor probe = NewSocket(family);
  if (!probe.open()) return errno;
  const int yes = 1;
  setsockopt(probe.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  return bind(probe.get(), name, size) == 0 ? 0 : errno;
}

std::string ReasonOfTcp(const HostPort& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  const std::string port = std::to_string(where.port);
  if (const int error = getaddrinfo(where.host.c_str(), port.c_str(), &hints, &found); error != 0) {
    return gai_strerror(error);
  }
  const int error = ErrorOfBinding(found->ai_family, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return error == 0 ? "the address cannot be used" : std::generic_category().message(error);
}

}  // namespace

bool IsUnixAddress(const std::string& address) {
  const size_t scheme = std::strlen(kUnixScheme);
  return address.compare(0, scheme, kUnixScheme) == 0 && address.size() > scheme + 1 &&
         address[scheme] == '/' && address.size() - scheme < sizeof(sockaddr_un{}.sun_path);
}

absl::StatusOr<HostPort> ParseHostPort(const std::string& address) {
  const absl::Status bad = BadField("address", address, "host:port or unix:/path");
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return bad;
  HostPort parsed{.host = address.substr(0, colon), .port = -1};
  const char* const end = address.data() + address.size();
  const auto [stopped, error] = std::from_chars(address.data() + colon + 1, end, parsed.port);
  if (error != std::errc() || stopped != end || parsed.port < 0 || parsed.port > 65535) return bad;
  const bool bracketed = parsed.host.front() == '[' && parsed.host.back() == ']';
  if (bracketed) parsed.host = parsed.host.substr(1, parsed.host.size() - 2);
  const bool has_colon = parsed.host.find(':') != std::string::npos;
  if (parsed.host.empty() || has_colon != bracketed) return bad;
  if (parsed.host.find('/') != std::string::npos) return bad;
  return parsed;
}

absl::Status CheckAddress(const std::string& address) {
  if (IsUnixAddress(address)) return absl::OkStatus();
  return ParseHostPort(address).status();
}

sockaddr_un SocketNameOf(const std::string& address) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  const std::string path = address.substr(std::strlen(kUnixScheme));
  std::memcpy(name.sun_path, path.data(), path.size());
  return name;
}

absl::Status CheckSocketFileUnused(const std::string& address) {
  if (!IsUnixAddress(address)) return absl::OkStatus();
  const Descriptor probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const sockaddr_un name = SocketNameOf(address);
  const auto* const generic = reinterpret_cast<const sockaddr*>(&name);
  int error = connect(probe.get(), generic, sizeof(name)) == 0 ? EADDRINUSE : errno;
  if (error == ECONNREFUSED || error == ENOENT) return absl::OkStatus();
  if (error == EAGAIN) error = EADDRINUSE;  // somebody listens there, behind on accepting
  return absl::FailedPreconditionError("cannot listen on " + address + ": " +
                                       std::generic_category().message(error));
}

absl::Status WhyNotListen(const std::string& address) {
  const absl::StatusOr<HostPort> where = ParseHostPort(address);
  if (!where.ok()) return where.status();
  return absl::FailedPreconditionError("cannot listen on " + address + ": " + ReasonOfTcp(*where));
}

}  // namespace plimsoll
