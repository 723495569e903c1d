// Taking everything from a sequence that will go on later.
#include "kvcache/base/check.h"
#include "kvcache/pool/block_counts.h"
#include "kvcache/pool/kv_cache.h"

namespace plimsoll {

void KvCache::GiveUpAll(Sequence& sequence) {
  LetGoFrom(sequence, 0);
  MoveBlocks(sequence.promise_left, counts_.reserved, counts_.free);
  sequence.blocks.clear();
  sequence.promise_left = sequence.beyond = Blocks(0);
  sequence.length = sequence.reach = Tokens(0);
  sequence.prefix.reset();
}

void KvCache::Preempt(SequenceId id) {
  GiveUpAll(sequences_.At(id));
  Verify();
}

bool KvCache::Resume(SequenceId id, const Prompt& prompt, Blocks total) {
  Sequence& sequence = sequences_.At(id);
  PLIMSOLL_CHECK(sequence.blocks.empty() && sequence.promise_left == Blocks(0), id, sequence.length,
                 sequence.promise_left);
  if (!LookUp(prompt, total)) return false;
  Start(sequence, prompt, total);
  Verify();
  return true;
}

Blocks KvCache::RoomIfPreempted(SequenceId id) const {
  const Sequence& sequence = sequences_.At(id);
  Blocks room = sequence.promise_left;
  for (const BlockId block : sequence.blocks) {
    const bool named = sequence.prefix && prefixes_->index.Contains(block);
    const int32_t others = pool_.References(block) - (named ? 1 : 0) - 1;
    const auto spares = others > 0 ? spares_.find(block) : spares_.end();
    const bool frees_spare = spares != spares_.end() && spares->second >= others;
    if (others == 0 || frees_spare) room += Blocks(1);
  }
  return room;
}

}  // namespace plimsoll
