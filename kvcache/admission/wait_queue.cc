#include "kvcache/admission/wait_queue.h"

#include <utility>

#include "kvcache/base/check.h"

namespace plimsoll {

int64_t WaitQueue::Push(Waiter waiter) {
  const int64_t ticket = next_ticket_++;
  const ReservationRequest& request = waiter.request;
  const auto [found, fresh] = lines_.try_emplace(request.tenant);
  Line& line = found->second;
  if (fresh) line.turn = round_.insert(round_.end(), request.tenant);
  if (!request.request_id.empty()) {
    by_request_.emplace(request.tenant, request.request_id, ticket);
  }
  deadlines_.Set(ticket, waiter.deadline);
  blocks_ += waiter.needed;
  const auto in_line = line.tickets.insert(line.tickets.end(), ticket);
  waiters_.emplace(ticket, Place{.waiter = std::move(waiter), .in_line = in_line});
  return ticket;
}

const Waiter* WaitQueue::Front() const {
  if (round_.empty()) return nullptr;
  return &At(lines_.at(round_.front()).tickets.front());
}

Waiter WaitQueue::PopFront() {
  PLIMSOLL_CHECK(!round_.empty());
  const std::string tenant = round_.front();
  std::optional<Waiter> waiter = Remove(lines_.at(tenant).tickets.front());
  const auto line = lines_.find(tenant);
  if (line != lines_.end()) round_.splice(round_.end(), round_, line->second.turn);
  return *std::move(waiter);
}

std::optional<Waiter> WaitQueue::Remove(int64_t ticket) {
  const auto found = waiters_.find(ticket);
  if (found == waiters_.end()) return std::nullopt;
  Waiter waiter = std::move(found->second.waiter);
  const auto line = lines_.find(waiter.request.tenant);
  line->second.tickets.erase(found->second.in_line);
  if (line->second.tickets.empty()) {
    round_.erase(line->second.turn);
    lines_.erase(line);
  }
  by_request_.erase({waiter.request.tenant, waiter.request.request_id, ticket});
  deadlines_.Remove(ticket);
  blocks_ -= waiter.needed;
  waiters_.erase(found);
  return waiter;
}

std::optional<int64_t> WaitQueue::FindRequest(const std::string& tenant,
                                              const std::string& request_id) const {
  const auto first = by_request_.lower_bound({tenant, request_id, 0});
  if (first == by_request_.end()) return std::nullopt;
  const auto& [found_tenant, found_id, ticket] = *first;
  if (found_tenant != tenant || found_id != request_id) return std::nullopt;
  return ticket;
}

const Waiter& WaitQueue::At(int64_t ticket) const {
  const auto found = waiters_.find(ticket);
  PLIMSOLL_CHECK(found != waiters_.end(), ticket);
  return found->second.waiter;
}

void WaitQueue::CheckInvariants() const {
  Blocks blocks;
  for (const auto& [ticket, place] : waiters_) {
    PLIMSOLL_CHECK(*place.in_line == ticket && deadlines_.Has(ticket), ticket);
    blocks += place.waiter.needed;
  }
  PLIMSOLL_CHECK(blocks == blocks_, blocks, blocks_);
  PLIMSOLL_CHECK(deadlines_.size() == size(), deadlines_.size(), size());
  PLIMSOLL_CHECK(round_.size() == lines_.size(), round_.size(), lines_.size());
  for (const auto& [tenant, line] : lines_) {
    PLIMSOLL_CHECK(!line.tickets.empty() && *line.turn == tenant, tenant);
  }
}

}  // namespace plimsoll
