"""A client of a Plimsoll server, for programs with threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Union

from plimsoll._connection import DEFAULT_SERVER, Connection, Held
from plimsoll.answers import Capacity, Granted, Refusal
from plimsoll.errors import InvalidArgument, PlimsollError, Refused
from plimsoll.operations import Extend, Operation, Request, Told

# What became of one operation of a batch: the room that was reserved or extended, a refusal, why it
# was not done, or None: it was released.
Outcome = Union[Held, Refusal, PlimsollError, None]


def outcomes_of(
    operations: Sequence[Operation], told: Sequence[Told], room_of: Callable[[Granted], Held]
) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for operation, outcome in zip(operations, told, strict=True):
        if not isinstance(outcome, Granted):
            outcomes.append(outcome)
        elif isinstance(operation, Extend):
            operation.room.granted = outcome
            outcomes.append(operation.room)
        else:
            outcomes.append(room_of(outcome))
    return outcomes


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
    stream in place of renewals; safe_requests, safe_blocks, safe_block_tokens; ``on_lost``, which
    is called with the id of each reservation that was lost and an error that says why. It is called
    on a thread of the library: it must not block, and not call the client.

    For a server with TLS: ``ca``, whose certificates it may have, or ``tls``, for those that the
    system trusts; ``certificate`` and ``key``, where it asks for ours. For one
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

    def reserve_all(self, requests: Sequence[Request]) -> list[Reservation]:
        """Room for 1 to 256 requests, or for none: then it raises Refused of the first without."""
        return [
            Reservation(self._connection, granted)
            for granted in self._connection.reserve_all(requests)
        ]

    def batch(self, operations: Sequence[Operation]) -> list[Outcome]:
        """1 to 256 in one call, done in their order with nobody in between.

        Gives for each what became of it: the room, a Refusal, an error, or None where it was
        released. Nothing of that is raised.
        """
        return outcomes_of(
            operations,
            self._connection.batch(operations),
            lambda granted: Reservation(self._connection, granted),
        )

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
