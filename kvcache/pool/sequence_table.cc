#include "kvcache/pool/sequence_table.h"

#include "kvcache/base/check.h"

namespace plimsoll {

SequenceId SequenceTable::Add(Blocks promised) {
  const SequenceId id(next_++);
  Sequence& sequence = sequences_[id];
  sequence.promise_left = promised;
  sequence.blocks.reserve(static_cast<size_t>(promised.value()));
  return id;
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

void SequenceTable::Remove(SequenceId id) { PLIMSOLL_CHECK(sequences_.erase(id) == 1, id); }

}  // namespace plimsoll
