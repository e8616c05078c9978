# SPDX-License-Identifier: LGPL-2.1-or-later
import os
import threading

import pytest

import tidemark
from conftest import child, forks, joined


def test_threads(t):
    errors = []

    def work(n):
        try:
            for i in range(300):
                t[f"{n}/{i}"] = str(i).encode()
                assert t[f"{n}/{i}"] == str(i).encode()
                t.incr("all")
        except BaseException as error:
            errors.append(error)

    for _ in range(3):  # threads that end leave nothing behind
        threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    assert errors == [] and t["all"] == b"4500"


def test_close_under_threads(folder):
    t = tidemark.open("c", ring=1 << 16, table=1 << 20)
    ready = threading.Barrier(4)
    ends = []

    def work():
        ready.wait()
        try:
            while True:
                t["k"] = b"v"
                t.get("k")
        except tidemark.Closed:
            ends.append(1)

    threads = [threading.Thread(target=work) for _ in range(3)]
    [thread.start() for thread in threads]
    ready.wait()
    t.close()
    [thread.join() for thread in threads]
    assert len(ends) == 3


@forks
def test_prefork(t):
    t["k"] = b"parent"
    me = os.getpid()

    def work():
        assert t["k"] == b"parent" and "k" in t and t.info()["leader_pid"] == me
        for _ in range(100):
            t.incr("requests")
        t.close()

    assert joined(*[child(work) for _ in range(4)])
    assert t["requests"] == b"400"


@pytest.mark.parametrize("first", ["mget", "token", "snapshot", "watch", "batch", "incr", "get_or_make", "in", "wait_applied"])
@forks
def test_every_call_opens_anew(t, first):
    t["k"] = b"v"
    token = t.token()

    def work():
        {
            "mget": lambda: t.mget(["k"]),
            "token": t.token,
            "snapshot": lambda: t.snapshot().close(),
            "watch": lambda: t.watch().close(),
            "batch": lambda: t._batch([]) or t.batch().put("x", b"") or t["k"],
            "incr": lambda: t.incr("n"),
            "get_or_make": lambda: t.get_or_make("made", lambda: b"v"),
            "in": lambda: "k" in t,
            "wait_applied": lambda: t.wait_applied(token, 1, 5),
        }[first]()
        assert t["k"] == b"v"

    assert joined(child(work))


@forks
def test_threads_of_a_child(t):
    t["k"] = b"v"

    def work():
        seen = []
        ready = threading.Barrier(6)

        def read():
            ready.wait()
            seen.append(t["k"])

        threads = [threading.Thread(target=read) for _ in range(6)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert seen == [b"v"] * 6

    assert joined(child(work))


@forks
def test_child_of_a_child_and_with(folder):
    with tidemark.open("w", ring=1 << 16, table=1 << 20) as t:
        t["k"] = b"v"

        def work():
            with t:
                assert joined(child(lambda: t.put("inner", t["k"])))
                assert t["inner"] == b"v"

        assert joined(child(work))
        assert t["inner"] == b"v"


@forks
def test_what_the_parent_has_open(t):
    t["k"] = b"v"
    watch, snapshot = t.watch(), t.snapshot()
    view = snapshot.view("k")

    def work():
        with pytest.raises(tidemark.Forked):
            watch.next(0)
        with pytest.raises(tidemark.Error):
            snapshot["k"]
        with pytest.raises(ValueError):
            view[0]
        snapshot.close()
        watch.close()
        t["k"] = b"w"

    assert joined(child(work))
    assert view == b"v" and snapshot["k"] == b"v"
    snapshot.close()
    assert t["k"] == b"w" and watch.next(5).value == b"w"


@forks
def test_child_leads_when_the_parent_does_not(folder):
    t = tidemark.open("p", ring=1 << 16, table=1 << 20)
    t["k"] = b"v"
    told, tell = os.pipe()
    here, there = os.pipe()

    def work():
        with tidemark.open("p", lead=False, replica=True):  # a copy that lives
            os.write(tell, b"1")
            os.read(here, 1)
            t["k"] = b"w"
            assert t["k"] == b"w"

    pid = child(work)
    os.read(told, 1)
    t.close()
    os.write(there, b"1")
    assert joined(pid)
