// Sharing in a cache of several groups: what a prompt finds, how a sequence begins with it, and how
// it names its own blocks.
#include <algorithm>
#include <utility>

#include "kvcache/base/check.h"
#include "kvcache/pool/group_cache.h"

namespace plimsoll {
namespace {

using Kind = Retention::Kind;

constexpr Blocks kOne(1);

}  // namespace

bool GroupCache::CanGoOn(std::span<const int64_t> in_a_row, int64_t blocks) const {
  const Tokens length = blocks * block_tokens_;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const int64_t wanted = Keeps(i, Kind::kState) ? 1 : blocks - ExtentOf(i, length, length).first;
    if (in_a_row[i] < wanted) return false;
  }
  return true;
}

// The keys of the next names from `first` on, some at a time: what they lead to is fetched while
// the others are made.
std::span<const PrefixKey> GroupCache::NextKeys(const PrefixKey& after, const BlockNames& names,
                                                int64_t first, Keys& keys) const {
  const auto count = std::min(keys.size(), static_cast<size_t>(names.size() - first));
  const PrefixKey* before = &after;
  for (size_t i = 0; i < count; ++i) {
    keys[i] = tree_->hasher().Next(*before, names[first + static_cast<int64_t>(i)]);
    tree_->Prefetch(keys[i]);
    before = &keys[i];
  }
  return std::span(keys).first(count);
}

void GroupCache::FindNodes(const PrefixKey& root, const BlockNames& names, Hit& hit) const {
  PrefixKey last = root;
  PrefixParent parent = PrefixParent::Root(root);
  Keys room;
  while (std::ssize(hit.nodes) < names.size()) {
    const std::span<const PrefixKey> keys = NextKeys(last, names, std::ssize(hit.nodes), room);
    tree_->Prefetch(keys);
    for (const PrefixKey& key : keys) {
      const std::optional<NodeId> node = tree_->Find(key, parent, names[std::ssize(hit.nodes)]);
      if (!node) return;
      tree_->PrefetchBlocks(*node);
      hit.nodes.push_back(*node);
      hit.keys.push_back(key);
      parent = PrefixParent(*node);
    }
    last = keys.back();
  }
}

GroupCache::Hit GroupCache::LookUp(const Prompt& prompt, Tokens total) const {
  const PrefixKey root = tree_->hasher().Root(prompt.salt, prompt.names.by_hash());
  const int64_t blocks = std::min(prompt.names.size(), total / block_tokens_);
  Hit hit{{.key = root, .tip = PrefixParent::Root(root), .named = 0, .prompt = blocks}, {}, {}};
  FindNodes(root, prompt.names.Subrange(0, blocks), hit);
  if (!hit.nodes.empty() && tree_->FirstChild(hit.nodes.back())) {
    hit.path.parting = std::ssize(hit.nodes);
  }
  std::vector<int64_t> in_a_row(groups_.size(), 0);
  for (size_t i = 0; i < hit.nodes.size(); ++i) {
    const NodeId node = hit.nodes[i];
    for (size_t g = 0; g < groups_.size(); ++g) {
      in_a_row[g] = tree_->BlockOf(node, g) ? in_a_row[g] + 1 : 0;
    }
    const auto length = static_cast<int64_t>(i) + 1;
    if (!CanGoOn(in_a_row, length)) continue;
    hit.path.tip = PrefixParent(node);
    hit.path.named = length;
  }
  if (hit.path.named > 0) hit.path.key = hit.keys[static_cast<size_t>(hit.path.named) - 1];
  return hit;
}

Tokens GroupCache::Find(const Prompt& prompt) const {
  if (!tree_) return Tokens(0);
  return LookUp(prompt, Tokens(kMaxTokens)).path.named * block_tokens_;
}

std::optional<GroupStart> GroupCache::BeginWith(const Prompt& prompt, Tokens total) {
  PLIMSOLL_CHECK(tree_.has_value());
  if (total > Tokens(kMaxTokens)) return std::nullopt;
  Sequence sequence;
  sequence.total = total;
  GroupStart start{SequenceId(next_), {}};
  if (!Start(sequence, prompt, start.copies)) return std::nullopt;
  sequences_.emplace(SequenceId(next_++), std::move(sequence));
  return start;
}

