# SPDX-License-Identifier: LGPL-2.1-or-later
"""What callers get wrong, and what happens at a bad moment: in signals' handlers, in other interpreters, in the collector."""
import asyncio
import copy
import functools
import gc
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
import weakref

import pytest

import tidemark
from conftest import child, forks, joined


@pytest.fixture
def handler():
    """handler(f): f runs in the main thread at a signal, which this returns a function to send, in so many seconds."""
    timers = []

    def install(work):
        def send(later):
            timers.append(threading.Timer(later, os.kill, (os.getpid(), signal.SIGUSR1)))
            timers[-1].start()

        signal.signal(signal.SIGUSR1, lambda *_: work())
        return send

    yield install
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    for timer in timers:
        timer.cancel()
        timer.join()


# ---- arguments ------------------------------------------------------------------------------------------------------------


def test_life_of_no_time_is_refused(t):
    """For the library 0 is no life of its own, so the value would stay for ever."""
    for ttl in (0, 0.0, -0.0, -1, float("nan")):
        for call in (
            lambda: t.put("k", b"v", ttl=ttl),
            lambda: t.touch("k", ttl=ttl),
            lambda: t.incr("n", ttl=ttl),
            lambda: t.cas("k", 0, b"v", ttl=ttl),
            lambda: t.get_or_make("k", lambda: b"v", ttl=ttl),
            lambda: t.cached(ttl=ttl)(test_life_of_no_time_is_refused)(),
        ):
            with pytest.raises(ValueError, match="more than 0|0 or more"):
                call()
        with pytest.raises(ValueError):
            with t.batch() as b:
                b.put("k", b"v", ttl=ttl)
    assert "k" not in t and "n" not in t
    t.put("k", b"v", ttl=1e-12)  # the least there is, not none
    while "k" in t:
        pass
    t.put("k", b"v", ttl=float("inf"))
    assert t.get("k", answer=True).ttl is None


def test_tokens_are_not_cut_to_64_bits(t):
    here = t.token()
    for token in ((2**64, 0), (here.incarnation, 2**64), (-1, 0), (here.incarnation, -1)):
        with pytest.raises(OverflowError):
            t.observe(token)
    for token in ((1.5, 2), ("a", 1), (0,), (0, 0, 0), [0, 0], "0:0"):
        with pytest.raises(TypeError):
            t.observe(token)


def test_name_ends_where_it_ends(t):
    """The library takes a name up to its first NUL: that is another domain's."""
    for call in (tidemark.unlink, tidemark.open):
        with pytest.raises(ValueError, match="1 to 48"):
            call("t\0x")
    t["k"] = b"v"
    with tidemark.open("t", create=False, lead=False) as again:
        assert again["k"] == b"v"


def test_keys_of_each_size(t):
    for key, kind in ((b"", ValueError), ("", ValueError), (b"x" * 65536, tidemark.TooBig), ("\u20ac" * 30000, tidemark.TooBig)):
        for call in (t.get, t.delete, t.incr, t.touch, lambda k: t.put(k, b""), lambda k: t.mget([k]), lambda k: k in t):
            with pytest.raises(kind, match="1 to 65535 bytes, this one"):
                call(key)
    t.put(b"x" * 65535, b"v")
    assert t.get(b"x" * 65535) == b"v"
    with pytest.raises(UnicodeEncodeError):
        t.get("\ud800")


def test_objects_that_nothing_opened(t):
    for make in (lambda: tidemark.Domain.__new__(tidemark.Domain), tidemark.Watch, tidemark.Snapshot):
        one = make()
        for call in (
            lambda: one.get("k"),
            lambda: one.put("k", b""),
            lambda: one.items(),
            lambda: one.view("k"),
            lambda: one.next(),
            lambda: one.token,
            lambda: one.info(),
            lambda: one.snapshot(),
            lambda: one.watch(),
        ):
            try:
                call()
            except (tidemark.Closed, AttributeError):
                pass
        one.close()
        one.close()
    with pytest.raises(TypeError):
        t._watch(int)
    with pytest.raises(ValueError, match="close it first"):
        t.__init__("other")


def test_objects_of_a_process_are_not_pickled(t):
    with t.snapshot() as s, t.watch() as w:
        for one in (t, s, w):
            for copied in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError):
                    copied(one)
    t["k"] = b"v"
    for one in (t.token(), t.get("k", answer=True)):
        assert pickle.loads(pickle.dumps(one)) == one
    with pytest.raises(tidemark.Mismatch) as raised:
        t.cas("k", 99, b"")
    again = pickle.loads(pickle.dumps(raised.value))
    assert (type(again), again.found, again.code) == (tidemark.Mismatch, raised.value.found, raised.value.code)


# ---- cached ---------------------------------------------------------------------------------------------------------------


