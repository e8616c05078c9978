# SPDX-License-Identifier: LGPL-2.1-or-later
import json
import os
import threading
import time
import warnings

import pytest

import tidemark
from conftest import child, forks, joined


def test_once(t):
    calls = []

    @t.cached(ttl=60)
    def page(name, *, size=1):
        calls.append(name)
        return name.encode() * size

    assert page("a") == page("a") == b"a" and page("a", size=2) == b"aa" and page("b") == b"b"
    assert calls == ["a", "a", "b"] and page.__name__ == "page"
    with pytest.raises(TypeError, match="key="):
        page(["list"])


def test_other_values_and_keys(t):
    @t.cached(dumps=json.dumps, loads=json.loads, key=lambda numbers: "sum/%d" % len(numbers))
    def total(numbers):
        return {"sum": sum(numbers)}

    assert total([1, 2]) == total([3, 4]) == {"sum": 3} and "sum/2" in t

    @t.cached()
    def text():
        return "text"

    with pytest.raises(TypeError, match="dumps="):
        text()

    @t.cached()
    def long(argument):
        return b"v"

    assert long("x" * 100_000) == b"v"


def test_by_threads_once(t):
    calls = []

    @t.cached(ttl=60)
    def slow():
        calls.append(1)
        time.sleep(0.05)
        return b"v"

    threads = [threading.Thread(target=slow) for _ in range(6)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert calls == [1]


@forks
def test_by_processes_once(t):
    @t.cached(ttl=60)
    def slow(n):
        t.incr(f"calls/{n}")
        time.sleep(0.02)
        return b"%d" % n

    def work():
        for n in range(5):
            assert slow(n) == b"%d" % n

    assert joined(*[child(work) for _ in range(4)])
    assert t.mget([f"calls/{n}" for n in range(5)]) == [b"1"] * 5


@forks
def test_maker_that_fails_or_dies_passes_it_on(t):
    @t.cached(ttl=60)
    def fails():
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fails()

    def dies():
        t.get_or_make("k", lambda: os._exit(0))

    assert joined(child(dies))
    assert t.get_or_make("k", lambda: b"v") == b"v"
    with pytest.raises(tidemark.Busy):
        t.get_or_make("r", lambda: t.get_or_make("r", lambda: b""))
    assert t.get_or_make("outer", lambda: t.get_or_make("inner", lambda: b"i") + b"o") == b"io"


def test_wait(t):
    begun, go = threading.Event(), threading.Event()

    def make():
        begun.set()
        go.wait()
        return b"v"

    thread = threading.Thread(target=t.get_or_make, args=("k", make))
    thread.start()
    begun.wait()
    with pytest.raises(tidemark.Timeout, match="another makes"):
        t.get_or_make("k", make, wait=0)
    go.set()
    thread.join()
    assert t["k"] == b"v"


def test_stale_while_it_is_made_anew(t):
    begun, go = threading.Event(), threading.Event()
    assert t.get_or_make("k", lambda: b"old", ttl=0.01, stale=60) == b"old"
    time.sleep(0.02)

    def anew():
        begun.set()
        go.wait()
        return b"new"

    thread = threading.Thread(target=lambda: t.get_or_make("k", anew, ttl=60, stale=60))
    thread.start()
    begun.wait()
    assert t.get_or_make("k", anew, ttl=60, stale=60) == b"old"
    go.set()
    thread.join()
    assert t.get_or_make("k", anew, ttl=60, stale=60) == b"new"


def test_value_that_cannot_be_put(folder):
    with tidemark.open("s", ring=1 << 16, table=1 << 20) as t:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            assert t.get_or_make("k", lambda: bytes(100_000)) == bytes(100_000)
        assert "not put" in str(told[0].message)


def test_make_closes_the_domain(folder):
    t = tidemark.open("m", ring=1 << 16, table=1 << 20)
    with pytest.warns(RuntimeWarning):
        assert t.get_or_make("k", lambda: t.close() or b"v") == b"v"
