#include "engine/device/pool_wire.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

// Room for the files beside a packet.
union Control {
  cmsghdr header;
  std::array<char, CMSG_SPACE(sizeof(int) * kMostPoolFiles)> room;
};

size_t SizeOf(std::span<const int> files) { return files.size() * sizeof(int); }

std::vector<int> FilesIn(msghdr& header) {
  const cmsghdr* const its = CMSG_FIRSTHDR(&header);
  if (its == nullptr || its->cmsg_level != SOL_SOCKET || its->cmsg_type != SCM_RIGHTS) return {};
  std::vector<int> files((its->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  std::memcpy(files.data(), CMSG_DATA(its), SizeOf(files));
  return files;
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

bool SendPoolMessage(int socket, const PoolMessage& message, std::span<const int> files) {
  PLIMSOLL_CHECK(std::ssize(files) <= kMostPoolFiles, files.size());
  PoolMessage sent = message;
  iovec packet{.iov_base = &sent, .iov_len = sizeof(sent)};
  Control control{};
  msghdr header{};
  header.msg_iov = &packet;
  header.msg_iovlen = 1;
  if (!files.empty()) {
    header.msg_control = control.room.data();
    header.msg_controllen = CMSG_SPACE(SizeOf(files));
    cmsghdr* const its = CMSG_FIRSTHDR(&header);
    its->cmsg_level = SOL_SOCKET;
    its->cmsg_type = SCM_RIGHTS;
    its->cmsg_len = CMSG_LEN(SizeOf(files));
    std::memcpy(CMSG_DATA(its), files.data(), SizeOf(files));
  }
  return sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof(sent);
}

std::optional<ReceivedPoolMessage> ReceivePoolMessage(int socket) {
  ReceivedPoolMessage received;
  iovec packet{.iov_base = &received.message, .iov_len = sizeof(received.message)};
  Control control{};
  msghdr header{};
  header.msg_iov = &packet;
  header.msg_iovlen = 1;
  header.msg_control = control.room.data();
  // Not the padding, which has room for another file.
  header.msg_controllen = CMSG_LEN(sizeof(int) * kMostPoolFiles);
  ssize_t size = 0;
  do {
    size = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size >= 0) received.files = FilesIn(header);  // an empty packet may bring some as well
  const PoolMessage& message = received.message;
  const bool whole = size == sizeof(message) && (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  if (whole && message.magic == PoolMessage::kMagic && message.version == PoolMessage::kVersion) {
    return received;
  }
  for (const int file : received.files) close(file);
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
