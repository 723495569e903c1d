// Sockets that listen, for an accept loop of our own.
//
// A host's name may mean several addresses, each with a socket; all get one port. A Unix socket is
// open to its owner and group alone (mode 0660), from before anybody can connect; a dead socket
// file is replaced, and the file goes when the socket does.
//
// Threads: values that move. Cost: a few system calls. Errors: InvalidArgument for what is no
// address, FailedPrecondition "cannot listen on <address>: <the system's reason>".
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "rpc/descriptor.h"

namespace plimsoll {

class ListeningSocket {
 public:
  enum class Reach : uint8_t {
    kUnix,      // this machine, by the file's permissions
    kLoopback,  // this machine
    kNetwork,   // whoever can route here
  };

  ListeningSocket(Descriptor descriptor, std::string address, Reach reach)
      : descriptor_(std::move(descriptor)), address_(std::move(address)), reach_(reach) {}
  ~ListeningSocket();
  ListeningSocket(ListeningSocket&&) = default;
  ListeningSocket& operator=(ListeningSocket&&) = delete;

  int fd() const { return descriptor_.get(); }
  const std::string& address() const { return address_; }  // with the port the system chose
  Reach reach() const { return reach_; }
  // Whether only processes of this server's user may come.
  bool own_user_only() const { return own_user_only_; }
  void AdmitOwnUserOnly() { own_user_only_ = true; }
  // Removes the file at `path` when this socket closes, if it is still the one that is there now.
  void RemoveWithFile(const std::string& path);

 private:
  Descriptor descriptor_;
  std::string address_;
  Reach reach_;
  bool own_user_only_ = false;
  std::string file_;  // empty: none to remove
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// At least one. They do not block.
absl::StatusOr<std::vector<ListeningSocket>> ListenOn(const std::string& address);

// Whether peers on other machines may come by one of them.
bool ReachOtherMachines(const std::vector<ListeningSocket>& sockets);

// A Unix socket without a file, under a name that the system chose, for this user's processes.
absl::StatusOr<ListeningSocket> ListenToOurselves();

// A socket that listens already, given by who started us. InvalidArgument if it is none.
absl::StatusOr<ListeningSocket> TakeListening(int fd);

}  // namespace plimsoll
