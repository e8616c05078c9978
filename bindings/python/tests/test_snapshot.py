# SPDX-License-Identifier: LGPL-2.1-or-later
import threading

import pytest

import tidemark
from conftest import child, forks, joined


def test_reads_are_of_one_index(t):
    t["a"] = b"1"
    t["b"] = b"2"
    with t.snapshot() as s:
        writer = threading.Thread(target=t.put, args=("a", b"new"))
        writer.start()
        writer.join()
        assert (s["a"], s.get("b"), s.get("c"), s.get("c", 0), s.index) == (b"1", b"2", None, 0, 2)
        assert "a" in s and "c" not in s
        assert sorted(s.items()) == [(b"a", b"1"), (b"b", b"2")] and s.keys(prefix="b") == [b"b"]
        with pytest.raises(KeyError):
            s["c"]
        with pytest.raises(tidemark.Thread, match="snapshot of this thread"):
            t["a"] = b"never"
        with t.snapshot() as inner:
            assert inner["a"] == b"new"
        assert t["a"] == b"new" and s["a"] == b"1"
    with pytest.raises(tidemark.Closed):
        s["a"]
    t["a"] = b"after"


def test_view_ends_with_the_snapshot(t):
    t["k"] = b"value"
    with t.snapshot() as s:
        view = s.view("k")
        assert view == b"value" and view.readonly and bytes(view[1:3]) == b"al" and s.view("none") is None
        assert bytes(s.view("k")).decode() == "value"
    with pytest.raises(ValueError):
        view[0]


def test_slice_keeps_the_memory(t):
    t["k"] = bytes(range(200))
    with pytest.raises(BufferError, match="in use"):
        with t.snapshot() as s:
            view = s.view("k")
            part, of_it = view[10:20], memoryview(view)
    fill(t)
    assert bytes(part) == bytes(range(10, 20)) and of_it == bytes(range(200))
    with pytest.raises(tidemark.Busy):
        t.close()
    with pytest.raises(tidemark.Thread):
        t["k"] = b""
    part.release()
    of_it.release()
    t["k"] = b""
    with t.snapshot() as s:  # the thread's readers serve on
        assert s["k"] == b""


def fill(t):
    def work():
        for i in range(2000):
            t["k"] = bytes([i % 256]) * 200

    writer = threading.Thread(target=work)
    writer.start()
    writer.join()


def test_view_that_outlives_its_thread(t):
    t["k"] = bytes(range(200))
    got = []

    def work():
        s = t.snapshot()
        got.append(s.view("k")[:100])

    thread = threading.Thread(target=work)
    thread.start()
    while not got:
        pass
    fill(t)
    assert bytes(got[0]) == bytes(range(100))
    got.pop().release()
    thread.join()


def test_snapshot_of_another_thread(t):
    t["k"] = b"v"
    s = t.snapshot()
    seen = []

    def work():
        try:
            s["k"]
        except tidemark.Thread as error:
            seen.append(error.code)
        s.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [-23]
    t["k"] = b"w"  # the thread that began it ends it here


def test_dropped_snapshot_ends(t):
    t["k"] = b"v"
    t.snapshot()
    view = t.snapshot().view("k")
    with pytest.raises(ValueError):
        view[0]
    t["k"] = b"w"
    for _ in range(100):
        with t.snapshot() as s:
            s["k"]


@forks
def test_view_of_another_process_is_a_copy(t):
    t["k"] = b"v"

    def work():
        with t.snapshot() as s:
            view = s.view("k")
            assert view == b"v" and s["k"] == b"v" and s.items() == [(b"k", b"v")]
        assert view == b"v"

    assert joined(child(work))
