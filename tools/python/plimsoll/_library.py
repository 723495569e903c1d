"""Finds the C libraries, and says in ctypes what their headers say in C.

Structures and prototypes are those of kvcache/c/plimsoll_base.h, kvcache/c/plimsoll.h and
rpc/c/plimsoll_client.h, in the same order; a test compares their sizes.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char, c_char_p, c_double, c_int32, c_int64, c_size_t, c_uint64, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

from plimsoll.errors import error_of

MAJOR = 1
NANOSECONDS = 1_000_000_000
OUT_OF_RANGE = 11


class Text(ctypes.Structure):
    _fields_ = [("data", c_char_p), ("capacity", c_size_t), ("length", c_size_t)]


class Sized(ctypes.Structure):
    """A structure that begins with its size."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.struct_size = ctypes.sizeof(self)


class CRequest(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("request_id", c_char_p),
        ("tenant", c_char_p),
        ("request_class", c_char_p),
        ("resumes", c_char_p),
        ("prompt_tokens", c_int64),
        ("max_new_tokens", c_int64),
        ("ttl_ns", c_int64),
        ("prefix_hashes", POINTER(c_uint64)),
        ("prefix_hash_count", c_size_t),
        ("priority", c_int32),
    ]


class CAnswer(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("decision", c_int32),
        ("reason", c_int32),
        ("reservation_id", c_char * 96),
        ("prompt_tokens", c_int64),
        ("max_new_tokens", c_int64),
        ("blocks", c_int64),
        ("prefix_blocks", c_int64),
        ("ttl_ns", c_int64),
        ("remaining_ns", c_int64),
        ("confirmed", c_int32),
        ("local", c_int32),
        ("needed_blocks", c_int64),
        ("missing_blocks", c_int64),
        ("retry_after_ns", c_int64),
        ("largest_fit_tokens", c_int64),
        ("binding_term", c_char * 16),
        ("yield_", c_int32),
    ]


class CPoolOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("blocks", c_int64),
        ("block_tokens", c_int64),
        ("eviction", c_char_p),
        ("hash_seed", c_uint64),
    ]


class CClass(ctypes.Structure):
    _fields_ = [
        ("name", c_char_p),
        ("policy", c_char_p),
        ("watermark", c_double),
        ("overflow_goal", c_double),
    ]


class CQuota(ctypes.Structure):
    _fields_ = [("tenant", c_char_p), ("guaranteed", c_int64), ("most", c_int64)]


class CAdmissionOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("epoch", c_char_p),
        ("default_ttl_ns", c_int64),
        ("max_ttl_ns", c_int64),
        ("confirm_window_ns", c_int64),
        ("max_context", c_int64),
        ("max_waiting", c_int64),
        ("classes", POINTER(CClass)),
        ("class_count", c_size_t),
        ("quotas", POINTER(CQuota)),
        ("quota_count", c_size_t),
        ("caller_clock", c_int32),
    ]


class CSnapshot(Sized):
    _fields_ = [("struct_size", c_size_t)] + [
        (name, c_int64)
        for name in (
            "total_blocks live_blocks cached_blocks reserved_blocks free_blocks sequences "
            "unfilled_tokens revision headroom_blocks reservations waiting admitted waited "
            "refused_wait refused_never released expired"
        ).split()
    ] + [("draining", c_int32)]


class CPrompt(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("salt", c_char_p),
        ("tokens", POINTER(c_int32)),
        ("token_count", c_size_t),
        ("hashes", POINTER(c_uint64)),
        ("hash_count", c_size_t),
    ]


class CSequence(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("id", c_int64),
        ("length", c_int64),
        ("blocks", c_int64),
        ("promise_left", c_int64),
        ("found_blocks", c_int64),
        ("named_blocks", c_int64),
        ("stop_requested", c_int32),
    ]


class CBlockCopy(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("tokens", c_int64),
        ("from_", c_int32),
        ("to", c_int32),
    ]


ANSWERED = ctypes.CFUNCTYPE(None, c_void_p, c_int32, POINTER(CAnswer), c_char_p)
LOST = ctypes.CFUNCTYPE(None, c_void_p, c_char_p, c_int32, c_char_p)


