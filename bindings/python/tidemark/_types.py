# SPDX-License-Identifier: LGPL-2.1-or-later
"""Errors, answers, tokens, events."""
from typing import NamedTuple, Optional


class Error(Exception):
    """What the library answered. `code` is its TIDE_ERR_ number."""

    code = 0


def _error(name, code, *others):
    return type(name, (Error, *others), {"code": code, "__module__": "tidemark", "__doc__": f"TIDE_ERR_ {code}"})


Invalid = _error("Invalid", -1, ValueError)
System = _error("System", -3)
Exists = _error("Exists", -4)
NoDomain = _error("NoDomain", -5)
Foreign = _error("Foreign", -6)
Version = _error("Version", -7)
Corrupt = _error("Corrupt", -8)
NoSpace = _error("NoSpace", -9)
Full = _error("Full", -10)
TooBig = _error("TooBig", -11)
NotFound = _error("NotFound", -13, KeyError)
Refused = _error("Refused", -14)
Timeout = _error("Timeout", -15, TimeoutError)
FenceAhead = _error("FenceAhead", -16)
Incarnation = _error("Incarnation", -17)
NoLeader = _error("NoLeader", -18)
NoReplica = _error("NoReplica", -19)
Mismatch = _error("Mismatch", -20)
Closed = _error("Closed", -21)
Slots = _error("Slots", -22)
Thread = _error("Thread", -23)
Unknown = _error("Unknown", -24)
Busy = _error("Busy", -25)
Diverged = _error("Diverged", -26)
Gone = _error("Gone", -27)
Forked = _error("Forked", -28)
Lost = _error("Lost", -29)
ReadOnly = _error("ReadOnly", -31)
Number = _error("Number", -32, ValueError)
Overflow = _error("Overflow", -33, OverflowError)
Fed = _error("Fed", -34)

ERRORS = (
    Invalid, System, Exists, NoDomain, Foreign, Version, Corrupt, NoSpace, Full, TooBig, NotFound, Refused, Timeout, FenceAhead,
    Incarnation, NoLeader, NoReplica, Mismatch, Closed, Slots, Thread, Unknown, Busy, Diverged, Gone, Forked, Lost, ReadOnly, Number,
    Overflow, Fed,
)  # fmt: skip
_by_code = {kind.code: kind for kind in ERRORS}


def make_error(code, what, text, said):
    """Called by the extension. `said`: what the library's log told, or more to the point."""
    message = f"{what}: {text}" + (f" ({said})" if said else "")
    error = _by_code.get(code, Error)(message)
    error.code = code
    return error


class Token(NamedTuple):
    """A fence: give it to another thread, process or client, and its reads see what this one saw."""

    incarnation: int
    index: int  # type: ignore[assignment]  # a field hides the method of tuples


class Answer(NamedTuple):
    """A value, and how fresh it is. Times are in seconds."""

    value: Optional[bytes]
    version: int
    reason: str
    served_by: int
    index: int  # type: ignore[assignment]  # a field hides the method of tuples
    commit_index: int
    staleness: float
    waited: float
    ttl: Optional[float]
    linearizable: bool
    stale: bool
    from_leader: bool


class Event(NamedTuple):
    """A change. kind: put, delete, expire, evict; synced ends what `initial=True` tells."""

    kind: str
    key: Optional[bytes]
    value: Optional[bytes]
    index: int  # type: ignore[assignment]  # a field hides the method of tuples
    ttl: Optional[float]
    more: bool
