#include <stdio.h>

#include "rpc/c/plimsoll_client.h"

int main(int argc, char** argv) {
  char line[200];
  plimsoll_text why = {line, sizeof line, 0};
  plimsoll_client_options options = {.struct_size = sizeof options, .retry_ns = 5000000000};
  if (argc == 2) options.server = argv[1];
  plimsoll_client* client = NULL;
  if (plimsoll_client_open(&options, &client, &why) != PLIMSOLL_OK) return 2;

  plimsoll_request request = {
      .struct_size = sizeof request, .prompt_tokens = 1000, .max_new_tokens = 600};
  plimsoll_answer answer = {.struct_size = sizeof answer};
  if (plimsoll_client_reserve(client, &request, 0, &answer, &why) != PLIMSOLL_OK) {
    fprintf(stderr, "%s\n", line);  // bad numbers, or no server
    return 1;
  }
  if (answer.decision != PLIMSOLL_ADMITTED) {
    printf("%s\n", plimsoll_client_reason_name(answer.reason));
    return 3;
  }
  printf("%lld blocks promised\n", (long long)answer.blocks);  // now send the request

  plimsoll_client_release(client, answer.reservation_id, 1200, &why);  // it used 1200 tokens
  return plimsoll_client_close(client, &why) == PLIMSOLL_OK ? 0 : 1;
}
