#include "kvcache/pool/sequence_table.h"

#include <utility>

#include "kvcache/base/check.h"

namespace plimsoll {

SequenceId SequenceTable::Add(Blocks promised) {
  const SequenceId id(next_++);
  Sequence& sequence = sequences_[id];
  sequence.promise_left = promised;
  sequence.blocks.reserve(static_cast<size_t>(promised.value()));
  sequence.next_fork = sequence.previous_fork = &sequence;
  return id;
}

SequenceId SequenceTable::AddFork(SequenceId id, Blocks promised) {
  const SequenceId its_id = Add(promised);
  Sequence& parent = At(id);
  Sequence& fork = At(its_id);
  fork.previous_fork = &parent;
  fork.next_fork = std::exchange(parent.next_fork, &fork);
  fork.next_fork->previous_fork = &fork;
  return its_id;
}

Sequence& SequenceTable::At(SequenceId id) {
  const auto found = sequences_.find(id);
  PLIMSOLL_CHECK(found != sequences_.end(), id);
  return found->second;
}

const Sequence& SequenceTable::At(SequenceId id) const {
  const auto found = sequences_.find(id);
  PLIMSOLL_CHECK(found != sequences_.end(), id);
  return found->second;
}

void SequenceTable::Remove(SequenceId id) {
  Sequence& sequence = At(id);
  sequence.next_fork->previous_fork = sequence.previous_fork;
  sequence.previous_fork->next_fork = sequence.next_fork;
  sequences_.erase(id);
}

}  // namespace plimsoll
