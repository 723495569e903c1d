// A file descriptor that closes itself.
//
// Threads: a value that moves. Cost: an int. Errors: none; one that is not open holds -1.
#pragma once

#include <unistd.h>

#include <utility>

namespace plimsoll {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { Close(); }
  Descriptor(Descriptor&& other) noexcept : fd_(other.Release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      Close();
      fd_ = other.Release();
    }
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  // Whoever takes it closes it.
  int Release() { return std::exchange(fd_, -1); }
  void Close() {
    if (open()) ::close(Release());
  }

 private:
  int fd_ = -1;
};

}  // namespace plimsoll
