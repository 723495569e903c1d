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

bool IsToken(const std::string& text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  absl::StatusOr<std::string> text = ReadSmallFile(path);
  if (!text.ok()) return text;
  text->resize(std::min(text->size(), text->find_first_of("\r\n")));
  if (!IsToken(*text)) {
    return absl::InvalidArgumentError(path + ": want a token of printable characters in line 1");
  }
  return text;
}

// The token is a secret: no line shows it.
absl::StatusOr<std::string> TokenOf(const ClientSecurity& security) {
  if (security.token.empty()) return ReadToken(security.token_file);
  if (!security.token_file.empty()) {
    return absl::InvalidArgumentError("token and token_file: want one of the two");
  }
  if (!IsToken(security.token)) {
    return absl::InvalidArgumentError("token: want printable characters, without a space");
  }
  return security.token;
}

}  // namespace

absl::StatusOr<ClientIdentity> IdentityOf(const ClientSecurity& security,
                                          const std::string& server) {
  ClientIdentity identity;
  const bool tls = security.wants_tls() && !IsUnixAddress(server);
  if (security.has_token()) {
    if (!tls && !security.insecure && !StaysOnThisMachine(server)) {
      return absl::InvalidArgumentError("a token for " + server +
                                        " could be read on its way: give ca or tls");
    }
    const absl::StatusOr<std::string> token = TokenOf(security);
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
