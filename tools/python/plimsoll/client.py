"""A client of a Plimsoll server, for programs with threads."""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import fields
from types import TracebackType
from typing import Any

from plimsoll._library import (
    CAnswer,
    CCapacity,
    CClientOptions,
    checked,
    encoded,
    encoded_path,
    nanoseconds,
    remote,
    text_from,
)
from plimsoll.answers import Capacity, Granted, Refusal, answer_from, request_of
from plimsoll.errors import InvalidArgument, PlimsollError, Refused

DEFAULT_SERVER = "127.0.0.1:8470"


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
    ) -> None:
        self.server = server
        self._library = remote()
        self._handle: ctypes.c_void_p | None = ctypes.c_void_p()
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
        checked(
            self._library.plimsoll_client_open, ctypes.byref(options), ctypes.byref(self._handle)
        )

    @property
    def handle(self) -> ctypes.c_void_p | None:
        return self._handle

    def close(self) -> None:
        """Ends what is outstanding; twice is harmless."""
        handle, self._handle = self._handle, None
        if handle is not None:
            checked(self._library.plimsoll_client_close, handle)

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


class Reservation(Held):
    """Room that is held until it is released, or until its ``with`` block ends."""

    def extend(self, total_tokens: int) -> None:
        """Makes the promise cover so many tokens in all; Refused leaves it as it was."""
        answer = self._connection.extend(self.id, total_tokens)
        if isinstance(answer, Refusal):
            raise Refused(answer)
        self.granted = answer

    def release(self, used_tokens: int | None = None) -> None:
        """Gives it back; twice is harmless."""
        self._connection.release(
            self.id, self.used_tokens if used_tokens is None else used_tokens
        )

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.release()
        except InvalidArgument:
            if error is None:
                raise
        except PlimsollError:
            pass  # the lease ends by itself


class Client:
    """Reserves room before a request is sent; from any thread.

    Leases are renewed by themselves. A call that finds no server is made again for ``retry``
    seconds. While no server answers, ``safe_requests`` requests of ``safe_blocks`` blocks in all
    are granted by the client itself; by default none. Of a ledger that was started again the client
    claims what it holds, and reservations go on under the ids that they have.

    Options: call_timeout, connect_timeout, retry (seconds); retry_waits, to ask again within
    ``retry`` where the answer is wait, not before the server said; ``session``, to keep leases by one
    stream in place of renewals; safe_requests, safe_blocks, safe_block_tokens. For a server with TLS: ``ca``, whose certificates it may have, or ``tls``,
    for those that the system trusts; ``certificate`` and ``key``, where it asks for ours. For one
    with tokens: ``token``, or ``token_file``, whose first line it is; it is not sent beyond this
    machine without TLS, unless ``insecure``.
    """

    def __init__(self, server: str = DEFAULT_SERVER, **options: Any) -> None:
        self._connection = Connection(server, **options)

    def reserve(
        self, prompt_tokens: int, max_new_tokens: int, *, max_wait: float = 0, **request: Any
    ) -> Reservation:
        """Room for a request, after waiting up to ``max_wait`` seconds; raises Refused without.

        Keywords: request_id, tenant, request_class, resumes, ttl, prefix_hashes, priority.
        """
        request.update(prompt_tokens=prompt_tokens, max_new_tokens=max_new_tokens)
        answer = self._connection.reserve(max_wait, request)
        if isinstance(answer, Refusal):
            raise Refused(answer)
        return Reservation(self._connection, answer)

    def can_admit(
        self, prompt_tokens: int, max_new_tokens: int, **request: Any
    ) -> Granted | Refusal:
        """What reserve would say now; reserves nothing."""
        request.update(prompt_tokens=prompt_tokens, max_new_tokens=max_new_tokens)
        return self._connection.can_admit(request)

    def release(self, reservation_id: str, used_tokens: int | None = None) -> None:
        self._connection.release(reservation_id, used_tokens)

    def capacity(self) -> Capacity:
        return self._connection.capacity()

    def server_info(self) -> dict[str, str]:
        return self._connection.server_info()

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
