#include "rpc/accept_loop.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <utility>

namespace plimsoll {
namespace {

constexpr int kRestMs = 10;

int64_t FirstDescriptorKept() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
    return std::numeric_limits<int64_t>::max();
  }
  return static_cast<int64_t>(limit.rlim_cur) - AcceptLoop::kDescriptorsKept;
}

Descriptor OpenSpare() { return Descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC)); }

ino_t InodeOf(int fd) {
  struct stat file {};
  return fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode) ? file.st_ino : 0;
}

bool OutOfDescriptors(int error) { return error == EMFILE || error == ENFILE; }
bool OutOfMemory(int error) { return error == ENOBUFS || error == ENOMEM; }

}  // namespace

AcceptLoop::AcceptLoop(std::vector<ListeningSocket> sockets, ConnectionLimits limits, Log* log,
                       Taker take)
    : sockets_(std::move(sockets)),
      limits_(std::move(limits)),
      log_(log),
      take_(std::move(take)),
      highest_(FirstDescriptorKept()),
      wake_(eventfd(0, EFD_CLOEXEC)),
      spare_(OpenSpare()),
      thread_([this] { Run(); }) {}

AcceptLoop::~AcceptLoop() {
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

void AcceptLoop::Run() {
  std::vector<pollfd> watched = {{.fd = wake_.get(), .events = POLLIN, .revents = 0}};
  for (const ListeningSocket& socket : sockets_) {
    watched.push_back({.fd = socket.fd(), .events = POLLIN, .revents = 0});
  }
  for (;;) {
    if (poll(watched.data(), watched.size(), -1) < 0) continue;
    if (watched.front().revents != 0) return;
    bool rest = false;
    for (size_t i = 0; i < sockets_.size(); ++i) {
      if (watched[i + 1].revents != 0) rest |= !AcceptAll(sockets_[i]);
    }
    if (rest) poll(watched.data(), 1, kRestMs);  // only the wish to stop ends it early
  }
}

bool AcceptLoop::AcceptAll(const ListeningSocket& socket) {
  constexpr int kAtOnce = 64;  // then it is another socket's turn
  for (int i = 0; i < kAtOnce; ++i) {
    const Next next = AcceptOne(socket);
    if (next != Next::kGoOn) return next == Next::kAwaitMore;
  }
  return true;
}

AcceptLoop::Next AcceptLoop::AcceptOne(const ListeningSocket& socket) {
  Descriptor connection(accept4(socket.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (connection.open()) {
    Handle(socket, std::move(connection));
    return Next::kGoOn;
  }
  if (errno == EAGAIN) return Next::kAwaitMore;
  if (OutOfDescriptors(errno)) return ShedWithoutDescriptor(socket);
  // Anything else is the fault of one connection, which is gone: the next may be fine.
  return OutOfMemory(errno) ? Next::kRest : Next::kGoOn;
}

AcceptLoop::Next AcceptLoop::ShedWithoutDescriptor(const ListeningSocket& socket) {
  if (!spare_.open()) spare_ = OpenSpare();
  if (!spare_.open()) return Next::kRest;  // another thread was quicker
  spare_.Close();
  const bool shed = Descriptor(accept4(socket.fd(), nullptr, nullptr, SOCK_CLOEXEC)).open();
  spare_ = OpenSpare();
  if (shed) Tell("connection_shed", socket);
  if (shed) ++shed_;
  return shed ? Next::kGoOn : Next::kRest;
}

void AcceptLoop::Handle(const ListeningSocket& socket, Descriptor connection) {
  if (!MayCome(socket, connection.get())) {
    Tell("connection_refused", socket);
    ++refused_;
  } else if (!socket.own_user_only() && IsOneTooMany(connection.get())) {
    // Our own checks get in: a server that is full of callers is not a server that is down.
    Tell("connection_shed", socket);
    ++shed_;
  } else {
    taken_over_[connection.get()] = InodeOf(connection.get());
    ++taken_;
    take_(socket, std::move(connection));
  }
}

void AcceptLoop::Tell(const char* event, const ListeningSocket& socket) const {
  if (log_ == nullptr) return;
  log_->Write(LogLevel::kWarning, event,
              {{"address", socket.address()}, {"held", std::to_string(taken_over_.size())}});
}

bool AcceptLoop::MayCome(const ListeningSocket& socket, int connection) const {
  const bool all = !socket.own_user_only() && limits_.users.empty();
  if (socket.reach() != ListeningSocket::Reach::kUnix || all) return true;
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  return peer.uid == geteuid() ||
         std::find(limits_.users.begin(), limits_.users.end(), peer.uid) != limits_.users.end();
}

bool AcceptLoop::IsOneTooMany(int connection) {
  if (connection >= highest_) return true;
  // The system gives the lowest number that is free, so one in use here was closed since.
  taken_over_.erase(connection);
  if (std::ssize(taken_over_) < limits_.most) return false;
  ForgetClosed();
  return std::ssize(taken_over_) >= limits_.most;
}

void AcceptLoop::ForgetClosed() {
  std::erase_if(taken_over_, [](const auto& one) { return InodeOf(one.first) != one.second; });
}

}  // namespace plimsoll
