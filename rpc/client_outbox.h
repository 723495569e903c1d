// What a client's session has to send, and how much of it may be without a result at once.
//
// A server cuts off who has more than 4096 operations without a result, and a reservation may wait
// for room as long as it likes. So newcomers, who wait, leave one message's room to holders, who
// extend and release and are answered at once: that they do is what newcomers wait for. Holders go
// first, too. Of each kind order is kept.
//
// Threads: none; the owner serialises calls. Cost: O(1) per operation. Errors: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <vector>

#include "rpc/action.h"

namespace plimsoll {

inline constexpr size_t kMostInOneMessage = 256;
inline constexpr size_t kMostUnanswered = 4096;

// Who asks: one that has something, or one that wants something.
enum class Asker : uint8_t { kHolder, kNewcomer };

inline Asker AskerOf(const Action& action) {
  return std::holds_alternative<ReserveAction>(action) ? Asker::kNewcomer : Asker::kHolder;
}

class ClientOutbox {
 public:
  // Operations that go together, by their numbers.
  struct Group {
    std::vector<uint64_t> numbers;
    Asker asker;
  };

  // At most kMostInOneMessage.
  void Add(Group group);
  // Another stream, over which nothing is unanswered. These, each alone, come first and in their
  // order; they may be in the outbox already.
  void BeginStream(const std::set<uint64_t>& holders, const std::set<uint64_t>& newcomers);

  bool MayTake() const { return NextFor(kMostInOneMessage) != nullptr; }
  // The next that may be sent, of at most so many operations.
  std::optional<Group> Take(size_t most);
  // Each operation that is sent, and then answered.
  void Sent(Asker asker) { ++Of(asker).unanswered; }
  void Answered(Asker asker) { --Of(asker).unanswered; }

 private:
  struct Queue {
    std::deque<std::vector<uint64_t>> unsent;
    size_t unanswered = 0;

    void BeginStream(const std::set<uint64_t>& first);
  };

  Queue& Of(Asker asker) { return asker == Asker::kHolder ? holders_ : newcomers_; }
  const Queue* NextFor(size_t most) const;

  Queue holders_, newcomers_;
};

}  // namespace plimsoll
