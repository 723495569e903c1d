#include "rpc/listening_socket.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <memory>
#include <system_error>

#include "kvcache/base/errors.h"
#include "rpc/address.h"

namespace plimsoll {
namespace {

constexpr mode_t kSocketFileMode = 0660;
constexpr int kChoicesOfPort = 10;

using Reach = ListeningSocket::Reach;
using Sockets = std::vector<ListeningSocket>;

absl::Status CannotListen(const std::string& address, const std::string& reason) {
  return absl::FailedPreconditionError("cannot listen on " + address + ": " + reason);
}

absl::Status CannotListen(const std::string& address, int error) {
  return CannotListen(address, std::generic_category().message(error));
}

Descriptor NewSocket(int family) {
  return Descriptor(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

Reach ReachOf(const sockaddr& name) {
  if (name.sa_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(name);
    return (ntohl(v4.sin_addr.s_addr) >> 24) == 127 ? Reach::kLoopback : Reach::kNetwork;
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(name);
  return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) ? Reach::kLoopback : Reach::kNetwork;
}

int PortOf(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  // The port stands at the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in&>(name).sin_port);
}

void SetPort(sockaddr& name, int port) {
  reinterpret_cast<sockaddr_in&>(name).sin_port = htons(static_cast<uint16_t>(port));
}

// The socket, or none with errno set.
Descriptor BindTcp(const sockaddr* name, socklen_t size) {
  Descriptor fd = NewSocket(name->sa_family);
  if (!fd.open()) return fd;
  const int yes = 1;
  const int no = 0;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));  // connections inherit it
  if (name->sa_family == AF_INET6) {
    setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
  }
  if (bind(fd.get(), name, size) == 0 && listen(fd.get(), SOMAXCONN) == 0) return fd;
  const int error = errno;
  fd.Close();
  errno = error;
  return fd;
}

// An address of a name that this machine does not have is no error while it has another.
bool HasNoSuchAddress(int error) { return error == EADDRNOTAVAIL || error == EAFNOSUPPORT; }

// One for each address from `at` on, all under one port; none, and why, when one of them failed.
Sockets ListenOnEach(const addrinfo* at, const std::string& address, int port, int& error) {
  error = EADDRNOTAVAIL;
  Sockets sockets;
  for (; at != nullptr; at = at->ai_next) {
    SetPort(*at->ai_addr, port);
    Descriptor fd = BindTcp(at->ai_addr, at->ai_addrlen);
    if (!fd.open()) {
      error = errno;
      if (HasNoSuchAddress(error)) continue;
      return {};
    }
    port = PortOf(fd.get());
    sockets.emplace_back(std::move(fd),
                         address.substr(0, address.rfind(':') + 1) + std::to_string(port),
                         ReachOf(*at->ai_addr));
  }
  return sockets;
}

absl::StatusOr<Sockets> ListenOnTcp(const std::string& address, const HostPort& where) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* first = nullptr;
  const int failed =
      getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &first);
  if (failed != 0) return CannotListen(address, gai_strerror(failed));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(first, freeaddrinfo);
  // A port that the system chose for the first address may be taken at the next: choose again.
  int tries = where.port == 0 ? kChoicesOfPort : 1;
  int error = 0;
  do {
    Sockets sockets = ListenOnEach(first, address, where.port, error);
    if (!sockets.empty()) return sockets;
  } while (error == EADDRINUSE && --tries > 0);
  return CannotListen(address, error);
}

absl::StatusOr<Sockets> ListenOnUnix(const std::string& address) {
  PLIMSOLL_RETURN_IF_ERROR(CheckSocketFileUnused(address));
  const sockaddr_un name = SocketNameOf(address);
  struct stat there {};
  // Nobody answers there: what is left of a server that died.
  if (lstat(name.sun_path, &there) == 0 && S_ISSOCK(there.st_mode)) unlink(name.sun_path);
  Descriptor fd = NewSocket(AF_UNIX);
  if (!fd.open()) return CannotListen(address, errno);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof(name)) != 0) {
    return CannotListen(address, errno);
  }
  Sockets sockets;
  sockets.emplace_back(std::move(fd), address, Reach::kUnix);
  sockets.back().RemoveWithFile(name.sun_path);
  // Before listen: until then whoever connects is refused, whatever the mode.
  if (chmod(name.sun_path, kSocketFileMode) != 0 || listen(sockets.back().fd(), SOMAXCONN) != 0) {
    return CannotListen(address, errno);
  }
  return sockets;
}

