#include "engine/device/pool_wire.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace plimsoll {
namespace {

// Room for one file beside a packet.
union Control {
  cmsghdr header;
  std::array<char, CMSG_SPACE(sizeof(int))> room;
};

msghdr HeaderOf(iovec& packet, Control& control) {
  msghdr header{};
  header.msg_iov = &packet;
  header.msg_iovlen = 1;
  header.msg_control = control.room.data();
  header.msg_controllen = control.room.size();
  return header;
}

int FileIn(msghdr& header) {
  const cmsghdr* const its = CMSG_FIRSTHDR(&header);
  if (its == nullptr || its->cmsg_level != SOL_SOCKET || its->cmsg_type != SCM_RIGHTS) return -1;
  int file = -1;
  std::memcpy(&file, CMSG_DATA(its), sizeof(file));
  return file;
}

int NewSocket() { return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0); }

bool NameOf(const std::string& path, sockaddr_un& name) {
  name = {};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof(name.sun_path)) {
    errno = ENAMETOOLONG;
    return false;
  }
  path.copy(name.sun_path, path.size());
  return true;
}

// Keeps errno for whoever asks why.
int CloseFailed(int file) {
  const int error = errno;
  close(file);
  errno = error;
  return -1;
}

// Whether nobody listens there, and the file is out of the way.
bool RemoveDeadSocket(const std::string& path) {
  struct stat there {};
  if (lstat(path.c_str(), &there) != 0 || !S_ISSOCK(there.st_mode)) {
    errno = EADDRINUSE;  // connecting to an ordinary file is refused as well
    return false;
  }
  const int other = ConnectToExporter(path);
  if (other >= 0) close(other);
  if (other >= 0 || errno != ECONNREFUSED) {
    errno = EADDRINUSE;
    return false;
  }
  return unlink(path.c_str()) == 0;
}

}  // namespace

bool SendPoolMessage(int socket, const PoolMessage& message, int file) {
  PoolMessage sent = message;
  iovec packet{.iov_base = &sent, .iov_len = sizeof(sent)};
  Control control{};
  msghdr header = HeaderOf(packet, control);
  if (file < 0) {
    header.msg_control = nullptr;
    header.msg_controllen = 0;
  } else {
    cmsghdr* const its = CMSG_FIRSTHDR(&header);
    its->cmsg_level = SOL_SOCKET;
    its->cmsg_type = SCM_RIGHTS;
    its->cmsg_len = CMSG_LEN(sizeof(file));
    std::memcpy(CMSG_DATA(its), &file, sizeof(file));
  }
  return sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(sent);
}

std::optional<ReceivedPoolMessage> ReceivePoolMessage(int socket) {
  ReceivedPoolMessage received;
  iovec packet{.iov_base = &received.message, .iov_len = sizeof(received.message)};
  Control control{};
  msghdr header = HeaderOf(packet, control);
  header.msg_controllen = CMSG_LEN(sizeof(int));  // of one file: the padding has room for another
  ssize_t size = 0;
  do {
    size = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size >= 0) received.file = FileIn(header);  // an empty packet may bring one as well
  const PoolMessage& message = received.message;
  const bool whole = size == sizeof(message) && (header.msg_flags & MSG_TRUNC) == 0;
  if (whole && message.magic == PoolMessage::kMagic && message.version == PoolMessage::kVersion) {
    return received;
  }
  if (received.file >= 0) close(received.file);
  if (size >= 0) errno = size == 0 ? ECONNRESET : EPROTO;
  return std::nullopt;
}

int ConnectToExporter(const std::string& path) {
  sockaddr_un name{};
  if (!NameOf(path, name)) return -1;
  const int file = NewSocket();
  if (file < 0) return -1;
  const auto* const address = reinterpret_cast<const sockaddr*>(&name);
  return connect(file, address, sizeof(name)) == 0 ? file : CloseFailed(file);
}

int ListenForImporters(const std::string& path) {
  sockaddr_un name{};
  if (!NameOf(path, name)) return -1;
  const int file = NewSocket();
  if (file < 0) return -1;
  const auto* const address = reinterpret_cast<const sockaddr*>(&name);
  bool bound = bind(file, address, sizeof(name)) == 0;
  if (!bound && errno == EADDRINUSE && RemoveDeadSocket(path)) {
    bound = bind(file, address, sizeof(name)) == 0;
  }
  if (!bound) return CloseFailed(file);
  constexpr int kBacklog = 16;
  if (chmod(path.c_str(), S_IRUSR | S_IWUSR) == 0 && listen(file, kBacklog) == 0) return file;
  const int error = errno;
  unlink(path.c_str());
  errno = error;
  return CloseFailed(file);
}

}  // namespace plimsoll
