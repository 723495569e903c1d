"""The paged KV cache and admission in this process, without a server."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import TracebackType
from typing import Any

from plimsoll._library import (
    NANOSECONDS,
    OUT_OF_RANGE,
    CAdmissionOptions,
    CAnswer,
    CBlockCopy,
    CClass,
    CPoolOptions,
    CPrompt,
    CQuota,
    CSequence,
    CSnapshot,
    checked,
    embedded,
    encoded,
    nanoseconds,
)
from plimsoll.answers import Granted, Refusal, answer_from, request_of
from plimsoll.errors import NotFound, PlimsollError, Refused

Grant = Granted


@dataclass(frozen=True)
class Admission:
    """How a pool admits. Durations are seconds; 0 means the default."""

    epoch: str | None = None
    default_ttl: float = 0
    max_ttl: float = 0
    confirm_window: float = 0
    max_context: int = 0
    max_waiting: int = 0
    # By name of the class, and None for requests of none: policy, watermark, overflow_goal.
    classes: Mapping[str | None, Mapping[str, Any]] = field(default_factory=dict)
    # By tenant, and None for all others: (guaranteed, most) in blocks; most 0: no limit.
    quotas: Mapping[str | None, tuple[int, int]] = field(default_factory=dict)
    caller_clock: bool = False  # time is what set_time says, from 0 on


@dataclass(frozen=True)
class PoolState:
    """live + cached + reserved + free == total, always."""

    total_blocks: int
    live_blocks: int
    cached_blocks: int
    reserved_blocks: int
    free_blocks: int
    sequences: int
    unfilled_tokens: int
    revision: int
    headroom_blocks: int
    reservations: int
    waiting: int
    admitted: int
    waited: int
    refused_wait: int
    refused_never: int
    released: int
    expired: int
    draining: bool


@dataclass(frozen=True)
class SequenceState:
    id: int
    length: int
    blocks: int
    promise_left: int
    found_blocks: int
    named_blocks: int | None  # None: it takes no part in sharing
    stop_requested: bool


@dataclass(frozen=True)
class BlockCopy:
    """The first ``tokens`` slots of one block are to be copied to another before they are written."""

    source: int
    target: int
    tokens: int


def _admission_of(its: Admission) -> CAdmissionOptions:
    classes = (CClass * len(its.classes))()
    for to, (name, policy) in zip(classes, its.classes.items()):
        to.name = encoded(name)
        to.policy = encoded(policy.get("policy"))
        to.watermark = policy.get("watermark", 0.01)
        to.overflow_goal = policy.get("overflow_goal", 0)
    quotas = (CQuota * len(its.quotas))()
    for quota, (tenant, (guaranteed, most)) in zip(quotas, its.quotas.items()):
        quota.tenant, quota.guaranteed, quota.most = encoded(tenant), guaranteed, most
    options = CAdmissionOptions(
        epoch=encoded(its.epoch),
        default_ttl_ns=nanoseconds(its.default_ttl),
        max_ttl_ns=nanoseconds(its.max_ttl),
        confirm_window_ns=nanoseconds(its.confirm_window),
        max_context=its.max_context,
        max_waiting=its.max_waiting,
        class_count=len(classes),
        quota_count=len(quotas),
        caller_clock=int(its.caller_clock),
    )
    options.classes = classes
    options.quotas = quotas
    return options


def _prompt_of(tokens: Sequence[int], hashes: Sequence[int], salt: str | None) -> CPrompt:
    prompt = CPrompt(salt=encoded(salt), token_count=len(tokens), hash_count=len(hashes))
    prompt.tokens = (ctypes.c_int32 * len(tokens))(*tokens)
    prompt.hashes = (ctypes.c_uint64 * len(hashes))(*hashes)
    return prompt


def _state_of(sequence: CSequence) -> SequenceState:
    return SequenceState(
        id=sequence.id,
        length=sequence.length,
        blocks=sequence.blocks,
        promise_left=sequence.promise_left,
        found_blocks=sequence.found_blocks,
        named_blocks=None if sequence.named_blocks < 0 else sequence.named_blocks,
        stop_requested=bool(sequence.stop_requested),
    )


class Pool:
    """Blocks of a KV cache, who holds them, and what was promised; from any thread.

    With ``admission`` each sequence lives on a reservation; without it, sequences begin by
    themselves. What is in the blocks is the caller's: ``table`` says which block holds which
    tokens, ``append`` what is to be copied first.
    """

    def __init__(
        self,
        blocks: int,
        block_tokens: int = 16,
        *,
        eviction: str | None = None,
        hash_seed: int = 0,
        admission: Admission | None = None,
    ) -> None:
        self._library = embedded()
        self._handle: ctypes.c_void_p | None = ctypes.c_void_p()
        options = CPoolOptions(
            blocks=blocks,
            block_tokens=block_tokens,
            eviction=encoded(eviction),
            hash_seed=hash_seed,
        )
        its = None if admission is None else ctypes.byref(_admission_of(admission))
        checked(
            self._library.plimsoll_pool_create,
            ctypes.byref(options),
            its,
            ctypes.byref(self._handle),
        )

    def _call(self, name: str, *arguments: Any) -> None:
        checked(getattr(self._library, name), self._handle, *arguments)

    def close(self) -> None:
        """Twice is harmless."""
        handle, self._handle = self._handle, None
        if handle is not None:
            checked(self._library.plimsoll_pool_destroy, handle)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def state(self) -> PoolState:
        snapshot = CSnapshot()
        self._call("plimsoll_pool_snapshot", ctypes.byref(snapshot))
        values = {its.name: getattr(snapshot, its.name) for its in fields(PoolState)}
        values["draining"] = bool(snapshot.draining)
        return PoolState(**values)

    def find(
        self, *, tokens: Sequence[int] = (), hashes: Sequence[int] = (), salt: str | None = None
    ) -> int:
        """Blocks that a prompt would find now."""
        blocks = ctypes.c_int64()
        prompt = _prompt_of(tokens, hashes, salt)
        self._call("plimsoll_pool_find", ctypes.byref(prompt), ctypes.byref(blocks))
        return blocks.value

    def begin(
        self,
        total_tokens: int,
        *,
        tokens: Sequence[int] = (),
        hashes: Sequence[int] = (),
        salt: str | None = None,
    ) -> SequenceState:
        """A sequence with room for so many tokens; ResourceExhausted without room."""
        sequence = CSequence()
        prompt = _prompt_of(tokens, hashes, salt)
        self._call(
            "plimsoll_sequence_begin",
            ctypes.byref(prompt),
            ctypes.c_int64(total_tokens),
            ctypes.byref(sequence),
        )
        return _state_of(sequence)

    def begin_reserved(self, reservation_id: str) -> SequenceState:
        """A sequence on a reservation, whose lease then runs as long as the sequence."""
        sequence = CSequence()
        self._call(
            "plimsoll_sequence_begin_reserved", encoded(reservation_id), ctypes.byref(sequence)
        )
        return _state_of(sequence)

    def append(self, sequence: int, tokens: int, lookahead: int = 0) -> BlockCopy | None:
        """Adds tokens; ResourceExhausted, and no change, without room."""
        copy = CBlockCopy()
        self._call(
            "plimsoll_sequence_append",
            ctypes.c_int64(sequence),
            ctypes.c_int64(tokens),
            ctypes.c_int64(lookahead),
            ctypes.byref(copy),
        )
        return BlockCopy(copy.from_, copy.to, copy.tokens) if copy.tokens > 0 else None

    def truncate(self, sequence: int, length: int) -> None:
        """Takes back all tokens from ``length`` on."""
        self._call(
            "plimsoll_sequence_truncate", ctypes.c_int64(sequence), ctypes.c_int64(length)
        )

    def fork(self, sequence: int, total_tokens: int) -> SequenceState:
        """A new sequence that begins with all that this one holds."""
        fork = CSequence()
        self._call(
            "plimsoll_sequence_fork",
            ctypes.c_int64(sequence),
            ctypes.c_int64(total_tokens),
            ctypes.byref(fork),
        )
        return _state_of(fork)

    def name(
        self, sequence: int, *, tokens: Sequence[int] = (), hashes: Sequence[int] = ()
    ) -> None:
        """Its next blocks are computed and hold this: from now on others find them."""
        names = _prompt_of(tokens, hashes, None)
        self._call("plimsoll_sequence_name", ctypes.c_int64(sequence), ctypes.byref(names))

    def sequence(self, sequence: int) -> SequenceState:
        state = CSequence()
        self._call("plimsoll_sequence_get", ctypes.c_int64(sequence), ctypes.byref(state))
        return _state_of(state)

    def table(self, sequence: int) -> list[int]:
        """Block i holds tokens [i * block_tokens, (i + 1) * block_tokens)."""
        size = 64
        while True:
            blocks = (ctypes.c_int32 * size)()
            count = ctypes.c_size_t()
            try:
                self._call(
                    "plimsoll_sequence_table",
                    ctypes.c_int64(sequence),
                    blocks,
                    ctypes.c_size_t(size),
                    ctypes.byref(count),
                )
            except PlimsollError as failed:
                if failed.code != OUT_OF_RANGE:
                    raise
                size = count.value
                continue
            return list(blocks[: count.value])

    def end(self, sequence: int) -> None:
        """Ends it, and its reservation with it."""
        self._call("plimsoll_sequence_end", ctypes.c_int64(sequence))

    def reserve(self, prompt_tokens: int, max_new_tokens: int, **request: Any) -> Granted:
        """Room for a request; raises Refused without. Keywords as Client.reserve's."""
        return self._admitted("plimsoll_reserve", prompt_tokens, max_new_tokens, request)

    def can_admit(
        self, prompt_tokens: int, max_new_tokens: int, **request: Any
    ) -> Granted | Refusal:
        """What reserve would say now; changes nothing."""
        try:
            return self._admitted("plimsoll_can_admit", prompt_tokens, max_new_tokens, request)
        except Refused as no:
            return no.refusal

    def _admitted(
        self, call: str, prompt_tokens: int, max_new_tokens: int, request: dict[str, Any]
    ) -> Granted:
        answer = CAnswer()
        asked = request_of(prompt_tokens, max_new_tokens, **request)
        self._call(call, ctypes.byref(asked), ctypes.byref(answer))
        return _granted(answer)

    def reserve_or_wait(
        self, prompt_tokens: int, max_new_tokens: int, max_wait: float, **request: Any
    ) -> Granted | int:
        """As reserve, or the number under which take_answer will bring the outcome."""
        answer, ticket = CAnswer(), ctypes.c_int64()
        asked = request_of(prompt_tokens, max_new_tokens, **request)
        self._call(
            "plimsoll_reserve_or_wait",
            ctypes.byref(asked),
            ctypes.c_int64(nanoseconds(max_wait)),
            ctypes.byref(ticket),
            ctypes.byref(answer),
        )
        return ticket.value if ticket.value != 0 else _granted(answer)

    def take_answer(self) -> tuple[int, Granted | Refusal] | None:
        """The oldest outcome of those that waited, with its number; None while there is none."""
        answer, ticket = CAnswer(), ctypes.c_int64()
        try:
            self._call("plimsoll_take_answer", ctypes.byref(ticket), ctypes.byref(answer))
        except NotFound:
            return None
        return ticket.value, answer_from(answer)

    def cancel_wait(self, ticket: int) -> None:
        self._call("plimsoll_cancel_wait", ctypes.c_int64(ticket))

    def extend(self, reservation_id: str, total_tokens: int) -> Granted:
        """Makes the promise cover so many tokens in all; Refused leaves it as it was."""
        answer = CAnswer()
        self._call(
            "plimsoll_extend",
            encoded(reservation_id),
            ctypes.c_int64(total_tokens),
            ctypes.byref(answer),
        )
        return _granted(answer)

    def renew(self, reservation_id: str) -> Granted:
        """A sign of life: the lease runs for its ttl from now."""
        answer = CAnswer()
        self._call("plimsoll_renew", encoded(reservation_id), ctypes.byref(answer))
        return _granted(answer)

    def release(self, reservation_id: str) -> None:
        """Gives everything back; twice is harmless."""
        self._call("plimsoll_release", encoded(reservation_id))

    def set_draining(self, draining: bool) -> None:
        self._call("plimsoll_set_draining", ctypes.c_int32(draining))

    def set_time(self, seconds: float) -> None:
        """The caller's clock; never back."""
        self._call("plimsoll_set_time", ctypes.c_int64(nanoseconds(seconds)))

    def tick(self) -> float | None:
        """Ends what is over; seconds until there is more to do, None: never, as it stands."""
        left = ctypes.c_int64()
        self._call("plimsoll_tick", ctypes.byref(left))
        return None if left.value < 0 else left.value / NANOSECONDS


def _granted(answer: CAnswer) -> Granted:
    outcome = answer_from(answer)
    if isinstance(outcome, Refusal):
        raise Refused(outcome)
    return outcome
