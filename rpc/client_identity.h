// How a client proves itself and how it knows its server: credentials made of ClientSecurity.
//
// Threads: pure but for reading files. Cost: up to four files. Errors: InvalidArgument naming the
// file, or a token that would be sent in plaintext beyond this machine.
#pragma once

#include <grpcpp/security/credentials.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "rpc/client_security.h"

namespace plimsoll {

struct ClientIdentity {
  std::shared_ptr<grpc::ChannelCredentials> channel;
  std::string authorization;  // a header's value; empty: none is sent
};

absl::StatusOr<ClientIdentity> IdentityOf(const ClientSecurity& security,
                                          const std::string& server);

}  // namespace plimsoll
