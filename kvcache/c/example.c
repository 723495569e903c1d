#include <stdio.h>

#include "kvcache/c/plimsoll.h"

int main(void) {
  char line[200];
  plimsoll_text why = {line, sizeof line, 0};
  plimsoll_pool_options options = {.struct_size = sizeof options, .blocks = 1000};
  plimsoll_admission_options admission = {.struct_size = sizeof admission};
  plimsoll_pool* pool = NULL;
  if (plimsoll_pool_create(&options, &admission, &pool, &why) != PLIMSOLL_OK) return 2;

  plimsoll_request request = {
      .struct_size = sizeof request, .prompt_tokens = 1000, .max_new_tokens = 600};
  plimsoll_answer answer = {.struct_size = sizeof answer};
  if (plimsoll_reserve(pool, &request, &answer, &why) != PLIMSOLL_OK) {
    fprintf(stderr, "%s\n", line);  // bad numbers: the line names the field
    return 2;
  }
  if (answer.decision != PLIMSOLL_ADMITTED) return 1;  // the answer says why, and when to ask again
  printf("%lld blocks promised\n", (long long)answer.blocks);

  plimsoll_sequence sequence = {.struct_size = sizeof sequence};
  plimsoll_block_copy copy = {.struct_size = sizeof copy};
  int32_t blocks[100];
  size_t count = 0;
  plimsoll_sequence_begin_reserved(pool, answer.reservation_id, &sequence, &why);
  plimsoll_sequence_append(pool, sequence.id, 1000, 0, &copy, &why);
  plimsoll_sequence_table(pool, sequence.id, blocks, 100, &count, &why);
  printf("1000 tokens lie in %zu blocks\n", count);
  plimsoll_sequence_end(pool, sequence.id, &why);  // gives back the blocks, and the reservation
  return plimsoll_pool_destroy(pool, &why) == PLIMSOLL_OK ? 0 : 1;
}
