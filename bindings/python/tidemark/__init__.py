# SPDX-License-Identifier: LGPL-2.1-or-later
"""Tidemark: a key-value cache in shared memory that the processes of one host share.

    import tidemark

    with tidemark.open("shop") as t:
        t[b"k"] = b"v"
        t.get("k", max_staleness=0.2)

Keys are bytes or str (as UTF-8), values bytes. Threads and forked children use the same object.
"""
import asyncio
import atexit
import concurrent.futures
import functools
import hashlib
import os
import warnings
import weakref

from . import _tidemark, _types
from ._tidemark import Snapshot, unlink
from ._types import *  # noqa: F401,F403
from ._types import ERRORS, Answer, Error, Event, Token, make_error

__version__ = _tidemark.version
__all__ = ["open", "unlink", "Domain", "Snapshot", "Watch", "Batch", "Answer", "Token", "Event", "Error"]
__all__ += [kind.__name__ for kind in ERRORS]

for _kind in ERRORS:
    globals()[_kind.__name__] = _kind
_tidemark._setup(make_error, Answer, Token, Event)
os.register_at_fork(after_in_child=_tidemark._forked)
_open_domains = weakref.WeakSet()

_PUT, _DELETE, _CAS, _ADD, _TOUCH = 1, 2, 3, 4, 5


def _wake(loop, woken):
    try:
        loop.call_soon_threadsafe(lambda: woken.done() or woken.set_result(None))
    except RuntimeError:  # the loop has been closed
        pass


class Watch(_tidemark.Watch):
    """Changes in the order of the log: for a `for`, an `async for`, or next(timeout)."""

    _pending = None
    _thread = None
    _told = 0

    def __aiter__(self):
        return self

    async def __anext__(self):
        loop = asyncio.get_running_loop()
        self._told += 1
        if self._told % 64 == 0:  # others of the loop have their turn, however fast the events come
            await asyncio.sleep(0)
        while True:
            if self._pending is None:
                event = self._try(0)
                if event is not None:
                    return event
                if self._thread is None:  # its own: many watches would keep all threads of the loop's executor
                    self._thread = concurrent.futures.ThreadPoolExecutor(1, "tidemark-watch")
                self._pending = self._thread.submit(self._try, 0.25)
            # A task that is cancelled here loses nothing: the next one, of this loop or of another, takes the event that comes.
            pending, woken = self._pending, loop.create_future()
            pending.add_done_callback(lambda _: _wake(loop, woken))
            await woken
            if self._pending is not pending:  # another task has taken it
                continue
            self._pending = None
            try:
                event = pending.result()
            except Error:
                if self.closed:
                    raise StopAsyncIteration from None
                raise
            if event is not None:
                return event

    def _try(self, timeout):
        if self.closed:
            raise StopAsyncIteration if timeout == 0 else Closed("watch: closed")
        return self.next(timeout)


class Batch:
    """Operations that are done as one, when the block ends. `results`: the sum of each incr, of the others the index."""

    def __init__(self, domain):
        self._domain = domain
        self._ops = []
        self.results = None

    def put(self, key, value, ttl=None):
        self._ops.append((_PUT, key, value, ttl, None, None))

    __setitem__ = put

    def delete(self, key):
        self._ops.append((_DELETE, key, None, None, None, None))

    __delitem__ = delete

    def cas(self, key, version, value, ttl=None):
        self._ops.append((_CAS, key, value, ttl, version, None))

    def incr(self, key, by=1, ttl=None):
        self._ops.append((_ADD, key, None, ttl, None, by))

    def touch(self, key, ttl=None):
        self._ops.append((_TOUCH, key, None, ttl, None, None))

    def __len__(self):
        return len(self._ops)

    def commit(self):
        self.results = self._domain._batch(self._ops)
        self._ops = []
        return self.results

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.commit()


_PLAIN = frozenset((str, bytes, int, float, bool, type(None)))


def _argument(value):
    if type(value) in _PLAIN:
        return repr(value)
    if type(value) is tuple:
        return "(" + ",".join(map(_argument, value)) + ")"
    raise TypeError(f"cached: an argument of type {type(value).__name__} has no key of its own: give key=")