def test_functions_of_one_name_are_told_of(t):
    first = t.cached()(lambda x: b"1")
    with pytest.warns(RuntimeWarning, match="give one name="):
        second = t.cached()(lambda x: b"two")
    assert (first(1), second(1)) == (b"1", b"1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = t.cached(name="other")(lambda x: b"other")
        keyed = t.cached(key=lambda x: f"keyed/{x}")(lambda x: b"keyed")
        for _ in range(2):  # made twice, as by a module that is loaded anew
            t.cached(name=None)(functools.cmp_to_key)
    assert (other(1), keyed(1)) == (b"other", b"keyed")
    for wrong in (None, 5, functools.partial(int, "1")):
        with pytest.raises(TypeError, match="cached"):
            t.cached()(wrong)
    for wrong in ("", 5):
        with pytest.raises(TypeError, match="name is"):
            t.cached(name=wrong)(len)
    assert t.cached(name="part", dumps=str, loads=int)(functools.partial(int, "7"))() == 7


def test_method_needs_a_key(t):
    class Shop:
        @t.cached()
        def page(self, x):
            return b"page"

        @t.cached(key=lambda self, x: f"keyed/{x}")
        def keyed(self, x):
            return b"keyed"

        @staticmethod
        @t.cached()
        def static(x):
            return b"static"

    with pytest.raises(TypeError, match="give key="):
        Shop().page(1)
    assert (Shop().keyed(1), Shop.static(1)) == (b"keyed", b"static")


def test_make_that_asks_for_its_own_key(t):
    def make():
        return t.get_or_make("k", make)

    with pytest.raises(tidemark.Busy, match="asks for the key that it makes"):
        make()
    assert t.get_or_make("k", lambda: t.get_or_make("inner", lambda: b"v")) == b"v"


# ---- signals' handlers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["watch", "domain"])
def test_handler_closes_what_it_interrupts(folder, handler, what):
    t = tidemark.open("t", ring=1 << 20, table=4 << 20)
    watch = t.watch()
    handler((watch if what == "watch" else t).close)(0.2)
    try:
        assert list(watch) == [] and watch.closed
    except tidemark.Closed:
        assert what == "domain"
    t.close()


@pytest.fixture
def old(folder):
    """A domain whose leader has gone, and whose follower is stopped and lacks an entry: what it has is there, and gets older."""

    def run(replica):
        def work():
            with tidemark.open("t", ring=1 << 20, table=4 << 20, replica=replica) as t:
                t.put("large" if not replica else "small", b"x" * 50000)
                (folder / f"ready{replica}").touch()
                while not (folder / "end").exists():
                    time.sleep(0.005)

        pid = child(work)
        while not (folder / f"ready{replica}").exists():
            time.sleep(0.01)
        return pid

    leader, follower = run(False), run(True)
    t = tidemark.open("t", lead=False, max_staleness=0.001)
    t.wait_applied(t.token(), replicas=2, timeout=60)
    os.kill(follower, signal.SIGSTOP)
    os.waitpid(follower, os.WUNTRACED)
    t["newer"] = b"v"  # which the follower has not
    (folder / "end").touch()
    os.waitpid(leader, 0)
    yield t
    t.close()
    os.kill(follower, signal.SIGKILL)
    os.waitpid(follower, 0)


@forks
@pytest.mark.parametrize("act", ["raise", "close", "read"])
@pytest.mark.parametrize("call", ["get", "make", "mget", "snapshot"])
def test_handler_within_a_read_that_waits(old, handler, call, act):
    t, ran = old, []

    def work():
        ran.append(act)
        if act == "raise":
            raise KeyboardInterrupt
        if act == "close":
            t.close()
        else:
            assert len(t.get("large", fallback="stale")) == 50000  # the thread's buffer grows

    wait = 0.6 if act == "read" else 100  # who is sent away does not wait
    how = {"fallback": "wait", "max_staleness": 0.001}
    calls = {
        "get": lambda: t.get("large", wait=wait, **how),
        "make": lambda: t.get_or_make("k", lambda: b"", wait=0, read_wait=wait, **how),
        "mget": lambda: t.mget(["k", "large"], wait=wait, **how),
        "snapshot": lambda: t.snapshot(wait=wait, **how),
    }
    handler(work)(0.15)
    error = {"raise": KeyboardInterrupt, "close": tidemark.Closed, "read": tidemark.Timeout}[act]
    if call == "make" and act == "read":  # a read that cannot be had is a miss; it is made, and nobody leads
        with pytest.warns(RuntimeWarning, match="made and not put"):
            assert calls[call]() == b""
    else:
        with pytest.raises(error):
            calls[call]()
    while not ran:  # on a busy machine the signal may come behind a read that waits for 0.6 seconds
        time.sleep(0.01)
    assert ran == [act]


# ---- snapshots of other domains ---------------------------------------------------------------------------------------------


def test_domain_is_closed_within_a_snapshot_of_another(t):
    """The library waits for sections to end: this thread's would not."""
    other = tidemark.open("other", ring=1 << 20, table=4 << 20)
    dropped = tidemark.open("dropped", ring=1 << 20, table=4 << 20)
    t["k"] = b"v"
    with t.snapshot() as s:
        with pytest.raises(tidemark.Busy, match="a snapshot is open"):
            other.close()
        del dropped
        assert s["k"] == b"v" and not other.closed
    other["k"] = b"v"
    other.close()
    with tidemark.open("dropped", lead=False) as again:
        while again.info()["leader"] is not None:
            time.sleep(0.01)


def test_interpreter_ends_within_a_snapshot(folder):
    code = """
import sys, tidemark
a = tidemark.open("a", ring=1 << 20, table=4 << 20)
b = tidemark.open("b", ring=1 << 20, table=4 << 20)
a["k"] = b["k"] = b"v"
snapshots = a.snapshot(), b.snapshot()
if sys.argv[1] == "view":
    kept = snapshots[0].view("k")[:1]
"""
    for how in ("plain", "view"):
        done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code, how], timeout=60, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


