"""Pool, admission and plans in process; the layout of structures; the example of a scheduler."""

import ctypes
import os
import pathlib
import re
import subprocess
import sys
import unittest

import plimsoll
from plimsoll import _library

SOURCE = pathlib.Path(os.environ["PLIMSOLL_SOURCE_DIR"])
MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "max_position_embeddings": 2048,
    "torch_dtype": "bfloat16",
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}


class PoolTest(unittest.TestCase):
    def test_sequences_fill_blocks_and_give_them_back(self) -> None:
        with plimsoll.Pool(10) as pool:
            sequence = pool.begin(40)
            self.assertEqual(sequence.promise_left, 3)
            self.assertIsNone(pool.append(sequence.id, 20))
            self.assertEqual(pool.table(sequence.id), [0, 1])
            self.assertEqual(pool.state().live_blocks, 2)
            pool.truncate(sequence.id, 3)
            self.assertEqual(pool.sequence(sequence.id).length, 3)
            pool.end(sequence.id)
            self.assertEqual(pool.state().free_blocks, 10)

    def test_a_long_table_comes_whole(self) -> None:
        with plimsoll.Pool(300, 1) as pool:
            sequence = pool.begin(300)
            pool.append(sequence.id, 300)
            self.assertEqual(len(pool.table(sequence.id)), 300)

    def test_prompts_find_what_was_named(self) -> None:
        tokens = list(range(40))
        with plimsoll.Pool(10, eviction="lru") as pool:
            first = pool.begin(48, tokens=tokens)
            pool.append(first.id, 40)
            pool.name(first.id, tokens=tokens)
            self.assertEqual(pool.find(tokens=tokens), 2)
            self.assertEqual(pool.find(tokens=tokens, salt="another"), 0)
            self.assertEqual(pool.begin(48, tokens=tokens).found_blocks, 2)

    def test_a_fork_says_what_to_copy(self) -> None:
        with plimsoll.Pool(10) as pool:
            parent = pool.begin(40)
            pool.append(parent.id, 20)
            fork = pool.fork(parent.id, 40)
            copy = pool.append(fork.id, 1)
            self.assertEqual(
                copy, plimsoll.BlockCopy(pool.table(parent.id)[1], pool.table(fork.id)[1], 4)
            )

    def test_failures_are_exceptions_that_name_the_field(self) -> None:
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "blocks=0: want 1 to 2147483647"):
            plimsoll.Pool(0)
        pool = plimsoll.Pool(10)
        with self.assertRaisesRegex(plimsoll.ResourceExhausted, "no room for 161 tokens"):
            pool.begin(161)
        with self.assertRaisesRegex(plimsoll.NotFound, "no sequence 7"):
            pool.end(7)
        with self.assertRaisesRegex(plimsoll.FailedPrecondition, "made without admission"):
            pool.reserve(1, 1)
        pool.close()
        pool.close()
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "pool: null"):
            pool.state()


class AdmissionTest(unittest.TestCase):
    def setUp(self) -> None:
        self.pool = plimsoll.Pool(
            10, admission=plimsoll.Admission(epoch="e1", caller_clock=True)
        )
        self.addCleanup(self.pool.close)

    def test_reserve_extend_release(self) -> None:
        held = self.pool.reserve(60, 40)
        self.assertEqual((held.reservation_id, held.blocks, held.ttl), ("e1-1", 7, 30))
        with self.assertRaises(plimsoll.Refused) as refused:
            self.pool.reserve(60, 40)
        self.assertEqual(refused.exception.refusal.reason, "NO_FREE_BLOCKS")
        self.assertEqual(refused.exception.refusal.missing_blocks, 4)
        self.assertEqual(self.pool.extend("e1-1", 160).blocks, 10)
        self.pool.release("e1-1")
        self.assertEqual(self.pool.state().headroom_blocks, 10)
        never = self.pool.can_admit(161, 0)
        assert isinstance(never, plimsoll.Refusal)
        self.assertEqual(
            (never.decision, never.reason, never.binding_term, never.largest_fit_tokens),
            ("never", "NEVER_FITS", "pool", 160),
        )

    def test_leases_end_on_the_callers_clock(self) -> None:
        self.pool.reserve(60, 40, ttl=5)
        self.assertEqual(self.pool.tick(), 5)
        self.pool.set_time(4)
        self.assertEqual(self.pool.renew("e1-1").remaining, 5)
        self.pool.set_time(9)
        self.assertIsNone(self.pool.tick())
        self.assertEqual(self.pool.state().expired, 1)

    def test_who_waits_is_told(self) -> None:
        first = self.pool.reserve(100, 60)
        ticket = self.pool.reserve_or_wait(16, 0, 10, tenant="b")
        self.assertIsInstance(ticket, int)
        self.assertIsNone(self.pool.take_answer())
        self.pool.release(first.reservation_id)
        outcome = self.pool.take_answer()
        assert outcome is not None
        self.assertEqual(outcome[0], ticket)

    def test_tenants_and_classes(self) -> None:
        admission = plimsoll.Admission(
            classes={"batch": {"policy": "watermark", "watermark": 0.1}},
            quotas={"a": (4, 0), None: (0, 5)},
        )
        with plimsoll.Pool(10, admission=admission) as pool:
            self.assertEqual(pool.reserve(31, 40, tenant="b", request_class="batch").blocks, 2)
            limit = pool.can_admit(96, 0, tenant="b")
            assert isinstance(limit, plimsoll.Refusal)
            self.assertEqual(limit.reason, "TENANT_LIMIT")


