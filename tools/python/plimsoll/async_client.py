"""A client of a Plimsoll server, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import random
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from plimsoll._library import ANSWERED, CAnswer, checked, nanoseconds, remote
from plimsoll.answers import Capacity, Granted, Refusal, answer_from, request_of
from plimsoll._connection import DEFAULT_SERVER, Connection, Held, Listener
from plimsoll.client import Outcome, outcomes_of
from plimsoll.errors import (
    DeadlineExceeded,
    InvalidArgument,
    PlimsollError,
    Refused,
    Unavailable,
    error_of,
)
from plimsoll.operations import Operation, Request

_Result = TypeVar("_Result")
_Asked = TypeVar("_Asked")

# Those who wait for an answer, by the number that the library brings back with it.
_tickets = itertools.count(1)
_waiting: dict[int, "_Waiting"] = {}


class _Waiting:
    """One reserve call: where its answer goes, on whichever thread it comes."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Granted | Refusal] = self.loop.create_future()

    def answered(self, outcome: Granted | Refusal | Exception) -> None:
        try:
            self.loop.call_soon_threadsafe(self._settle, outcome)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self.client._give_back(outcome)

    def _settle(self, outcome: Granted | Refusal | Exception) -> None:
        if self.future.done():  # cancelled
            self.client._give_back(outcome)
        elif isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


def _hear(ticket: int, code: int, answer: Any, line: bytes) -> None:
    waiting = _waiting.pop(ticket)
    outcome: Granted | Refusal | Exception
    try:
        if code == 0:
            outcome = answer_from(answer.contents)
        else:
            outcome = error_of(code, line.decode(errors="replace"))
    except Exception as error:  # C cannot hear of it, and someone waits
        outcome = error
    waiting.answered(outcome)


_answered = ANSWERED(_hear)  # lives as long as the module: C calls it


class AsyncReservation(Held):
    """Room that is held until it is released, or until its ``async with`` block ends."""

    def __init__(self, client: AsyncClient, granted: Granted) -> None:
        super().__init__(client._connection, granted)
        self._client = client

    async def extend(self, total_tokens: int) -> None:
        """Makes the promise cover so many tokens in all; Refused leaves it as it was."""
        answer = await self._client._run(self._connection.extend, self.id, total_tokens)
        if isinstance(answer, Refusal):
            raise Refused(answer)
        self.granted = answer

    async def release(self, used_tokens: int | None = None) -> None:
        """Gives it back; twice is harmless."""
        used = self.used_tokens if used_tokens is None else used_tokens
        await self._client._run(self._connection.release, self.id, used)


class _Reserving:
    """What reserve returns: await it for the reservation, or enter it with ``async with``."""

    def __init__(self, client: AsyncClient, max_wait: float, request: dict[str, Any]) -> None:
        self._client = client
        self._max_wait = max_wait
        self._request = request
        self._held: AsyncReservation | None = None

    def __await__(self) -> Generator[Any, None, AsyncReservation]:
        return self._client._reserve(self._max_wait, self._request).__await__()

    async def __aenter__(self) -> AsyncReservation:
        self._held = await self
        return self._held

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held is not None:
            try:
                # A task that is cancelled gives its room back all the same.
                await asyncio.shield(self._held.release())
            except InvalidArgument:
                if error is None:
                    raise
            except PlimsollError:
                pass  # the lease ends by itself


def _in_this_loop(listener: Listener) -> Listener:
    loop = asyncio.get_running_loop()

    def hear(reservation_id: str, why: PlimsollError) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody hears any more
            loop.call_soon_threadsafe(listener, reservation_id, why)

    return hear


