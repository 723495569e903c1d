// A client process to be killed: reserves and says "holding"; at a sign on its standard input
// queues for more and then only waits for its end.
//
//   holding_client ADDRESS PROMPT_TOKENS
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstring>

#include "rpc/client.h"

int main(int argc, char** argv) {
  using plimsoll::Tokens;
  int64_t tokens = 0;
  if (argc != 3 ||
      std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), tokens).ptr == argv[2]) {
    return 2;
  }
  const auto client = plimsoll::Client::Create({.server = argv[1]});
  if (!client.ok()) return 1;
  const plimsoll::ReservationRequest request{.prompt_tokens = Tokens(tokens),
                                             .max_new_tokens = Tokens(0)};
  const auto answer = (*client)->Reserve(request);
  if (!answer.ok() || !std::holds_alternative<plimsoll::Reservation>(*answer)) return 1;
  std::puts("holding");
  std::fflush(stdout);
  std::getchar();
  for (int i = 0; i < 3; ++i) {
    (*client)->ReserveAsync(request, std::chrono::seconds(60), [](auto) {});
  }
  pause();
  return 0;
}
