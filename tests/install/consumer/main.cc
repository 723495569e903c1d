#include <cstdio>

#include "kvcache/admission/admission_controller.h"

using namespace plimsoll;

int main() {
  SystemClock clock;
  auto cache = KvCache::Create({.capacity = Blocks(1000), .block_tokens = Tokens(16)});
  auto admission = AdmissionController::Create({.epoch = RandomEpoch()}, **cache, clock);

  auto answer =
      (*admission)->Reserve({.prompt_tokens = Tokens(1000), .max_new_tokens = Tokens(600)});
  if (!answer.ok()) return 2;  // bad numbers: the message names the field
  if (const Refusal* no = std::get_if<Refusal>(&*answer)) {
    std::printf("%s: %ld blocks short\n", NameOf(no->reason).data(), no->missing.value());
    return 1;
  }
  const Reservation& held = std::get<Reservation>(*answer);
  std::printf("%ld blocks promised, %ld free\n", held.blocks.value(),
              (*cache)->counts().free.value());
  return (*admission)->Release(held.id).ok() ? 0 : 1;
}