// What gRPC calls a name that is not in the file system: without its leading zero.
std::string AbstractAddress(const sockaddr_un& name, socklen_t size) {
  const size_t length = size - offsetof(sockaddr_un, sun_path) - 1;
  return "unix-abstract:" + std::string(name.sun_path + 1, length);
}

std::string UnixAddress(const sockaddr_un& name, socklen_t size) {
  if (size <= offsetof(sockaddr_un, sun_path)) return "unix:";
  return name.sun_path[0] == '\0' ? AbstractAddress(name, size)
                                  : std::string("unix:") + name.sun_path;
}

std::string TcpAddress(const sockaddr& name, socklen_t size) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  getnameinfo(&name, size, host.data(), host.size(), port.data(), port.size(),
              NI_NUMERICHOST | NI_NUMERICSERV);
  const std::string shown =
      name.sa_family == AF_INET6 ? "[" + std::string(host.data()) + "]" : std::string(host.data());
  return shown + ":" + port.data();
}

}  // namespace

ListeningSocket::~ListeningSocket() {
  if (!descriptor_.open() || file_.empty()) return;
  struct stat there {};
  if (lstat(file_.c_str(), &there) != 0) return;
  if (there.st_dev == device_ && there.st_ino == inode_) unlink(file_.c_str());
}

void ListeningSocket::RemoveWithFile(const std::string& path) {
  struct stat there {};
  if (lstat(path.c_str(), &there) != 0) return;
  file_ = path;
  device_ = there.st_dev;
  inode_ = there.st_ino;
}

absl::StatusOr<ListeningSocket> ListenToOurselves() {
  Descriptor fd = NewSocket(AF_UNIX);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  socklen_t size = sizeof(name);
  const auto generic = reinterpret_cast<sockaddr*>(&name);
  // A name of no length asks the system for one.
  if (!fd.open() || bind(fd.get(), generic, sizeof(name.sun_family)) != 0 ||
      listen(fd.get(), SOMAXCONN) != 0 || getsockname(fd.get(), generic, &size) != 0) {
    return SystemError("listening to ourselves", errno);
  }
  ListeningSocket socket(std::move(fd), AbstractAddress(name, size), Reach::kUnix);
  socket.AdmitOwnUserOnly();
  return socket;
}

absl::StatusOr<ListeningSocket> TakeListening(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  const auto& generic = reinterpret_cast<sockaddr&>(name);
  int listens = 0;
  socklen_t flag = sizeof(listens);
  const bool usable = getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size) == 0 &&
                      getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &flag) == 0 &&
                      listens != 0;
  const bool local = usable && name.ss_family == AF_UNIX;
  if (!local && (!usable || (name.ss_family != AF_INET && name.ss_family != AF_INET6))) {
    return absl::InvalidArgumentError("descriptor " + std::to_string(fd) +
                                      " was handed over to listen on, but does not listen");
  }
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  if (local) {
    return ListeningSocket(Descriptor(fd),
                           UnixAddress(reinterpret_cast<const sockaddr_un&>(name), size),
                           Reach::kUnix);
  }
  const int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  return ListeningSocket(Descriptor(fd), TcpAddress(generic, size), ReachOf(generic));
}

absl::StatusOr<std::vector<ListeningSocket>> ListenOn(const std::string& address) {
  if (IsUnixAddress(address)) return ListenOnUnix(address);
  const absl::StatusOr<HostPort> where = ParseHostPort(address);
  if (!where.ok()) return where.status();
  return ListenOnTcp(address, *where);
}

bool ReachOtherMachines(const std::vector<ListeningSocket>& sockets) {
  return std::any_of(sockets.begin(), sockets.end(),
                     [](const ListeningSocket& one) { return one.reach() == Reach::kNetwork; });
}

}  // namespace plimsoll