// A copied state needs room beside its checkpoint. Where that is not to be had, the sequence goes
// on with the checkpoint itself. Blocks found here and there may pin slabs that the rest needs:
// then it begins without.
bool GroupCache::Start(Sequence& sequence, const Prompt& prompt, std::vector<GroupCopy>& copies) {
  Hit hit = LookUp(prompt, sequence.total);
  if (hit.path.named > 0) {
    if (StartAfter(sequence, hit, true, copies)) return true;
    if (StartAfter(sequence, hit, false, copies)) return true;
  }
  if (!StartEmpty(sequence)) return false;
  const PrefixKey root = tree_->hasher().Root(prompt.salt, prompt.names.by_hash());
  sequence.path = {.key = root,
                   .tip = PrefixParent::Root(root),
                   .named = 0,
                   .prompt = hit.path.prompt,
                   .parting = hit.path.parting};
  return true;
}

bool GroupCache::StartAfter(Sequence& sequence, const Hit& hit, bool copies_states,
                            std::vector<GroupCopy>& copies) {
  const int64_t blocks = hit.path.named;
  const Tokens length = blocks * block_tokens_;
  const std::vector<Blocks> needed = Needed(sequence.total);
  std::vector<Blocks> reserved = needed;
  std::vector<GroupBlock> held;
  for (size_t i = 0; i < groups_.size(); ++i) {
    const bool state = Keeps(i, Kind::kState);
    int64_t at = state ? blocks - 1 : ExtentOf(i, length, length).first;
    for (; at < blocks; ++at) {
      const BlockId block = *tree_->BlockOf(hit.nodes[static_cast<size_t>(at)], i);
      held.push_back({i, block});
      const bool in_its_place = Keeps(i, Kind::kWindow) && pool_.Holders(i, block) > 0;
      if (!in_its_place && !(state && copies_states)) reserved[i] -= kOne;
    }
  }
  if (!pool_.HoldAndReserve(held, reserved)) return false;

  sequence.path = hit.path;
  tree_->Hold(*hit.path.tip.block());
  sequence.length = sequence.before = length;
  Prepare(sequence, needed);
  for (size_t i = 0; i < groups_.size(); ++i) {
    sequence.shares[i].first = ExtentOf(i, length, length).first;
  }
  for (const auto& [group, block] : held) sequence.shares[group].Fill(block);
  GoOnWithStates(sequence, copies_states, copies);
  return true;
}

// The sequence holds checkpoints. It copies them, and lets go only when it has room for all copies;
// or they are nobody else's from now on.
void GroupCache::GoOnWithStates(Sequence& sequence, bool copies_states,
                                std::vector<GroupCopy>& copies) {
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (!Keeps(i, Kind::kState)) continue;
    BlockId& state = sequence.shares[i].blocks.front();
    if (copies_states) {
      copies.push_back({.group = i, .from = state, .to = TakePromised(i)});
      state = copies.back().to;
    } else {
      TakeOut(*sequence.path->tip.block(), i, state);
    }
  }
  for (const GroupCopy& copy : copies) pool_.Keep(copy.group, copy.from);
}

std::vector<GroupCopy> GroupCache::Name(SequenceId id, const BlockNames& names) {
  Sequence& sequence = At(id);
  std::vector<GroupCopy> copies;
  PLIMSOLL_CHECK(sequence.path.has_value(), id);
  Path& path = *sequence.path;
  if (path.stopped) return copies;
  PLIMSOLL_CHECK((path.named + names.size()) * block_tokens_ <= sequence.length, id, path.named,
                 names.size(), sequence.length);
  Keys room;
  for (int64_t named = 0; named < names.size() && !path.stopped;) {
    const PrefixKey last = path.key;
    for (const PrefixKey& key : NextKeys(last, names, named, room)) {
      if (!path.stopped) NameNext(sequence, key, names[named++]);
    }
  }
  const Tokens named = path.named * block_tokens_;
  if (path.stopped || path.named == 0 || named != sequence.length) return copies;
  if (path.named == path.prompt || path.named == path.parting) {
    TakeCheckpoints(sequence, Stay::kInTurn, copies);
  } else if (checkpoint_every_ > Tokens(0) && named.value() % checkpoint_every_.value() == 0) {
    TakeCheckpoints(sequence, Stay::kWhileRoom, copies);
  }
  return copies;
}

