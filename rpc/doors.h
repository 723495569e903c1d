// The ways from an accepted connection into gRPC: plaintext or TLS, with or without tokens.
//
// TLS is for TCP; a Unix socket is private to its users as it is. A door exists for each group of
// peers that failures to authenticate are counted for, because gRPC tells the one who checks a
// token nothing of where the call came from.
//
// Threads: HandOver from one. Cost: two system calls per connection. Errors: none; before the
// server is built and after it is shut down, connections must not be handed over.
#pragma once

#include <grpcpp/server_builder.h>

#include <array>
#include <memory>
#include <vector>

#include "rpc/descriptor.h"
#include "rpc/listening_socket.h"
#include "rpc/server_certificates.h"
#include "rpc/token_gate.h"

namespace plimsoll {

class Doors {
 public:
  // Adds them to what `builder` builds. `certificates` and `gate` outlive that; null: plaintext,
  // and no tokens.
  Doors(grpc::ServerBuilder& builder, const ServerCertificates* certificates, TokenGate* gate);

  void HandOver(const ListeningSocket& from, Descriptor connection);

 private:
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;
  using Reach = ListeningSocket::Reach;
  static constexpr size_t kReaches = 3;

  // By reach; of each, one, or one per group of peers.
  std::array<std::vector<std::unique_ptr<Acceptor>>, kReaches> doors_;
};

}  // namespace plimsoll