class PlanTest(unittest.TestCase):
    def test_says_what_fits(self) -> None:
        planned = plimsoll.plan(MODEL, memory="64MiB", contexts=[256])
        self.assertEqual(planned["model"]["kv_bytes_per_token"], 256)
        memory = planned["memory"]
        terms = "weights draft io activation runtime margin kv_pool unused".split()
        self.assertEqual(memory["budget_bytes"], sum(memory[f"{t}_bytes"] for t in terms))

    def test_names_the_option(self) -> None:
        with self.assertRaisesRegex(plimsoll.InvalidArgument, "block_tokens=17"):
            plimsoll.plan(MODEL, memory="64MiB", block_tokens=17)


class HeaderTest(unittest.TestCase):
    """A C compiler says how large each structure is, and the headers which reasons there are."""

    def test_structures_are_those_of_the_headers(self) -> None:
        ours = {
            "request": _library.CRequest,
            "answer": _library.CAnswer,
            "pool_options": _library.CPoolOptions,
            "class": _library.CClass,
            "quota": _library.CQuota,
            "admission_options": _library.CAdmissionOptions,
            "snapshot": _library.CSnapshot,
            "prompt": _library.CPrompt,
            "sequence": _library.CSequence,
            "block_copy": _library.CBlockCopy,
            "client_options": _library.CClientOptions,
            "operation": _library.COperation,
            "outcome": _library.COutcome,
            "capacity": _library.CCapacity,
        }
        program = '#include "kvcache/c/plimsoll.h"\n#include "rpc/c/plimsoll_client.h"\n'
        for name, structure in ours.items():
            program += f"_Static_assert(sizeof(plimsoll_{name}) == {ctypes.sizeof(structure)}, {name!r});\n".replace("'", '"')
            for field in structure._fields_:
                offset = getattr(structure, field[0]).offset
                member = {"from_": "from", "yield_": "yield"}.get(field[0], field[0])
                program += (
                    f"_Static_assert(offsetof(plimsoll_{name}, {member}) == {offset}, "
                    f'"{name}.{member}");\n'
                )
        compiled = subprocess.run(
            ["cc", "-std=c11", "-fsyntax-only", "-xc", f"-I{SOURCE}", "-"],
            input=program, text=True, capture_output=True, check=False,
        )  # fmt: skip
        self.assertEqual(compiled.returncode, 0, compiled.stderr)

    def test_reasons_are_those_of_the_library(self) -> None:
        from plimsoll.answers import REASONS

        text = (SOURCE / "kvcache/c/plimsoll_base.h").read_text()
        named = re.findall(r"PLIMSOLL_(\w+) = (\d),\s+// (?:wait|never):", text)
        self.assertGreater(len(named), 5)
        for name, number in named:
            self.assertEqual(REASONS[int(number)], name)


class SchedulerTest(unittest.TestCase):
    def test_the_example_runs(self) -> None:
        example = SOURCE / "tools/python/examples/scheduler.py"
        run = subprocess.run(
            [sys.executable, str(example)], text=True, capture_output=True, check=False
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertRegex(run.stdout, r"30 requests in \d+ steps")
        self.assertIn("100 of 100 blocks are free again", run.stdout)


if __name__ == "__main__":
    unittest.main()
