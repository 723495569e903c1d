"""A scheduler that uses the pool in process: continuous batching of requests over 100 blocks."""
import plimsoll

REQUESTS = [(prompt, 20 + 7 * prompt % 50) for prompt in range(30, 330, 10)]

with plimsoll.Pool(100, eviction="lru", admission=plimsoll.Admission(caller_clock=True)) as pool:
    waiting = list(REQUESTS)
    running: dict[int, int] = {}  # tokens that each sequence still generates
    steps = most = 0
    while waiting or running:
        while waiting and not isinstance(pool.can_admit(*waiting[0]), plimsoll.Refusal):
            prompt, new = waiting.pop(0)
            sequence = pool.begin_reserved(pool.reserve(prompt, new).reservation_id)
            pool.append(sequence.id, prompt)  # prefill: its blocks are in pool.table(sequence.id)
            running[sequence.id] = new
        for sequence_id in list(running):  # a step: one token for everybody
            pool.append(sequence_id, 1)
            running[sequence_id] -= 1
            if running[sequence_id] == 0:
                pool.end(sequence_id)
                del running[sequence_id]
        steps, most = steps + 1, max(most, len(running))
        pool.set_time(steps * 0.03)
    state = pool.state()
    print(f"{len(REQUESTS)} requests in {steps} steps, at most {most} at once")
    print(f"{state.free_blocks} of {state.total_blocks} blocks are free again")
