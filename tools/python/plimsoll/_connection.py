"""A client's handle: its blocking calls, which both clients have in common, and what they hold."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from plimsoll._library import (
    LOST,
    CAnswer,
    CCapacity,
    CClientOptions,
    COperation,
    COutcome,
    CRequest,
    checked,
    encoded,
    encoded_path,
    nanoseconds,
    remote,
    text_from,
)
from plimsoll.answers import Capacity, Granted, Refusal, answer_from, request_of
from plimsoll.errors import PlimsollError, Refused, error_of
from plimsoll.operations import Operation, Request, Told, operation_of, told_of

DEFAULT_SERVER = "127.0.0.1:8470"

Listener = Callable[[str, PlimsollError], None]

# Who hears of losses, by the number that the library brings back with them.
_numbers = itertools.count(1)
_listeners: dict[int, Listener] = {}


def _hear(number: int, reservation_id: bytes, code: int, line: bytes) -> None:
    listener = _listeners.get(number)
    if listener is not None:
        listener(reservation_id.decode(), error_of(code, line.decode(errors="replace")))


_lost = LOST(_hear)  # lives as long as the module: C calls it


class Connection:
    """A client's handle and its blocking calls; what both clients have in common."""

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        call_timeout: float = 5.0,
        connect_timeout: float = 2.0,
        retry: float = 5.0,
        safe_requests: int = 0,
        safe_blocks: int = 0,
        safe_block_tokens: int = 16,
        retry_waits: bool = False,
        session: bool = False,
        tls: bool = False,
        ca: str | os.PathLike[str] | None = None,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        insecure: bool = False,
        on_lost: Listener | None = None,
    ) -> None:
        self.server = server
        self._library = remote()
        self._handle: ctypes.c_void_p | None = ctypes.c_void_p()
        self._number = next(_numbers)
        options = CClientOptions(
            server=encoded(server),
            call_timeout_ns=nanoseconds(call_timeout),
            connect_timeout_ns=nanoseconds(connect_timeout),
            retry_ns=nanoseconds(retry),
            safe_requests=safe_requests,
            safe_blocks=safe_blocks,
            safe_block_tokens=safe_block_tokens,
            retry_waits=int(retry_waits),
            session=int(session),
            tls=int(tls),
            ca=encoded_path(ca),
            certificate=encoded_path(certificate),
            key=encoded_path(key),
            token=encoded(token),
            token_file=encoded_path(token_file),
            insecure=int(insecure),
        )
        if on_lost is not None:
            _listeners[self._number] = on_lost
            options.on_lost, options.on_lost_context = _lost, self._number
        try:
            checked(
                self._library.plimsoll_client_open,
                ctypes.byref(options),
                ctypes.byref(self._handle),
            )
        except Exception:
            _listeners.pop(self._number, None)
            raise

    @property
    def handle(self) -> ctypes.c_void_p | None:
        return self._handle

    def close(self) -> None:
        """Ends what is outstanding; twice is harmless."""
        handle, self._handle = self._handle, None
        if handle is not None:
            checked(self._library.plimsoll_client_close, handle)
            _listeners.pop(self._number, None)

    def reserve(self, max_wait: float, request: dict[str, Any]) -> Granted | Refusal:
        answer = CAnswer()
        asked = request_of(**request)
        checked(
            self._library.plimsoll_client_reserve,
            self._handle,
            ctypes.byref(asked),
            ctypes.c_int64(nanoseconds(max_wait)),
            ctypes.byref(answer),
        )
        return answer_from(answer)

    def can_admit(self, request: dict[str, Any]) -> Granted | Refusal:
        answer = CAnswer()
        asked = request_of(**request)
        checked(
            self._library.plimsoll_client_can_admit,
            self._handle,
            ctypes.byref(asked),
            ctypes.byref(answer),
        )
        return answer_from(answer)

    def extend(self, reservation_id: str, total_tokens: int) -> Granted | Refusal:
        answer = CAnswer()
        checked(
            self._library.plimsoll_client_extend,
            self._handle,
            encoded(reservation_id),
            ctypes.c_int64(total_tokens),
            ctypes.byref(answer),
        )
        return answer_from(answer)

    def release(self, reservation_id: str, used_tokens: int | None) -> None:
        checked(
            self._library.plimsoll_client_release,
            self._handle,
            encoded(reservation_id),
            ctypes.c_int64(-1 if used_tokens is None else used_tokens),
        )

    def reserve_all(self, requests: Sequence[Request]) -> list[Granted]:
        """All of them, or Refused of the first that was refused."""
        asked = (CRequest * len(requests))(*(request_of(**vars(each)) for each in requests))
        answers = (CAnswer * len(requests))(*(CAnswer() for _ in requests))
        refused = ctypes.c_size_t()
        checked(
            self._library.plimsoll_client_reserve_all,
            self._handle,
            asked,
            ctypes.c_size_t(len(requests)),
            answers,
            ctypes.byref(refused),
        )
        granted: list[Granted] = []
        for index in [refused.value] if refused.value < len(requests) else range(len(requests)):
            answer = answer_from(answers[index])
            if isinstance(answer, Refusal):
                raise Refused(answer, index)
            granted.append(answer)
        return granted

    def batch(self, operations: Sequence[Operation]) -> list[Told]:
        asked = (COperation * len(operations))(*map(operation_of, operations))
        outcomes = (COutcome * len(operations))(*(COutcome() for _ in operations))
        checked(
            self._library.plimsoll_client_batch,
            self._handle,
            asked,
            ctypes.c_size_t(len(operations)),
            outcomes,
        )
        return [told_of(*each) for each in zip(operations, outcomes, strict=True)]

    def holds(self, reservation_id: str) -> bool:
        holds = ctypes.c_int32()
        checked(
            self._library.plimsoll_client_holds,
            self._handle,
            encoded(reservation_id),
            ctypes.byref(holds),
        )
        return bool(holds.value)

    def capacity(self) -> Capacity:
        capacity = CCapacity()
        checked(
            self._library.plimsoll_client_get_capacity, self._handle, ctypes.byref(capacity)
        )
        values = {field.name: getattr(capacity, field.name) for field in fields(Capacity)}
        values["pool"] = capacity.pool.decode()
        values["epoch"] = capacity.epoch.decode()
        values["draining"] = bool(capacity.draining)
        return Capacity(**values)

    def server_info(self) -> dict[str, str]:
        info: dict[str, str] = json.loads(
            text_from(self._library.plimsoll_client_server_info, self._handle)
        )
        return info


class Held:
    """What a reservation is, whichever client holds it."""

    def __init__(self, connection: Connection, granted: Granted) -> None:
        self._connection = connection
        self.granted = granted
        self.used_tokens: int | None = None  # set it, and the release reports it

    @property
    def id(self) -> str:
        return self.granted.reservation_id

    @property
    def total_tokens(self) -> int:
        return self.granted.total_tokens

    @property
    def local(self) -> bool:
        """Whether the client granted it by itself, because no server answered."""
        return self.granted.local

    @property
    def held(self) -> bool:
        """False once it was released or lost."""
        return self._connection.holds(self.id)