class COperation(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("action", c_int32),
        ("request", POINTER(CRequest)),
        ("reservation_id", c_char_p),
        ("total_tokens", c_int64),
        ("used_tokens", c_int64),
    ]


class COutcome(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("code", c_int32),
        ("line", c_char * 196),
        ("answer", CAnswer),
    ]


class CClientOptions(Sized):
    _fields_ = [
        ("struct_size", c_size_t),
        ("server", c_char_p),
        ("call_timeout_ns", c_int64),
        ("connect_timeout_ns", c_int64),
        ("retry_ns", c_int64),
        ("safe_requests", c_int64),
        ("safe_blocks", c_int64),
        ("safe_block_tokens", c_int64),
        ("ca", c_char_p),
        ("certificate", c_char_p),
        ("key", c_char_p),
        ("token_file", c_char_p),
        ("token", c_char_p),
        ("tls", c_int32),
        ("insecure", c_int32),
        ("retry_waits", c_int32),
        ("session", c_int32),
        ("on_lost", LOST),
        ("on_lost_context", c_void_p),
    ]


class CCapacity(Sized):
    _fields_ = [("struct_size", c_size_t), ("pool", c_char * 64), ("epoch", c_char * 72)] + [
        (name, c_int64)
        for name in (
            "block_tokens block_bytes revision total_blocks live_blocks cached_blocks "
            "reserved_blocks free_blocks headroom_blocks reservations waiting admitted waited "
            "refused_wait refused_never released expired"
        ).split()
    ] + [("draining", c_int32)]


def _places(name: str) -> list[str]:
    asked = [entry for entry in os.environ.get("PLIMSOLL_LIBRARY_PATH", "").split(":") if entry]
    beside = str(Path(__file__).resolve().parent)
    file = f"lib{name}.so.{MAJOR}"
    return [str(Path(place) / file) for place in [*asked, beside]] + [file]


def _load(name: str, version: str) -> ctypes.CDLL:
    tried = []
    for place in _places(name):
        try:
            library = ctypes.CDLL(place)
        except OSError as why:
            tried.append(str(why))
            continue
        found = getattr(library, version)() >> 16
        if found != MAJOR:
            raise ImportError(f"{place}: version {found} of the interface; want {MAJOR}")
        return library
    raise ImportError(f"lib{name} was not found; set PLIMSOLL_LIBRARY_PATH: " + "; ".join(tried))


@lru_cache(maxsize=None)
def embedded() -> ctypes.CDLL:
    """libplimsoll_c: pool, admission and plans in this process."""
    library = _load("plimsoll_c", "plimsoll_c_version")
    library.plimsoll_reason_name.restype = c_char_p
    return library


@lru_cache(maxsize=None)
def remote() -> ctypes.CDLL:
    """libplimsoll_client: a client of a server."""
    library = _load("plimsoll_client", "plimsoll_client_version")
    library.plimsoll_client_reason_name.restype = c_char_p
    return library


def checked(function: Any, *arguments: Any) -> None:
    """Calls it with room for its line at the end; raises unless it says OK."""
    line = ctypes.create_string_buffer(400)
    error = Text(ctypes.cast(line, c_char_p), len(line), 0)
    code = function(*arguments, ctypes.byref(error))
    if code != 0:
        raise error_of(code, line.value.decode("utf-8", "replace"))


def text_from(function: Any, *arguments: Any) -> str:
    """The text that it writes, however long; it is called again where the first room is too small."""
    size = 1 << 14
    while True:
        buffer = ctypes.create_string_buffer(size)
        text = Text(ctypes.cast(buffer, c_char_p), size, 0)
        try:
            checked(function, *arguments, ctypes.byref(text))
        except Exception as failed:
            if getattr(failed, "code", None) != OUT_OF_RANGE or text.length < size:
                raise
            size = text.length + 1
            continue
        return buffer.value.decode()


def encoded(text: str | None) -> bytes | None:
    if text is not None and "\0" in text:
        raise ValueError(f"{text!r}: has a zero character")
    return None if text is None else text.encode()


def encoded_path(path: str | os.PathLike[str] | None) -> bytes | None:
    return None if path is None else encoded(os.fspath(path))


def nanoseconds(seconds: float) -> int:
    return round(seconds * NANOSECONDS)
