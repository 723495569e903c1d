"""KV-cache capacity for LLM servers.

``Client`` and ``AsyncClient`` reserve room on a Plimsoll server before a request is sent; ``Pool``
and ``plan`` work in this process, without a server. All are ctypes over the C libraries, which are
looked for in PLIMSOLL_LIBRARY_PATH, beside this package, and where the system has libraries.
"""

from plimsoll._connection import Held
from plimsoll.answers import Capacity, Refusal
from plimsoll.async_client import AsyncClient, AsyncReservation
from plimsoll.client import Client, Reservation
from plimsoll.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PlimsollError,
    Refused,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from plimsoll.operations import Extend, Release, Request
from plimsoll.planning import plan
from plimsoll.pool import Admission, BlockCopy, Grant, Pool, PoolState, SequenceState

__all__ = [
    "Admission",
    "AsyncClient",
    "AsyncReservation",
    "BlockCopy",
    "Capacity",
    "Client",
    "DeadlineExceeded",
    "Extend",
    "FailedPrecondition",
    "Grant",
    "Held",
    "InvalidArgument",
    "NotFound",
    "PermissionDenied",
    "PlimsollError",
    "Pool",
    "PoolState",
    "Refusal",
    "Refused",
    "Release",
    "Request",
    "Reservation",
    "ResourceExhausted",
    "SequenceState",
    "Unauthenticated",
    "Unavailable",
    "plan",
]
