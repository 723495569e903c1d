#include "tests/emulator/thread_block.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>
#include <random>

#include "kvcache/base/check.h"

namespace plimsoll::emulator {
namespace {

ThreadBlock* current = nullptr;

std::minstd_rand& Random() {
  static std::minstd_rand random;
  return random;
}

// Stacks are kept for the next block: mapping them is most of what a small block costs.
Fibre& FibreOf(int thread) {
  static std::vector<std::unique_ptr<Fibre>> fibres;
  while (std::ssize(fibres) <= thread) fibres.push_back(std::make_unique<Fibre>());
  return *fibres[static_cast<size_t>(thread)];
}

std::string Text(const Site& site) {
  const std::string file = site.file;
  return std::string(site.what) + " (" + file.substr(file.rfind('/') + 1) + ":" +
         std::to_string(site.line) + ")";
}

std::string Hex(uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

std::string Name(int thread) { return "thread " + std::to_string(thread); }

// "0-3, 7"
std::string Ranges(const std::vector<int>& sorted) {
  std::string text;
  for (size_t i = 0; i < sorted.size();) {
    size_t end = i + 1;
    while (end < sorted.size() && sorted[end] == sorted[end - 1] + 1) ++end;
    if (!text.empty()) text += ", ";
    text += std::to_string(sorted[i]);
    if (end - i > 1) text += "-" + std::to_string(sorted[end - 1]);
    i = end;
  }
  return text;
}

}  // namespace

void SetSeed(uint64_t seed) {
  Random().seed(static_cast<uint32_t>(seed % std::minstd_rand::modulus));
}

ThreadBlock::ThreadBlock(const Shape& shape, const Index& index)
    : shape_(shape),
      index_(index),
      shared_(std::make_unique<std::byte[]>(static_cast<size_t>(shape.shared_bytes))),
      threads_(static_cast<size_t>(shape.threads)),
      gatherings_(static_cast<size_t>(shape.threads / kLanes)),
      ready_(gatherings_.size()),
      turns_(gatherings_.size()),
      in_turn_(Random()() % 2 == 0) {
  PLIMSOLL_CHECK(shape.threads > 0 && shape.threads % kLanes == 0, shape.threads);
  PLIMSOLL_CHECK(shape.threads <= 1024, shape.threads);
  std::memset(shared_.get(), 0xff, static_cast<size_t>(shape.shared_bytes));
  std::iota(turns_.begin(), turns_.end(), size_t{0});
  std::shuffle(turns_.begin(), turns_.end(), Random());
}

ThreadBlock& ThreadBlock::Current() {
  PLIMSOLL_CHECK(current != nullptr);
  return *current;
}

void ThreadBlock::Run(const std::function<void()>& body) {
  PLIMSOLL_CHECK(current == nullptr);
  current = this;
  body_ = &body;
  for (int thread = 0; thread < shape_.threads; ++thread) {
    FibreOf(thread).Start(&ThreadMain);
    Wake(thread);
  }
  while ((running_ = TakeReady()) >= 0) FibreOf(running_).Resume();
  if (finished_ < shape_.threads) FailDeadlocked();
  current = nullptr;
}

void ThreadBlock::ThreadMain() {
  (*current->body_)();
  current->Finish();
  FibreOf(current->running_).Finish();
}

void ThreadBlock::Finish() {
  At(running_).state = State::kFinished;
  ++finished_;
  if (at_barrier_ > 0) Fail("ends while others wait for it; " + Waiting());
  const int first = running_ / kLanes * kLanes;
  for (int other = first; other < first + kLanes; ++other) {
    const Thread& thread = At(other);
    if (thread.state == State::kInExchange && (thread.mask >> lane() & 1) != 0) {
      Fail("ends while others wait for it; " + Waiting());
    }
  }
}

void ThreadBlock::Wait(State state, const Site& site) {
  const int self = running_;
  At(self).state = state;
  At(self).site = site;
  FibreOf(self).Suspend();
}

void ThreadBlock::Wake(int thread) {
  At(thread).state = State::kReady;
  ready_[static_cast<size_t>(thread / kLanes)].push_back(thread);
}

int ThreadBlock::TakeReady() {
  const size_t first = in_turn_ ? 0 : Random()() % turns_.size();
  for (size_t i = 0; i < turns_.size(); ++i) {
    std::vector<int>& ready = ready_[turns_[(first + i) % turns_.size()]];
    if (ready.empty()) continue;
    std::swap(ready[Random()() % ready.size()], ready.back());
    const int thread = ready.back();
    ready.pop_back();
    return thread;
  }
  return -1;
}

void ThreadBlock::WakeBarrier() {
  at_barrier_ = 0;
  for (int thread = 0; thread < shape_.threads; ++thread) {
    if (thread != running_) Wake(thread);
  }
}

void ThreadBlock::StartCopy(void* to, const void* from, int bytes) {
  const auto past = [&](const void* at) {
    return at == nullptr ? 0 : reinterpret_cast<uintptr_t>(at) % static_cast<uintptr_t>(bytes);
  };
  if (past(to) != 0 || past(from) != 0) Fail("CopyAsync: an address is no multiple of its size");
  std::memset(to, 0xff, static_cast<size_t>(bytes));
  Thread& self = At(running_);
  self.copies.push_back({to, from, bytes, self.groups});
}

void ThreadBlock::EndCopies() { ++At(running_).groups; }

void ThreadBlock::AwaitCopies(int but_last) {
  Thread& self = At(running_);
  const auto awaited = [&](const Copy& copy) { return copy.group < self.groups - but_last; };
  for (const Copy& copy : self.copies) {
    if (!awaited(copy)) break;
    if (copy.from == nullptr) {
      std::memset(copy.to, 0, static_cast<size_t>(copy.bytes));
    } else {
      std::memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
    }
  }
  std::erase_if(self.copies, awaited);
}

void ThreadBlock::Barrier(const Site& site) {
  if (finished_ > 0) Fail("reaches " + Text(site) + " after other threads have ended");
  if (at_barrier_ == 0) first_at_barrier_ = running_;
  if (const Thread& first = At(first_at_barrier_); at_barrier_ > 0 && !(first.site == site)) {
    Fail("reaches " + Text(site) + " while " + Name(first_at_barrier_) + " waits at " +
         Text(first.site));
  }
  if (++at_barrier_ == shape_.threads) return WakeBarrier();
  Wait(State::kAtBarrier, site);
}

bool ThreadBlock::ArriveAtExchange(uint32_t mask, const Site& site) {
  if ((mask >> lane() & 1) == 0) {
    Fail("is not in the mask " + Hex(mask) + " of its own " + Text(site));
  }
  At(running_).mask = mask;
  Gathering& gathering = gatherings_[static_cast<size_t>(running_ / kLanes)];
  if (gathering.lanes == 0 || gathering.mask != mask || !(gathering.site == site)) {
    gathering = {mask, site, CountWaiting(mask, site)};
  }
  if (++gathering.lanes < std::popcount(mask)) return false;
  gathering.lanes = 0;
  return true;
}

int ThreadBlock::CountWaiting(uint32_t mask, const Site& site) const {
  const int first = running_ / kLanes * kLanes;
  int count = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    const int other = first + lane;
    if ((mask >> lane & 1) != 0 && other != running_) count += Meets(other, site, mask);
  }
  return count;
}

bool ThreadBlock::Meets(int other, const Site& site, uint32_t mask) const {
  const Thread& thread = At(other);
  if (thread.state == State::kFinished) {
    Fail("reaches " + Text(site) + " with mask " + Hex(mask) + ", of which " + Name(other) +
         " has ended");
  }
  if (thread.state != State::kInExchange) return false;
  if (thread.site == site && thread.mask == mask) return true;
  if ((thread.mask >> lane() & 1) == 0) return false;  // busy with others, and may come yet
  Fail("reaches " + Text(site) + " with mask " + Hex(mask) + " while " + Name(other) +
       " waits at " + Text(thread.site) + " with mask " + Hex(thread.mask));
}

std::string ThreadBlock::Waiting() const {
  std::map<std::string, std::vector<int>> at;
  for (int i = 0; i < shape_.threads; ++i) {
    const Thread& thread = At(i);
    if (thread.state == State::kInExchange || thread.state == State::kAtBarrier) {
      at[Text(thread.site)].push_back(i);
    }
  }
  std::string text;
  for (const auto& [site, threads] : at) {
    if (!text.empty()) text += "; ";
    text += "threads " + Ranges(threads) + " wait at " + site;
  }
  return text;
}

void ThreadBlock::FailDeadlocked() const {
  std::fprintf(stderr, "emulator: block (%d, %d, %d): deadlock: %s\n", index_.x, index_.y, index_.z,
               Waiting().c_str());
  std::abort();
}

void ThreadBlock::Fail(const std::string& text) const {
  std::fprintf(stderr, "emulator: block (%d, %d, %d) thread %d: %s\n", index_.x, index_.y, index_.z,
               running_, text.c_str());
  std::abort();
}

void RunGrid(const ThreadBlock::Shape& shape, const std::function<void()>& body) {
  const ThreadBlock::Index blocks = shape.blocks;
  PLIMSOLL_CHECK(blocks.x > 0 && blocks.y > 0 && blocks.z > 0, blocks.x, blocks.y, blocks.z);
  std::vector<int> order(static_cast<size_t>(blocks.x) * static_cast<size_t>(blocks.y) *
                         static_cast<size_t>(blocks.z));
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), Random());
  for (const int i : order) {
    ThreadBlock block(shape, {i % blocks.x, i / blocks.x % blocks.y, i / blocks.x / blocks.y});
    block.Run(body);
  }
}

}  // namespace plimsoll::emulator
