#include "rpc/client_holdings.h"

namespace plimsoll {

std::string ClientHoldings::Add(const Reservation& granted, const ReservationRequest& request) {
  std::string id = GrantedAs(granted.id);
  by_granted_id_[id].claim = {.id = granted.id,
                              .tenant = granted.tenant,
                              .prompt_tokens = granted.prompt_tokens,
                              .max_new_tokens = granted.max_new_tokens,
                              .ttl = granted.ttl,
                              .request_id = request.request_id,
                              .request_class = request.request_class};
  return id;
}

void ClientHoldings::Claimed(const std::string& id, const std::string& id_now) {
  const auto found = by_granted_id_.find(GrantedAs(id));
  if (found == by_granted_id_.end() || found->second.claim.id == id_now) return;
  found->second.claim.id = id_now;
  found->second.later.push_back(id_now);
  granted_as_[id_now] = found->first;
}

void ClientHoldings::Extended(const std::string& id, Tokens max_new_tokens) {
  const auto found = by_granted_id_.find(GrantedAs(id));
  if (found != by_granted_id_.end()) found->second.claim.max_new_tokens = max_new_tokens;
}

void ClientHoldings::Forget(const std::string& id) {
  const auto found = by_granted_id_.find(GrantedAs(id));
  if (found == by_granted_id_.end()) return;
  for (const std::string& later : found->second.later) granted_as_.erase(later);
  by_granted_id_.erase(found);
}

std::string ClientHoldings::GrantedAs(const std::string& id) const {
  const auto found = granted_as_.find(id);
  return found == granted_as_.end() ? id : found->second;
}

std::string ClientHoldings::IdNow(const std::string& id) const {
  const auto found = by_granted_id_.find(GrantedAs(id));
  return found == by_granted_id_.end() ? id : found->second.claim.id;
}

std::vector<std::string> ClientHoldings::GrantedIds() const {
  std::vector<std::string> ids;
  for (const auto& [id, holding] : by_granted_id_) ids.push_back(id);
  return ids;
}

}  // namespace plimsoll
