#include "rpc/doors.h"

#include <grpcpp/security/auth_metadata_processor.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string_view>
#include <utility>

#include "absl/hash/hash.h"

namespace plimsoll {
namespace {

using Reach = ListeningSocket::Reach;
using Credentials = std::shared_ptr<grpc::ServerCredentials>;
namespace tls = grpc::experimental;
using FileWatcher = std::shared_ptr<tls::FileWatcherCertificateProvider>;

constexpr unsigned kLookAtFilesSeconds = 1;

// Asks the gate about each call of one group of peers.
class TokenCheck final : public grpc::AuthMetadataProcessor {
 public:
  TokenCheck(TokenGate& gate, size_t peer) : gate_(gate), peer_(peer) {}

  bool IsBlocking() const override { return false; }
  // The token stays with the call: its handler may ask for which tenant it acts.
  grpc::Status Process(const InputMetadata& metadata, grpc::AuthContext*, OutputMetadata*,
                       OutputMetadata*) override {
    return gate_.Check(ValueOf(metadata, ":path"), ValueOf(metadata, "authorization"), peer_);
  }

 private:
  static std::string ValueOf(const InputMetadata& metadata, const char* key) {
    const auto found = metadata.find(key);
    return found == metadata.end() ? "" : std::string(found->second.data(), found->second.size());
  }

  TokenGate& gate_;
  const size_t peer_;
};

// Each has a thread of gRPC's: one is enough for all doors.
FileWatcher WatcherOf(const ServerCertificates* certificates) {
  if (certificates == nullptr) return nullptr;
  return std::make_shared<tls::FileWatcherCertificateProvider>(
      certificates->identity_path(), certificates->identity_path(),
      certificates->wants_client_certificate() ? certificates->client_ca_path() : "",
      kLookAtFilesSeconds);
}

Credentials TlsCredentials(const FileWatcher& files, bool mutual) {
  tls::TlsServerCredentialsOptions options(files);
  options.watch_identity_key_cert_pairs();
  if (mutual) {
    options.watch_root_certs();
    options.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return tls::TlsServerCredentials(options);
}

// Insecure credentials of gRPC 1.51 take no check of tokens; local ones do, and are the same bytes
// on the wire.
Credentials PlainCredentials(Reach reach, bool tokens) {
  if (!tokens) return grpc::InsecureServerCredentials();
  return grpc::experimental::LocalServerCredentials(reach == Reach::kUnix ? UDS : LOCAL_TCP);
}

// The same for the same peer, and nothing that a peer can compute.
size_t GroupOf(const ListeningSocket& from, int connection) {
  if (from.reach() == Reach::kUnix) {
    ucred peer{};
    socklen_t size = sizeof(peer);
    getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    return absl::HashOf(peer.uid);
  }
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  getpeername(connection, reinterpret_cast<sockaddr*>(&name), &size);
  if (name.ss_family == AF_INET) {
    return absl::HashOf(reinterpret_cast<const sockaddr_in&>(name).sin_addr.s_addr);
  }
  // One network of IPv6 is one peer: it may use all its 2^64 addresses. All of IPv4 looks like one
  // network, where a socket of IPv6 takes its connections.
  constexpr size_t kNetworkBytes = 8;
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(name).sin6_addr;
  const size_t bytes = IN6_IS_ADDR_V4MAPPED(&v6) ? sizeof(v6) : kNetworkBytes;
  return absl::HashOf(std::string_view(reinterpret_cast<const char*>(&v6), bytes));
}

}  // namespace

Doors::Doors(grpc::ServerBuilder& builder, const ServerCertificates* certificates,
             TokenGate* gate) {
  const FileWatcher files = WatcherOf(certificates);
  for (const Reach reach : {Reach::kUnix, Reach::kLoopback, Reach::kNetwork}) {
    const bool over_tls = certificates != nullptr && reach != Reach::kUnix;
    // Plaintext beyond this machine goes without tokens: whoever listens would have them.
    if (gate != nullptr && !over_tls && reach == Reach::kNetwork) continue;
    for (size_t peer = 0; peer < (gate == nullptr ? 1 : TokenGate::kPeers); ++peer) {
      const Credentials credentials =
          over_tls ? TlsCredentials(files, certificates->wants_client_certificate())
                   : PlainCredentials(reach, gate != nullptr);
      if (gate != nullptr) {
        credentials->SetAuthMetadataProcessor(std::make_shared<TokenCheck>(*gate, peer));
      }
      doors_[static_cast<size_t>(reach)].push_back(
          builder.experimental().AddExternalConnectionAcceptor(
              grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
              credentials));
    }
  }
}

void Doors::HandOver(const ListeningSocket& from, Descriptor connection) {
  const auto& doors = doors_[static_cast<size_t>(from.reach())];
  Acceptor::NewConnectionParameters connected;
  connected.listener_fd = from.fd();
  const size_t door = doors.size() == 1 ? 0 : GroupOf(from, connection.get()) % doors.size();
  connected.fd = connection.Release();
  doors[door]->HandleNewConnection(&connected);
}

}  // namespace plimsoll
