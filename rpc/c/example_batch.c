#include <stdio.h>

#include "rpc/c/plimsoll_client.h"

enum { REQUESTS = 3 };

int main(int argc, char** argv) {
  char line[200];
  plimsoll_text why = {line, sizeof line, 0};
  plimsoll_client_options options = {.struct_size = sizeof options, .retry_ns = 5000000000};
  if (argc == 2) options.server = argv[1];
  plimsoll_client* client = NULL;
  if (plimsoll_client_open(&options, &client, &why) != PLIMSOLL_OK) return 2;

  // All of them, or none.
  plimsoll_request requests[REQUESTS];
  plimsoll_answer answers[REQUESTS];
  for (int i = 0; i < REQUESTS; ++i) {
    requests[i] = (plimsoll_request){
        .struct_size = sizeof requests[i], .prompt_tokens = 1000, .max_new_tokens = 600};
    answers[i] = (plimsoll_answer){.struct_size = sizeof answers[i]};
  }
  size_t refused = 0;
  if (plimsoll_client_reserve_all(client, requests, REQUESTS, answers, &refused, &why) !=
      PLIMSOLL_OK) {
    fprintf(stderr, "%s\n", line);
    return 1;
  }
  if (refused < REQUESTS) {
    printf("%s\n", plimsoll_client_reason_name(answers[refused].reason));
    return 3;
  }
  printf("%d reservations\n", REQUESTS);  // now send the requests

  // In one call: one grows, the others are over.
  plimsoll_operation operations[REQUESTS];
  plimsoll_outcome outcomes[REQUESTS];
  for (int i = 0; i < REQUESTS; ++i) {
    operations[i] = (plimsoll_operation){.struct_size = sizeof operations[i],
                                         .action = i == 0 ? PLIMSOLL_EXTEND : PLIMSOLL_RELEASE,
                                         .reservation_id = answers[i].reservation_id,
                                         .total_tokens = 2000,
                                         .used_tokens = 1200};
    outcomes[i] = (plimsoll_outcome){.struct_size = sizeof outcomes[i]};
  }
  if (plimsoll_client_batch(client, operations, REQUESTS, outcomes, &why) != PLIMSOLL_OK) return 1;
  printf("%lld blocks promised\n", (long long)outcomes[0].answer.blocks);
  return plimsoll_client_close(client, &why) == PLIMSOLL_OK ? 0 : 1;
}
