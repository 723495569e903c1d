#include "tests/emulator/fibre.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#include "kvcache/base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define PLIMSOLL_FIBRE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLIMSOLL_FIBRE_ASAN 1
#endif
#endif

#ifdef PLIMSOLL_FIBRE_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Stores where this stack stands, takes the other and returns on it. What a function must leave as
// it found it (System V ABI) lies on the stack meanwhile.
extern "C" void plimsoll_switch_stack(void** save, void* to);
__asm__(R"(
.text
.globl plimsoll_switch_stack
.type plimsoll_switch_stack, @function
plimsoll_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size plimsoll_switch_stack, . - plimsoll_switch_stack
)");

namespace plimsoll::emulator {
namespace {

constexpr size_t kGuardBytes = 4096;
constexpr size_t kStackBytes = 256 << 10;
constexpr int kSavedRegisters = 6;

Fibre* running = nullptr;  // set while a fibre runs

}  // namespace

Fibre::Fibre() {
  stack_ = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  PLIMSOLL_CHECK(stack_ != MAP_FAILED, kStackBytes);
  PLIMSOLL_CHECK(mprotect(stack_, kGuardBytes, PROT_NONE) == 0);
}

Fibre::~Fibre() { munmap(stack_, kGuardBytes + kStackBytes); }

void Fibre::Start(void (*entry)()) {
  entry_ = entry;
  fake_stack_ = nullptr;
  auto* const bottom = static_cast<std::byte*>(stack_) + kGuardBytes;
#ifdef PLIMSOLL_FIBRE_ASAN
  ASAN_UNPOISON_MEMORY_REGION(bottom, kStackBytes);
#endif
  // As if Enter had been called, with the stack aligned as a call leaves it, and then switched
  // away.
  void** top = reinterpret_cast<void**>(bottom + kStackBytes);
  *--top = nullptr;  // where Enter would return to
  *--top = reinterpret_cast<void*>(&Fibre::Enter);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  stack_pointer_ = top;
}

void Fibre::Resume() {
  running = this;
#ifdef PLIMSOLL_FIBRE_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, static_cast<std::byte*>(stack_) + kGuardBytes,
                                 kStackBytes);
#endif
  plimsoll_switch_stack(&resumer_pointer_, stack_pointer_);
#ifdef PLIMSOLL_FIBRE_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
  running = nullptr;
}

void Fibre::Enter() {
  Fibre* const self = running;
#ifdef PLIMSOLL_FIBRE_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &self->resumer_stack_, &self->resumer_stack_bytes_);
#endif
  self->entry_();
  std::abort();  // entry_ ends in Finish
}

void Fibre::SwitchBack([[maybe_unused]] bool for_good) {
#ifdef PLIMSOLL_FIBRE_ASAN
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fake_stack_, resumer_stack_,
                                 resumer_stack_bytes_);
#endif
  plimsoll_switch_stack(&stack_pointer_, resumer_pointer_);
#ifdef PLIMSOLL_FIBRE_ASAN
  __sanitizer_finish_switch_fiber(fake_stack_, &resumer_stack_, &resumer_stack_bytes_);
#endif
}

void Fibre::Suspend() { SwitchBack(/*for_good=*/false); }

void Fibre::Finish() {
  SwitchBack(/*for_good=*/true);
  std::abort();  // nobody resumes what has finished
}

}  // namespace plimsoll::emulator
