#include "kvcache/admission/wait_queue.h"

#include <algorithm>
#include <limits>

#include "kvcache/base/check.h"

namespace plimsoll {
namespace {

constexpr int kHighest = kHighestPriority - kLowestPriority;

// Whether anybody else stands before this one.
template <class Standing>
bool AnyBefore(const std::set<Standing>& round, const Standing& standing) {
  auto first = round.begin();
  if (first != round.end() && first->tenant == standing.tenant) ++first;
  return first != round.end() && *first < standing;
}

}  // namespace

WaitQueue::Rank WaitQueue::RankOf(const ReservationRequest& request,
                                  std::optional<int64_t> seniority, int64_t ticket,
                                  Instant now) const {
  if (seniority) return {false, *seniority, ticket};
  const Instant since = now - (request.priority - kLowestPriority) * step_;
  return {true, since.time_since_epoch().count(), ticket};
}

int WaitQueue::BelowHighest(const Rank& rank, Instant now) const {
  if (!rank.newcomer) return -1;
  const Duration waited = now - Instant(Duration(rank.since));
  return kHighest - static_cast<int>(std::min<int64_t>(waited / step_, kHighest));
}

void WaitQueue::TakeOut(Lines::value_type& entry) {
  Line& line = entry.second;
  if (line.aside) {
    aside_.erase({line.turn, entry.first});
    return;
  }
  round_.erase(StandingOf(entry));
  by_purse_[line.purse].erase(StandingOf(entry));
  if (line.promotion) promotions_.erase({*line.promotion, entry.first});
  line.promotion.reset();
  blocks_ -= line.blocks;
}

void WaitQueue::PutIn(Lines::value_type& entry, std::optional<Rank> first_before) {
  Line& line = entry.second;
  if (line.ranks.empty()) {
    stirred_.insert(line.purse);
    lines_.erase(lines_.find(entry.first));
    return;
  }
  const Rank& first = *line.ranks.begin();
  if (first != first_before) line.aside = false;
  line.below = BelowHighest(first, now_);
  line.place = first.newcomer ? line.turn : first.since;
  if (line.aside) {
    aside_.emplace(line.turn, entry.first);
    return;
  }
  round_.insert(StandingOf(entry));
  by_purse_[line.purse].insert(StandingOf(entry));
  stirred_.insert(line.purse);
  blocks_ += line.blocks;
  if (line.below <= 0) return;
  line.promotion = Instant(Duration(first.since)) + (kHighest - line.below + 1) * step_;
  promotions_.emplace(*line.promotion, entry.first);
}

int64_t WaitQueue::Push(Waiter waiter, Instant now) {
  now_ = now;
  const int64_t ticket = next_ticket_++;
  const ReservationRequest& request = waiter.request;
  const auto [found, fresh] = lines_.try_emplace(request.tenant);
  Line& line = found->second;
  const auto first_before = fresh ? std::nullopt : std::optional<Rank>(*line.ranks.begin());
  if (fresh) {
    line.turn = next_turn_++;
    line.purse = waiter.purse;
  } else {
    TakeOut(*found);
  }
  const Rank rank = RankOf(request, waiter.seniority, ticket, now);
  line.ranks.insert(rank);
  line.blocks += waiter.needed;
  PutIn(*found, first_before);
  if (!request.request_id.empty()) {
    by_request_.emplace(request.tenant, request.request_id, ticket);
  }
  prefix_hashes_ += std::ssize(request.prefix_hashes);
  waiter.since = now;
  const Instant deadline = waiter.deadline;
  Place& place =
      waiters_.emplace(ticket, Place{.waiter = std::move(waiter), .rank = rank}).first->second;
  deadlines_.Set(ticket, place.end, deadline);
  return ticket;
}

Ahead WaitQueue::AheadOf(const ReservationRequest& request, std::optional<int64_t> seniority,
                         size_t purse, Instant now) const {
  constexpr int64_t kLast = std::numeric_limits<int64_t>::max();
  const Rank rank = RankOf(request, seniority, kLast, now);
  Standing standing{BelowHighest(rank, now), seniority.value_or(kLast), request.tenant};
  if (const auto line = lines_.find(request.tenant); line != lines_.end()) {
    if (*line->second.ranks.begin() < rank) {
      return {.first = false,
              .first_of_purse = false,
              .in_round = blocks_,
              .of_tenant = line->second.blocks};
    }
    if (!seniority) standing.turn = line->second.turn;
  }
  const bool first = !AnyBefore(round_, standing);
  return {.first = first,
          .first_of_purse = !AnyBefore(by_purse_[purse], standing),
          .in_round = first ? Blocks(0) : blocks_,
          .of_tenant = Blocks(0)};
}

std::optional<int64_t> WaitQueue::Front() const {
  if (round_.empty()) return std::nullopt;
  return lines_.at(round_.begin()->tenant).ranks.begin()->ticket;
}

std::optional<int64_t> WaitQueue::FrontOf(size_t purse) const {
  const std::set<Standing>& round = by_purse_[purse];
  if (round.empty()) return std::nullopt;
  return lines_.at(round.begin()->tenant).ranks.begin()->ticket;
}

std::optional<int64_t> WaitQueue::Anyone() const {
  if (aside_.empty() || !round_.empty()) return Front();
  return lines_.at(aside_.begin()->second).ranks.begin()->ticket;
}

Waiter WaitQueue::Serve(int64_t ticket) {
  std::optional<Waiter> waiter = Remove(ticket);
  PLIMSOLL_CHECK(waiter.has_value(), ticket);
  if (const auto line = lines_.find(waiter->request.tenant); line != lines_.end()) {
    const Rank first = *line->second.ranks.begin();
    TakeOut(*line);
    line->second.turn = next_turn_++;
    PutIn(*line, first);
  }
  return *std::move(waiter);
}

std::optional<Waiter> WaitQueue::Remove(int64_t ticket) {
  const auto found = waiters_.find(ticket);
  if (found == waiters_.end()) return std::nullopt;
  Waiter waiter = std::move(found->second.waiter);
  prefix_hashes_ -= std::ssize(waiter.request.prefix_hashes);
  const auto line = lines_.find(waiter.request.tenant);
  const Rank first = *line->second.ranks.begin();
  TakeOut(*line);
  line->second.ranks.erase(found->second.rank);
  line->second.blocks -= waiter.needed;
  PutIn(*line, first);
  by_request_.erase({waiter.request.tenant, waiter.request.request_id, ticket});
  deadlines_.Remove(ticket, found->second.end);
  waiters_.erase(found);
  return waiter;
}

void WaitQueue::SetAside(const std::string& tenant, bool aside) {
  const auto line = lines_.find(tenant);
  if (line == lines_.end() || line->second.aside == aside) return;
  TakeOut(*line);
  line->second.aside = aside;
  PutIn(*line, *line->second.ranks.begin());
}

void WaitQueue::StepAside(const std::string& tenant) { SetAside(tenant, true); }
void WaitQueue::Return(const std::string& tenant) { SetAside(tenant, false); }

std::optional<size_t> WaitQueue::TakeStirred() {
  if (stirred_.empty()) return std::nullopt;
  return stirred_.extract(stirred_.begin()).value();
}

void WaitQueue::Repurse(size_t purses,
                        const std::function<size_t(const std::string& tenant)>& purse_of) {
  by_purse_.resize(std::max(by_purse_.size(), purses));
  for (auto& entry : lines_) {
    TakeOut(entry);
    entry.second.aside = false;
    entry.second.purse = purse_of(entry.first);
    PutIn(entry, *entry.second.ranks.begin());
  }
  by_purse_.resize(purses);
  stirred_.clear();
  for (size_t purse = 0; purse < purses; ++purse) Stir(purse);
}

void WaitQueue::Promote(Instant now) {
  now_ = std::max(now_, now);
  while (!promotions_.empty() && promotions_.begin()->first <= now) {
    const auto line = lines_.find(promotions_.begin()->second);
    const Rank first = *line->second.ranks.begin();
    TakeOut(*line);
    PutIn(*line, first);
  }
}

std::optional<Instant> WaitQueue::EarliestPromotion() const {
  if (promotions_.empty()) return std::nullopt;
  return promotions_.begin()->first;
}

std::optional<int64_t> WaitQueue::FindRequest(const std::string& tenant,
                                              const std::string& request_id) const {
  if (by_request_.empty()) return std::nullopt;
  const auto first = by_request_.lower_bound({tenant, request_id, 0});
  if (first == by_request_.end()) return std::nullopt;
  const auto& [found_tenant, found_id, ticket] = *first;
  if (found_tenant != tenant || found_id != request_id) return std::nullopt;
  return ticket;
}

std::optional<Instant> WaitQueue::OldestArrival() const {
  if (waiters_.empty()) return std::nullopt;
  return waiters_.begin()->second.waiter.since;
}

const Waiter& WaitQueue::At(int64_t ticket) const {
  const auto found = waiters_.find(ticket);
  PLIMSOLL_CHECK(found != waiters_.end(), ticket);
  return found->second.waiter;
}

void WaitQueue::CheckInvariants() const {
  Blocks blocks;
  for (const auto& [ticket, place] : waiters_) {
    const Line& line = lines_.at(place.waiter.request.tenant);
    PLIMSOLL_CHECK(line.ranks.contains(place.rank) && deadlines_.Holds(ticket, place.end), ticket);
    if (!line.aside) blocks += place.waiter.needed;
  }
  PLIMSOLL_CHECK(blocks == blocks_, blocks, blocks_);
  PLIMSOLL_CHECK(deadlines_.size() == size(), deadlines_.size(), size());
  PLIMSOLL_CHECK(round_.size() + aside_.size() == lines_.size(), round_.size(), aside_.size(),
                 lines_.size());
  int64_t in_lines = 0;
  for (const auto& entry : lines_) {
    const Line& line = entry.second;
    in_lines += std::ssize(line.ranks);
    const bool in_round = round_.contains(StandingOf(entry));
    PLIMSOLL_CHECK(in_round != line.aside, entry.first);
    PLIMSOLL_CHECK(aside_.contains({line.turn, entry.first}) == line.aside, entry.first);
    PLIMSOLL_CHECK(by_purse_[line.purse].contains(StandingOf(entry)) == in_round, entry.first);
  }
  PLIMSOLL_CHECK(in_lines == size(), in_lines, size());
}

}  // namespace plimsoll
