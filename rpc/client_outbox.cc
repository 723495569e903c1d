#include "rpc/client_outbox.h"

#include <utility>

namespace plimsoll {

void ClientOutbox::Add(Group group) { Of(group.asker).unsent.push_back(std::move(group.numbers)); }

void ClientOutbox::BeginStream(const std::set<uint64_t>& holders,
                               const std::set<uint64_t>& newcomers) {
  holders_.BeginStream(holders);
  newcomers_.BeginStream(newcomers);
}

void ClientOutbox::Queue::BeginStream(const std::set<uint64_t>& first) {
  unanswered = 0;
  // Those that the stream before did not get to ask again.
  std::erase_if(unsent, [&first](const auto& group) { return first.contains(group.front()); });
  for (auto number = first.rbegin(); number != first.rend(); ++number) {
    unsent.push_front({*number});
  }
}

std::optional<ClientOutbox::Group> ClientOutbox::Take(size_t most) {
  const Queue* const next = NextFor(most);
  if (next == nullptr) return std::nullopt;
  const Asker asker = next == &holders_ ? Asker::kHolder : Asker::kNewcomer;
  std::deque<std::vector<uint64_t>>& unsent = Of(asker).unsent;
  Group group{.numbers = std::move(unsent.front()), .asker = asker};
  unsent.pop_front();
  return group;
}

const ClientOutbox::Queue* ClientOutbox::NextFor(size_t most) const {
  const Queue& next = holders_.unsent.empty() ? newcomers_ : holders_;
  if (next.unsent.empty() || next.unsent.front().size() > most) return nullptr;
  const size_t left_to_holders = &next == &newcomers_ ? kMostInOneMessage : 0;
  const size_t unanswered =
      holders_.unanswered + newcomers_.unanswered + next.unsent.front().size();
  return unanswered + left_to_holders <= kMostUnanswered ? &next : nullptr;
}

}  // namespace plimsoll
