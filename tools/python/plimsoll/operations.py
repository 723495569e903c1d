"""What many of can be asked in one call: requests, extensions and releases."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from plimsoll._library import COperation, COutcome, encoded
from plimsoll.answers import Granted, Refusal, answer_from, request_of
from plimsoll.errors import PlimsollError, error_of

if TYPE_CHECKING:
    from plimsoll._connection import Held

RESERVE, EXTEND, RELEASE = 1, 2, 3


@dataclass(frozen=True)
class Request:
    """Room to reserve."""

    prompt_tokens: int
    max_new_tokens: int
    request_id: str | None = None
    tenant: str | None = None
    request_class: str | None = None
    resumes: str | None = None
    ttl: float = 0
    prefix_hashes: Sequence[int] = ()
    priority: int = 0


@dataclass(frozen=True)
class Extend:
    """Makes the promise of a room cover so many tokens in all."""

    room: Held
    total_tokens: int


@dataclass(frozen=True)
class Release:
    """Gives a room back; says what was used of it, or what the room says of that."""

    room: Held
    used_tokens: int | None = None


Operation = Union[Request, Extend, Release]

# What became of one: granted or extended, refused, not done, or None: released.
Told = Union[Granted, Refusal, PlimsollError, None]


def operation_of(operation: Operation) -> COperation:
    if isinstance(operation, Request):
        request = request_of(**vars(operation))
        return COperation(action=RESERVE, request=ctypes.pointer(request))
    name = encoded(operation.room.id)
    if isinstance(operation, Extend):
        return COperation(
            action=EXTEND, reservation_id=name, total_tokens=operation.total_tokens
        )
    used = operation.used_tokens
    if used is None:
        used = operation.room.used_tokens
    return COperation(action=RELEASE, reservation_id=name, used_tokens=used or 0)


def told_of(operation: Operation, outcome: COutcome) -> Told:
    if outcome.code != 0:
        return error_of(outcome.code, outcome.line.decode(errors="replace"))
    return None if isinstance(operation, Release) else answer_from(outcome.answer)
