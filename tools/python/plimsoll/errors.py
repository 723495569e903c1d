"""What can go wrong: one class for each code that a caller treats differently."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plimsoll.answers import Refusal


class PlimsollError(Exception):
    """A call that failed; ``code`` is gRPC's number and the text is one line."""

    def __init__(self, line: str, code: int = 2) -> None:
        super().__init__(line)
        self.code = code


class InvalidArgument(PlimsollError, ValueError):
    """Fix the call: the line names the field, its value and what was wanted."""


class NotFound(PlimsollError, LookupError):
    """Forget the id: it ended, or was never given."""


class FailedPrecondition(PlimsollError):
    """Change the state first; STALE_EPOCH: another life of the server gave that id."""


class ResourceExhausted(PlimsollError):
    """No room, or the server is overloaded."""


class Unavailable(PlimsollError, ConnectionError):
    """No server, or none that can be trusted."""


class Unauthenticated(PlimsollError, PermissionError):
    """No token, or one that the server does not know."""


class PermissionDenied(PlimsollError, PermissionError):
    """The token is good, but not for this."""


class DeadlineExceeded(PlimsollError, TimeoutError):
    """No answer in time."""


class Refused(Exception):
    """The answer was wait or never; ``refusal`` says why and what would help.

    Of several requests, ``index`` says which it was.
    """

    def __init__(self, refusal: Refusal, index: int | None = None) -> None:
        super().__init__(str(refusal) if index is None else f"requests[{index}]: {refusal}")
        self.refusal = refusal
        self.index = index


_CLASSES: dict[int, type[PlimsollError]] = {
    3: InvalidArgument,
    4: DeadlineExceeded,
    5: NotFound,
    7: PermissionDenied,
    8: ResourceExhausted,
    9: FailedPrecondition,
    14: Unavailable,
    16: Unauthenticated,
}


def error_of(code: int, line: str) -> PlimsollError:
    """The exception for a code that is not OK."""
    return _CLASSES.get(code, PlimsollError)(line, code)
