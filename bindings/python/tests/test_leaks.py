# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is opened and closed, or dropped, and what fails, does not add up."""
import gc
import os
import re
import time

import pytest

import tidemark


def kib(name):
    with open("/proc/self/status") as status:
        return int(re.search(rf"^{name}:\s+(\d+)", status.read(), re.M)[1])


def held():
    gc.collect()
    return {"objects": len(gc.get_objects()), "private": kib("RssAnon"), "threads": kib("Threads"), "files": len(os.listdir("/proc/self/fd"))}


def stable(work, rounds):
    """Rounds to warm up, and three times as many: nothing grows by as much as a few bytes for each."""
    for n in range(rounds):
        work(n)
    before = held()
    for n in range(rounds * 3):
        work(n)
    until = time.monotonic() + 30
    while kib("Threads") > before["threads"] and time.monotonic() < until:
        time.sleep(0.01)
    now = held()
    assert now["objects"] - before["objects"] < rounds, (before, now)
    assert now["private"] - before["private"] < 3072, (before, now)
    assert now["threads"] <= before["threads"] and now["files"] <= before["files"], (before, now)


def test_open(folder):
    def work(n):
        t = tidemark.open("leak", ring=1 << 16, table=1 << 20, ephemeral=True)
        t["k"] = b"v"
        assert t["k"] == b"v"
        if n % 2:
            t.close()

    stable(work, 30)


def test_watches_and_snapshots(t):
    t["k"] = bytes(2000)

    def work(n):
        for _ in range(20):
            watch = t.watch(prefix="k", initial=True)
            assert watch.next(1).value
            if n % 2:
                watch.close()
            with t.snapshot() as s:
                assert s["k"] and s.view("k") and s.get("none") is None and list(s.items())
                with pytest.raises(KeyError):
                    s["none"]

    stable(work, 40)


def test_calls_that_succeed_and_that_fail(t):
    values = [bytes(n) for n in (0, 100, 5000, 100_000)]

    def work(n):
        for value in values:
            t["k"] = value
            assert t["k"] == value and t.get("k", max_staleness=1, answer=True).value == value and t.mget(["k", "none"])[0] == value
            t["k"] = bytearray(value)
        version = t.get("k", answer=True).version
        t.cas("k", version, b"new", ttl=100)
        for call in (lambda: t.cas("k", 1, values[2]), lambda: t["none"], lambda: t.get("k", nothing=1), lambda: t.put("k", "text"),
                     lambda: t.mget(["k", 1]), lambda: t.incr("k"), lambda: t.put("k" * 70_000, values[2]), lambda: t.touch("none", 1),
                     lambda: t.get("k", after=1), lambda: t.get_or_make("raises", lambda: 1 / 0), lambda: t.get_or_make("type", lambda: 1)):
            with pytest.raises(Exception):
                call()
        with t.batch() as b:
            b.put("a", values[2])
            b.incr("n", 1)
        with pytest.raises(tidemark.Error):
            with t.batch() as b:
                b.put("a", values[2])
                b.cas("a", 1, values[2])
        t.get_or_make(f"made/{n % 7}", lambda: values[1], ttl=0.001)
        t.info(), t.token(), t.observe(t.token())

    stable(work, 100)
