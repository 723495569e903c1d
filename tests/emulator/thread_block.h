// One block of CUDA threads, run on one thread of the CPU: a fibre each, in an order drawn from a
// seed, switched wherever they wait for one another. In half of the blocks each warp runs as far as
// it can before the next one does: what a barrier between warps is missing for shows only there,
// where their lanes wait for each other many times.
//
// Shared memory is a piece of the heap of exactly the size asked for, filled with 0xff (NaN in any
// type), new for every block, so a sanitizer sees what reaches past it and a result shows what read
// before it was written.
//
// What CUDA leaves undefined ends the process with one report on standard error that begins
// "emulator:" and names threads and source lines:
//
//   - a barrier or exchange that some threads reach at one place and some at another
//   - a thread that ends while others wait for it
//   - a lane that is not in the mask of its own exchange, or a mask with lanes that have ended
//   - threads that wait for each other in different ways (deadlock), with who waits where
//
// It cannot show: time, registers, the order in which real memory shows writes to other blocks.
//
// Threads: one block at a time per thread of the CPU. Cost: two switches for each thread that
// waits. Errors: abort, as above.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/emulator/fibre.h"

namespace plimsoll::emulator {

inline constexpr int kLanes = 32;

// What a thread waits for, and where in the source.
struct Site {
  const char* what = nullptr;
  const char* file = nullptr;
  int line = 0;

  friend bool operator==(const Site& a, const Site& b) {
    // The same text may have two addresses.
    const auto same = [](const char* x, const char* y) { return x == y || std::strcmp(x, y) == 0; };
    return a.line == b.line && same(a.what, b.what) && same(a.file, b.file);
  }
};

// The order of threads and blocks from here on. Kernels must give the same result for every seed.
void SetSeed(uint64_t seed);

class ThreadBlock {
 public:
  struct Index {
    int x = 0;
    int y = 0;
    int z = 0;
  };
  struct Shape {
    Index blocks;
    int threads;  // a multiple of 32
    int shared_bytes;
  };

  ThreadBlock(const Shape& shape, const Index& index);
  // Runs `body` as every thread of the block.
  void Run(const std::function<void()>& body);

  // The block whose thread is running. Aborts where none is.
  static ThreadBlock& Current();

  const Shape& shape() const { return shape_; }
  const Index& index() const { return index_; }
  std::byte* shared() { return shared_.get(); }
  int thread() const { return running_; }
  int lane() const { return running_ % kLanes; }

  // Waits for all threads.
  void Barrier(const Site& site);

  // Waits for the lanes of `mask`, each of which brings a value. When the last is there, `compute`
  // gets what all brought (by lane) and says what each receives.
  template <class In, class Out>
  using Compute = void (*)(const std::array<In, kLanes>& in, std::array<Out, kLanes>& out,
                           uint32_t mask);
  template <class In, class Out>
  Out Exchange(uint32_t mask, const Site& site, const In& in, Compute<In, Out> compute);

  // Copies of the running thread to shared memory, zeros from null. None is there before it was
  // awaited: until then what is copied to is 0xff.
  void StartCopy(void* to, const void* from, int bytes);
  void EndCopies();                // closes the group of those that were started since the last
  void AwaitCopies(int but_last);  // groups

  // Ends the process with this text, the block and the running thread.
  [[noreturn]] void Fail(const std::string& text) const;

 private:
  struct Copy {
    void* to;
    const void* from;
    int bytes;
    int group;
  };
  enum class State : uint8_t { kReady, kInExchange, kAtBarrier, kFinished };
  struct Thread {
    State state = State::kReady;
    Site site;                 // where it waits
    uint32_t mask = 0;         // of its exchange
    const void* in = nullptr;  // on its stack
    void* out = nullptr;
    std::vector<Copy> copies;  // under way, in order
    int groups = 0;            // that were closed
  };

  Thread& At(int thread) { return threads_[static_cast<size_t>(thread)]; }
  const Thread& At(int thread) const { return threads_[static_cast<size_t>(thread)]; }

  // The exchange that lanes of a warp came to last, and how many of them wait in it: so that not
  // every lane has to look at every other.
  struct Gathering {
    uint32_t mask = 0;
    Site site;
    int lanes = 0;
  };

  static void ThreadMain();
  void Finish();
  void Wait(State state, const Site& site);
  void Wake(int thread);
  int TakeReady();  // who is to run; -1: nobody can
  void WakeBarrier();

  // True when the running thread is the last of its exchange to come.
  bool ArriveAtExchange(uint32_t mask, const Site& site);
  // How many lanes wait in this exchange for the running thread.
  int CountWaiting(uint32_t mask, const Site& site) const;
  // Whether `other` waits for the running thread in the same exchange.
  bool Meets(int other, const Site& site, uint32_t mask) const;
  [[noreturn]] void FailDeadlocked() const;
  std::string Waiting() const;  // "threads 0-3, 7 wait at ..."

  const Shape shape_;
  const Index index_;
  std::unique_ptr<std::byte[]> shared_;
  const std::function<void()>* body_ = nullptr;
  std::vector<Thread> threads_;
  std::vector<Gathering> gatherings_;    // by warp
  std::vector<std::vector<int>> ready_;  // by warp
  std::vector<size_t> turns_;            // of warps
  const bool in_turn_;                   // else any warp may be next
  int running_ = -1;
  int at_barrier_ = 0;
  int first_at_barrier_ = -1;
  int finished_ = 0;
};

// Runs `body` as every thread of every block, the blocks one after another in any order.
void RunGrid(const ThreadBlock::Shape& shape, const std::function<void()>& body);

template <class In, class Out>
Out ThreadBlock::Exchange(uint32_t mask, const Site& site, const In& in, Compute<In, Out> compute) {
  Out out{};
  Thread& self = At(running_);
  self.in = &in;
  self.out = &out;
  if (!ArriveAtExchange(mask, site)) {
    Wait(State::kInExchange, site);
    return out;  // written by the last to come
  }
  const int first = running_ / kLanes * kLanes;
  std::array<In, kLanes> all_in{};
  std::array<Out, kLanes> all_out{};
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    all_in[static_cast<size_t>(lane)] = *static_cast<const In*>(At(first + lane).in);
  }
  compute(all_in, all_out, mask);
  for (int lane = 0; lane < kLanes; ++lane) {
    if ((mask >> lane & 1) == 0) continue;
    *static_cast<Out*>(At(first + lane).out) = all_out[static_cast<size_t>(lane)];
    if (first + lane != running_) Wake(first + lane);
  }
  return out;
}

}  // namespace plimsoll::emulator