# ---- threads, the collector, interpreters -----------------------------------------------------------------------------------


def test_two_threads_close_while_a_third_ends_a_snapshot(folder):
    for _ in range(20):
        t = tidemark.open("t", ring=1 << 20, table=4 << 20)
        begun, end = threading.Event(), threading.Event()

        def read():
            with t.snapshot():
                begun.set()
                end.wait()

        threads = [threading.Thread(target=read)] + [threading.Thread(target=t.close) for _ in range(3)]
        threads[0].start()
        begun.wait()
        for one in threads[1:]:
            one.start()
        time.sleep(0.005)
        end.set()
        for one in threads:
            one.join()
        t.close()  # a busy machine may have kept the snapshot for longer than they waited
        assert t.closed


@pytest.mark.parametrize("what", ["watch", "snapshot", "batch"])
def test_circle_is_collected(what):
    t = tidemark.open("t", ring=1 << 20, table=4 << 20)
    t.own = getattr(t, what)()
    seen = weakref.ref(t)
    del t
    gc.collect()
    assert seen() is None
    with tidemark.open("t", lead=False) as again:
        assert again.info()["leader"] is None


def test_other_interpreter_is_refused():
    interpreters = pytest.importorskip("_xxsubinterpreters")
    other = interpreters.create()
    try:
        interpreters.run_string(other, "import sys\ntry:\n import tidemark\nexcept ImportError as e:\n assert 'interpreter' in str(e)\nelse:\n raise SystemExit(1)")
    finally:
        interpreters.destroy(other)
    with tidemark.open("t", ring=1 << 20, table=4 << 20) as t:
        with pytest.raises(tidemark.Mismatch):
            t.cas("k", 1, b"")


def test_daemon_threads_at_the_end_of_the_interpreter(folder):
    code = """
import threading, time, tidemark
t = tidemark.open("t", ring=1 << 20, table=4 << 20)
watch = t.watch()
threading.Thread(target=lambda: list(watch), daemon=True).start()
threading.Thread(target=lambda: t.get_or_make("k", lambda: time.sleep(60)), daemon=True).start()
time.sleep(0.1)
threading.Thread(target=lambda: t.get_or_make("k", lambda: b""), daemon=True).start()
time.sleep(0.1)
"""
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], timeout=60, capture_output=True, text=True)
    assert done.returncode == 0 and "Fatal" not in done.stderr, done.stderr  # Closed is what such a thread may be told


# ---- watches in event loops ---------------------------------------------------------------------------------------------------


def test_watch_outlives_its_loop(t):
    watch = t.watch()

    async def one(timeout):
        return await asyncio.wait_for(watch.__anext__(), timeout)

    for n in range(3):
        with pytest.raises(asyncio.TimeoutError):
            asyncio.run(one(0.02))
        t.put(f"k{n}", b"")
        assert asyncio.run(one(30)).key == b"k%d" % n


def test_tasks_share_the_events_of_a_watch(t):
    watch, got = t.watch(), []

    async def take():
        async for event in watch:
            got.append(event.key)

    async def main():
        tasks = [asyncio.create_task(take()) for _ in range(3)]
        for n in range(30):
            t.put(f"k{n}", b"")
            if n % 3 == 0:
                await asyncio.sleep(0.01)
        while len(got) < 30:
            await asyncio.sleep(0.01)
        watch.close()
        await asyncio.gather(*tasks)

    asyncio.run(main())
    assert got == [b"k%d" % n for n in range(30)]


def test_task_that_is_cancelled_between_events_loses_none(t):
    watch, got = t.watch(), []
    for n in range(300):
        t.put(f"k{n}", b"")

    async def take():
        while len(got) < 300:
            got.append((await watch.__anext__()).key)

    async def main():
        while len(got) < 300:  # each time it gives way it is cancelled there
            task = asyncio.create_task(take())
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert got == [b"k%d" % n for n in range(300)]


def test_watches_leave_the_loop_its_executor(t):
    watches = [t.watch() for _ in range(40)]

    async def main():
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(watch.__anext__()) for watch in watches]
        await asyncio.sleep(0.05)
        await loop.run_in_executor(None, int)
        threads = {thread.name.split("_")[0] for thread in threading.enumerate()}
        assert "tidemark-watch" in threads and len([one for one in threading.enumerate() if one.name.startswith("asyncio")]) <= 1
        for watch in watches:
            watch.close()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
