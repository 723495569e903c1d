#include "rpc/client_identity.h"

#include <arpa/inet.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "kvcache/base/errors.h"
#include "rpc/address.h"

namespace plimsoll {
namespace {

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  std::string text;
  if (path.empty()) return text;
  std::ifstream in(path, std::ios::binary);
  // A folder opens, but cannot be read: peek says so, where the iterator would throw.
  if (in.peek(); in.good()) text.assign(std::istreambuf_iterator<char>(in), {});
  if (text.empty()) return absl::InvalidArgumentError(path + ": is empty or cannot be read");
  return text;
}

bool StaysOnThisMachine(const std::string& server) {
  if (IsUnixAddress(server)) return true;
  const absl::StatusOr<HostPort> where = ParseHostPort(server);
  if (!where.ok()) return false;
  if (where->host == "localhost" || where->host == "::1") return true;
  // A name may begin like such an address and be anybody's.
  in_addr v4{};
  return inet_pton(AF_INET, where->host.c_str(), &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  absl::StatusOr<std::string> text = ReadSmallFile(path);
  if (!text.ok()) return text;
  text->resize(std::min(text->size(), text->find_first_of("\r\n")));
  const bool printable =
      std::all_of(text->begin(), text->end(), [](char c) { return c > ' ' && c <= '~'; });
  if (text->empty() || !printable) {
    return absl::InvalidArgumentError(path + ": want a token of printable characters in line 1");
  }
  return text;
}

}  // namespace

absl::StatusOr<ClientIdentity> IdentityOf(const ClientSecurity& security,
                                          const std::string& server) {
  ClientIdentity identity;
  const bool tls = security.wants_tls() && !IsUnixAddress(server);
  if (!security.token_file.empty()) {
    if (!tls && !security.insecure && !StaysOnThisMachine(server)) {
      return absl::InvalidArgumentError("a token for " + server +
                                        " could be read on its way: give --ca or --tls");
    }
    const absl::StatusOr<std::string> token = ReadToken(security.token_file);
    if (!token.ok()) return token.status();
    identity.authorization = "Bearer " + *token;
  }
  if (!tls) {
    identity.channel = grpc::InsecureChannelCredentials();
    return identity;
  }
  if (security.certificate.empty() != security.key.empty()) {
    return absl::InvalidArgumentError("a client's certificate and its key go together");
  }
  grpc::SslCredentialsOptions options;
  for (const auto& [into, path] : {std::pair(&options.pem_root_certs, &security.ca),
                                   std::pair(&options.pem_cert_chain, &security.certificate),
                                   std::pair(&options.pem_private_key, &security.key)}) {
    const absl::StatusOr<std::string> text = ReadSmallFile(*path);
    if (!text.ok()) return text.status();
    *into = *text;
  }
  identity.channel = grpc::SslCredentials(options);
  return identity;
}

}  // namespace plimsoll