std::optional<Tokens> GroupCache::NextCheckpoint(SequenceId id) const {
  const Sequence& sequence = At(id);
  std::optional<Tokens> next;
  const auto consider = [&](Tokens length) {
    if (length > sequence.length && (!next || length < *next)) next = length;
  };
  if (!sequence.path || sequence.path->stopped) return next;
  consider(sequence.path->prompt * block_tokens_);
  consider(sequence.path->parting * block_tokens_);
  if (checkpoint_every_ > Tokens(0)) {
    consider((sequence.length / checkpoint_every_ + 1) * checkpoint_every_);
  }
  return next;
}

void GroupCache::NameNext(Sequence& sequence, const PrefixKey& key,
                          std::span<const std::byte> content) {
  Path& path = *sequence.path;
  const std::optional<NodeId> node = NextNode(path, key, content);
  if (!node) {
    path.stopped = true;
    return;
  }
  for (size_t i = 0; i < groups_.size(); ++i) {
    Share& share = sequence.shares[i];
    if (Keeps(i, Kind::kState) || path.named < share.first) continue;
    PutInto(*node, i, share.blocks[static_cast<size_t>(path.named - share.first)]);
  }
  const std::optional<NodeId> before = path.tip.block();
  path.tip = PrefixParent(*node);
  path.key = key;
  ++path.named;
  if (before) tree_->LetGo(*before);
}

// The node, held. Where the tree is full, what is cached goes, oldest first, until a node does.
std::optional<NodeId> GroupCache::NextNode(const Path& path, const PrefixKey& key,
                                           std::span<const std::byte> content) {
  std::optional<NodeId> node = tree_->Find(key, path.tip, content);
  if (node) {
    tree_->Hold(*node);
    return node;
  }
  while (!(node = tree_->Add(key, path.tip, content))) {
    const std::optional<GroupBlock> oldest = pool_.Oldest();
    if (!oldest) return std::nullopt;
    Evict(*oldest);
  }
  return node;
}

// The block becomes the node's, in the place of one that nobody holds; one that others hold takes
// its place.
void GroupCache::PutInto(NodeId node, size_t group, BlockId& block) {
  const std::optional<BlockId> same = tree_->BlockOf(node, group);
  if (same && !pool_.IsCached(group, *same)) {
    pool_.Share(group, *same);
    LetGo(group, std::exchange(block, *same));
    if (Keeps(group, Kind::kWindow)) pool_.ReserveAgain(group);
    return;
  }
  if (same) {
    TakeOut(node, group, *same);
    pool_.Drop(group, *same);
  }
  tree_->Put(node, group, block, pool_.IndexOf(group, block));
}

void GroupCache::TakeCheckpoints(const Sequence& sequence, Stay stay,
                                 std::vector<GroupCopy>& copies) {
  const NodeId node = *sequence.path->tip.block();
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (!Keeps(i, Kind::kState) || tree_->BlockOf(node, i)) continue;
    std::optional<BlockId> checkpoint;
    while (!(checkpoint = pool_.TakeCached(i, stay))) {
      const std::optional<GroupBlock> victim = pool_.Victim(i, stay);
      if (!victim || tree_->NodeOf(pool_.IndexOf(victim->group, victim->block)) == node) return;
      Evict(*victim);
    }
    tree_->Put(node, i, *checkpoint, pool_.IndexOf(i, *checkpoint));
    copies.push_back({.group = i, .from = sequence.shares[i].blocks.front(), .to = *checkpoint});
  }
}

}  // namespace plimsoll