class AsyncClient:
    """Reserves room before a request is sent; for one event loop or several.

    As ``Client``. Reserving occupies no thread while it waits; the short calls go through a few.
    With ``on_lost`` it is made inside of an event loop, in which that is called.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        retry: float = 5.0,
        retry_waits: bool = False,
        threads: int = 8,
        on_lost: Listener | None = None,
        **options: Any,
    ) -> None:
        self._retry = retry
        self._retry_waits = retry_waits
        hear = None if on_lost is None else _in_this_loop(on_lost)
        self._connection = Connection(server, retry=retry, on_lost=hear, **options)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="plimsoll")

    def reserve(
        self, prompt_tokens: int, max_new_tokens: int, *, max_wait: float = 0, **request: Any
    ) -> _Reserving:
        """Room for a request, after waiting up to ``max_wait`` seconds; raises Refused without.

        Keywords: request_id, tenant, request_class, resumes, ttl, prefix_hashes, priority.
        """
        request.update(prompt_tokens=prompt_tokens, max_new_tokens=max_new_tokens)
        return _Reserving(self, max_wait, request)

    async def can_admit(
        self, prompt_tokens: int, max_new_tokens: int, **request: Any
    ) -> Granted | Refusal:
        """What reserve would say now; reserves nothing."""
        request.update(prompt_tokens=prompt_tokens, max_new_tokens=max_new_tokens)
        return await self._run(self._connection.can_admit, request)

    async def reserve_all(self, requests: Sequence[Request]) -> list[AsyncReservation]:
        """Room for 1 to 256 requests, or for none: then it raises Refused of the first without."""
        told = await self._run_batch(self._connection.reserve_all, requests)
        return [AsyncReservation(self, granted) for granted in told]

    async def batch(self, operations: Sequence[Operation]) -> list[Outcome]:
        """As Client.batch."""
        told = await self._run_batch(self._connection.batch, operations)
        return outcomes_of(operations, told, lambda granted: AsyncReservation(self, granted))

    async def capacity(self) -> Capacity:
        return await self._run(self._connection.capacity)

    async def server_info(self) -> dict[str, str]:
        return await self._run(self._connection.server_info)

    async def close(self) -> None:
        """Ends what is outstanding; twice is harmless."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._connection.close)
        self._threads.shutdown(wait=False)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, call: Callable[..., _Result], *arguments: Any) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call, *arguments)

    async def _run_batch(
        self, call: Callable[[Sequence[_Asked]], list[_Result]], asked: Sequence[_Asked]
    ) -> list[_Result]:
        """What it granted to a task that is cancelled meanwhile goes back."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, call, asked)

        def give_back(done: asyncio.Future[list[_Result]]) -> None:
            if done.cancelled() or done.exception() is not None:
                return
            for operation, outcome in zip(asked, done.result(), strict=True):
                if isinstance(operation, Request) and isinstance(outcome, Granted):
                    self._give_back(outcome)

        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.add_done_callback(give_back)
            raise

    def _give_back(self, outcome: Granted | Refusal | Exception) -> None:
        """Nobody waits for this answer any more; on a thread, because this one must not block."""
        if isinstance(outcome, Granted):
            with contextlib.suppress(RuntimeError):  # closed: the lease ends by itself
                self._threads.submit(self._connection.release, outcome.reservation_id, None)

    async def _reserve(self, max_wait: float, request: dict[str, Any]) -> AsyncReservation:
        if self._retry > 0 and not request.get("request_id"):
            request["request_id"] = uuid.uuid4().hex  # so that asking again is harmless
        give_up = time.monotonic() + self._retry
        pause = 0.05
        while True:
            try:
                answer = await self._ask(max_wait, request)
            except (Unavailable, DeadlineExceeded):
                if time.monotonic() + pause > give_up:
                    raise
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = min(2 * pause, 1)
                continue
            if not isinstance(answer, Refusal):
                return AsyncReservation(self, answer)
            # Not before the server said, and not all who were told the same at one moment.
            later = answer.retry_after * random.uniform(1, 1.25)
            again = self._retry_waits and answer.decision == "wait"
            if not again or time.monotonic() + later > give_up:
                raise Refused(answer)
            await asyncio.sleep(later)

    async def _ask(self, max_wait: float, request: dict[str, Any]) -> Granted | Refusal:
        asked = request_of(**request)
        waiting = _Waiting(self)
        ticket = next(_tickets)
        _waiting[ticket] = waiting
        try:
            checked(
                remote().plimsoll_client_reserve_async,
                self._connection.handle,
                ctypes.byref(asked),
                ctypes.c_int64(nanoseconds(max_wait)),
                _answered,
                ctypes.c_void_p(ticket),
            )
        except Exception:
            _waiting.pop(ticket, None)
            raise
        try:
            return await waiting.future
        except asyncio.CancelledError:
            # The answer may have come in the same turn of the loop: then nobody else sees it.
            future = waiting.future
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(future.result())
            raise