def _call_key(prefix, args, kwargs):
    if len(args) == 1 and not kwargs and type(args[0]) in _PLAIN:
        text = f"{prefix}({args[0]!r}"
    else:
        text = prefix + "(" + ",".join(map(_argument, args))
    for name in sorted(kwargs):
        text += f",{name}={_argument(kwargs[name])}"
    text += ")"
    if len(text) > 1000:  # a key has at most 65,535 bytes
        return prefix + ":" + hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
    return text


_cached_names = {}  # (domain, prefix): what the function looks like


def _call_prefix(domain, function):
    try:
        prefix = f"{function.__module__}.{function.__qualname__}"
    except AttributeError:
        raise TypeError(f"cached: {function!r} has no name of its own: give name=") from None
    code = getattr(function, "__code__", None)
    if code is not None:
        looks = (code.co_code, code.co_names, [one for one in code.co_consts if not hasattr(one, "co_code")])
        if _cached_names.setdefault((domain, prefix), looks) != looks:
            text = f"cached: two functions are called {prefix}, and so share their keys: give one name="
            warnings.warn(text, RuntimeWarning, stacklevel=3)
            _cached_names[domain, prefix] = looks
    return prefix


class Domain(_tidemark.Domain):
    """A domain, as tidemark.open() gives it."""

    def __init__(self, name, **options):
        super().__init__(name, **options)
        _open_domains.add(self)

    def batch(self):
        return Batch(self)

    def watch(self, prefix=None, initial=False, since=None):
        """Changes from now on; with initial=True first all that is there; with since=TOKEN those after it."""
        return self._watch(Watch, prefix, initial, since)

    def cached(self, ttl=None, *, stale=0, name=None, key=None, dumps=None, loads=None, wait=None, **bound):
        """Keep what a function returns. Of all threads and processes that miss a key at once, one calls it.

        A key is the function's module and name, or name=, and the arguments. So functions of one name share their keys; lambdas, and those that
        one function makes, have one name.
        It returns bytes, unless dumps and loads are given (json.dumps and json.loads, say). key: a function of the same
        arguments, where those are not all plain values. stale: so many seconds after ttl the old value is good enough for all but the
        one that makes it anew. bound: max_staleness and the like, of the reads.
        """

        def decorate(function):
            if not callable(function):
                raise TypeError(f"cached: a function, not {function!r}")
            if name is not None:
                if not isinstance(name, str) or not name:
                    raise TypeError(f"cached: name is a str, not {name!r}")
                prefix = name
            elif key is not None:
                prefix = getattr(function, "__qualname__", repr(function))
            else:
                prefix = _call_prefix(self.name, function)
            if asyncio.iscoroutinefunction(function):
                raise TypeError(f"cached: {prefix} is a coroutine; cache a plain function, and run it in a thread")

            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                def make():
                    value = function(*args, **kwargs)
                    if dumps is not None:
                        value = dumps(value)
                        return value.encode() if isinstance(value, str) else value
                    if not isinstance(value, bytes):
                        raise TypeError(
                            f"cached: {prefix} returned {type(value).__name__}, not bytes: give dumps= and loads="
                        )
                    return value

                of = key(*args, **kwargs) if key is not None else _call_key(prefix, args, kwargs)
                value = self.get_or_make(of, make, ttl=ttl, stale=stale, wait=wait, **bound)
                return loads(value) if loads is not None else value

            return wrapper

        return decorate

    def __repr__(self):
        return f"<tidemark.Domain {self.name!r}{', closed' if self.closed else ''}>"


def open(name, **options):
    """Open a domain; make it where there is none, and lead it where nobody does.

    lead=False: only use it. replica=True: this process has a copy of its own, and may lead after the leader. create=False,
    exclusive=True, ephemeral=True; ring, table: bytes; expected_keys; default_ttl: seconds; evict="s3fifo": these count for
    the one that makes the domain. max_staleness: the bound of reads that name none, in seconds; 0, the default, is linearizable.
    write_timeout: how long a write waits for a leader elsewhere.
    """
    return Domain(name, **options)


@atexit.register
def _close_all():
    _tidemark._leave()
    for domain in list(_open_domains):
        try:
            domain.close()
        except Error:  # a view of it is in use
            pass
