"""Requests and answers, as Python has them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

from plimsoll._library import NANOSECONDS, CAnswer, CRequest, encoded, nanoseconds

DECISIONS = ("admitted", "wait", "never")
REASONS = (
    "",
    "NO_FREE_BLOCKS",
    "TENANT_QUOTA",
    "WAIT_TIMEOUT",
    "DRAINING",
    "LEARNING",
    "NEVER_FITS",
    "TENANT_LIMIT",
)


@dataclass(frozen=True)
class Refusal:
    """Why not, and what would help."""

    decision: str  # "wait" or "never"
    reason: str
    needed_blocks: int
    missing_blocks: int
    retry_after: float  # seconds; for a wait
    largest_fit_tokens: int  # prompt plus new that would fit an empty pool
    binding_term: str  # of a never: "pool", "context" or "tenant"
    gives_way: bool  # of an extension: release it and come back with ``resumes``

    def __str__(self) -> str:
        if self.decision == "never":
            return f"never: {self.reason}: at most {self.largest_fit_tokens} tokens fit"
        return f"wait: {self.reason}: {self.missing_blocks} blocks short"


@dataclass(frozen=True)
class Granted:
    """What a server or a pool said of a reservation."""

    reservation_id: str
    prompt_tokens: int
    max_new_tokens: int
    blocks: int
    prefix_blocks: int
    ttl: float  # seconds
    remaining: float  # seconds, when it was said
    local: bool  # granted by the client's safe capacity; no server knows of it

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.max_new_tokens


@dataclass(frozen=True)
class Capacity:
    """A server's pool at one moment."""

    pool: str
    epoch: str
    block_tokens: int
    block_bytes: int
    revision: int
    total_blocks: int
    live_blocks: int
    cached_blocks: int
    reserved_blocks: int
    free_blocks: int
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


def request_of(
    prompt_tokens: int,
    max_new_tokens: int,
    *,
    request_id: str | None = None,
    tenant: str | None = None,
    request_class: str | None = None,
    resumes: str | None = None,
    ttl: float = 0,
    prefix_hashes: Sequence[int] = (),
    priority: int = 0,
) -> CRequest:
    hashes = (ctypes.c_uint64 * len(prefix_hashes))(*prefix_hashes)
    request = CRequest(
        request_id=encoded(request_id),
        tenant=encoded(tenant),
        request_class=encoded(request_class),
        resumes=encoded(resumes),
        prompt_tokens=prompt_tokens,
        max_new_tokens=max_new_tokens,
        ttl_ns=nanoseconds(ttl),
        prefix_hash_count=len(prefix_hashes),
        priority=priority,
    )
    request.prefix_hashes = hashes
    return request


def answer_from(answer: CAnswer) -> Granted | Refusal:
    if answer.decision == 0:
        return Granted(
            reservation_id=answer.reservation_id.decode(),
            prompt_tokens=answer.prompt_tokens,
            max_new_tokens=answer.max_new_tokens,
            blocks=answer.blocks,
            prefix_blocks=answer.prefix_blocks,
            ttl=answer.ttl_ns / NANOSECONDS,
            remaining=answer.remaining_ns / NANOSECONDS,
            local=bool(answer.local),
        )
    return Refusal(
        decision=DECISIONS[answer.decision],
        reason=REASONS[answer.reason],
        needed_blocks=answer.needed_blocks,
        missing_blocks=answer.missing_blocks,
        retry_after=answer.retry_after_ns / NANOSECONDS,
        largest_fit_tokens=answer.largest_fit_tokens,
        binding_term=answer.binding_term.decode(),
        gives_way=bool(answer.yield_),
    )
