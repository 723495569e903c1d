// Addresses that people type: "host:port", "[v6]:port" and "unix:/path".
//
// Threads: pure, except WhyNotListen, which opens a socket. Errors: InvalidArgument.
#pragma once

#include <sys/un.h>

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace plimsoll {

struct HostPort {
  std::string host;
  int port;  // in [0, 65535]; 0 asks the system for one
};

absl::StatusOr<HostPort> ParseHostPort(const std::string& address);

// "unix:" and an absolute path that fits a socket's name.
bool IsUnixAddress(const std::string& address);

// The name of an address that IsUnixAddress.
sockaddr_un SocketNameOf(const std::string& address);

// OK for what a server can listen on and a client can dial.
absl::Status CheckAddress(const std::string& address);

// FailedPrecondition unless it is sure that nobody listens on this Unix socket; a dead socket file
// is no obstacle. Does not wait for an answer. OK for any other address.
absl::Status CheckSocketFileUnused(const std::string& address);

// The system's reason why listening on a host and port failed: "cannot listen on <address>: <why>".
absl::Status WhyNotListen(const std::string& address);

}  // namespace plimsoll
