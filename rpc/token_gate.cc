#include "rpc/token_gate.h"

#include <algorithm>
#include <utility>

namespace plimsoll {
namespace {

constexpr char kScheme[] = "Bearer ";

bool StartsWith(const std::string& text, const char* start) { return text.rfind(start, 0) == 0; }

}  // namespace

std::optional<Role> RoleFor(const std::string& method) {
  if (StartsWith(method, "/grpc.health.v1.Health/")) return std::nullopt;
  if (method == "/plimsoll.v1.AdminService/GetServerInfo") return Role::kRead;
  if (StartsWith(method, "/plimsoll.v1.AdminService/")) return Role::kAdmin;
  if (StartsWith(method, "/plimsoll.v1.AdmissionService/")) return Role::kAdmission;
  if (StartsWith(method, "/plimsoll.v1.GenerationService/")) return Role::kAdmission;
  return Role::kRead;
}

TokenGate::TokenGate(TokenTable tokens, const Clock& clock, Log* log)
    : clock_(clock),
      log_(log),
      bound_to_tenants_(tokens.bound_to_tenants()),
      tokens_(std::move(tokens)) {}

void TokenGate::SetTokens(TokenTable tokens) {
  {
    absl::MutexLock lock(&mutex_);
    bound_to_tenants_ = tokens.bound_to_tenants();
    tokens_ = std::move(tokens);
  }
  for (Peer& peer : peers_) {
    absl::MutexLock lock(&peer.mutex);
    peer.known.clear();
  }
}

std::optional<TokenOwner> TokenGate::Find(const std::string& authorization) const {
  if (!StartsWith(authorization, kScheme)) return std::nullopt;
  absl::ReaderMutexLock lock(&mutex_);
  return tokens_.Find(authorization.substr(sizeof(kScheme) - 1));
}

grpc::Status TokenGate::Check(const std::string& method, const std::string& authorization,
                              size_t peer_number) {
  const std::optional<Role> wanted = RoleFor(method);
  if (!wanted) return grpc::Status::OK;
  const std::optional<TokenOwner> owner = Find(authorization);
  const Instant now = clock_.Now();
  Peer& peer = peers_[peer_number];
  bool let_in = false;
  bool too_many = false;
  {
    absl::MutexLock lock(&peer.mutex);
    const double seconds = std::chrono::duration<double>(now - peer.since).count();
    peer.failures_left =
        std::min(kFailuresPerSecond, peer.failures_left + seconds * kFailuresPerSecond);
    peer.since = now;
    too_many = peer.failures_left < 1;
    let_in = owner && (!too_many || peer.known.contains(owner->name));
    if (let_in) peer.known.insert(owner->name);
    if (!let_in && !too_many) peer.failures_left -= 1;
  }
  if (!let_in) return Refuse(method, !authorization.empty(), too_many, peer_number);
  if (owner->role >= *wanted) return grpc::Status::OK;
  return {grpc::StatusCode::PERMISSION_DENIED,
          owner->name + " has the role " + NameOf(owner->role) + "; this wants " + NameOf(*wanted)};
}

grpc::Status TokenGate::Refuse(const std::string& method, bool has_token, bool too_many,
                               size_t peer) {
  if (log_ != nullptr) {
    log_->Write(LogLevel::kWarning, "authentication_failed",
                {{"method", method},
                 {"why", too_many    ? "too many failures"
                         : has_token ? "unknown token"
                                     : "no token"},
                 {"peer", std::to_string(peer)}});
  }
  if (too_many) {
    return {grpc::StatusCode::RESOURCE_EXHAUSTED,
            "too many failed attempts from this peer; try again in a second"};
  }
  return {grpc::StatusCode::UNAUTHENTICATED, has_token
                                                 ? "this token is not known"
                                                 : "this server wants a token: Bearer TOKEN in "
                                                   "authorization"};
}

}  // namespace plimsoll
