// A function that can be left in the middle and gone on with later: a stack of its own, and the
// switch to and fro. x86-64 only.
//
// Threads: one. Cost: a switch is some ten nanoseconds; a stack is mapped once and ends in a page
// that faults. AddressSanitizer is told of every switch. Errors: no memory aborts.
#pragma once

#include <cstddef>

namespace plimsoll::emulator {

class Fibre {
 public:
  Fibre();
  ~Fibre();
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;

  // The next Resume begins `entry`, which never returns: it ends in Finish. What ran here before is
  // forgotten, its destructors with it.
  void Start(void (*entry)());

  // Called outside of any fibre: runs this one until it suspends or finishes.
  void Resume();

  // Called on this fibre: return to who resumed it.
  void Suspend();
  [[noreturn]] void Finish();

 private:
  static void Enter();
  void SwitchBack(bool for_good);

  void* stack_ = nullptr;  // mapped, with the guard page first
  void* stack_pointer_ = nullptr;
  void* resumer_pointer_ = nullptr;
  void (*entry_)() = nullptr;

  // What AddressSanitizer keeps for each stack.
  void* fake_stack_ = nullptr;
  const void* resumer_stack_ = nullptr;
  size_t resumer_stack_bytes_ = 0;
};

}  // namespace plimsoll::emulator
