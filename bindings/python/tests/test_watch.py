# SPDX-License-Identifier: LGPL-2.1-or-later
import asyncio
import threading

import pytest

import tidemark


def test_changes(t):
    t["w/0"] = b"0"
    with t.watch(prefix="w/") as w:
        assert w.next(0) is None
        t["w/1"] = b"1"
        t["other"] = b"x"
        with t.batch() as b:
            b.put("w/2", b"2", ttl=50)
            b.delete("w/1")
        first, second, third = next(w), next(w), w.next(timeout=5)
    assert (first.kind, first.key, first.value, first.more, first.ttl) == ("put", b"w/1", b"1", False, None)
    assert (second.key, second.more) == (b"w/2", True) and 49 < second.ttl <= 50
    assert (third.kind, third.key, third.value, third.more) == ("delete", b"w/1", None, False)
    assert list(w) == []  # closed
    with pytest.raises(tidemark.Closed):
        w.next()


def test_initial_and_since(t):
    t["a"] = b"1"
    t["b"] = b""
    w = t.watch(initial=True)
    assert sorted((next(w).key, next(w).key)) == [b"a", b"b"]
    assert next(w).kind == "synced"
    t["c"] = b"3"
    assert next(w).key == b"c"
    token = w.token
    t["d"] = b"4"
    assert t.watch(since=token).next(5).key == b"d"
    w.close()


def test_expired(t):
    with t.watch() as w:
        t.put("k", b"v", ttl=0.02)
        assert [next(w).kind, next(w).kind] == ["put", "expire"]


def test_waiting_thread_lets_others_run(t):
    w = t.watch()
    got = []
    thread = threading.Thread(target=lambda: got.extend(event.key for event in w))
    thread.start()
    for i in range(100):
        t[f"{i}"] = b""
    while len(got) < 100:
        pass
    w.close()
    thread.join()
    assert got == [b"%d" % i for i in range(100)]


def test_lost(folder):
    with tidemark.open("small", ring=1 << 16, table=1 << 20) as t:
        w = t.watch()
        for i in range(3000):
            t["k"] = bytes(100)
        with pytest.raises(tidemark.Lost):
            w.next(0)


def test_async(t):
    async def work():
        got = []

        async def read():
            async for event in t.watch():
                got.append(event.key)
                if len(got) == 200:
                    return

        task = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        for i in range(200):
            t[f"{i}"] = b""
            if i % 50 == 0:
                await asyncio.sleep(0)
        await asyncio.wait_for(task, 20)
        return got

    assert asyncio.run(work()) == [b"%d" % i for i in range(200)]


def test_async_cancelled_loses_nothing(t):
    async def work():
        w = t.watch()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(w.__anext__(), 0.01)
        t["k"] = b"v"
        event = await asyncio.wait_for(w.__anext__(), 20)
        return event.key

    assert asyncio.run(work()) == b"k"


def test_async_ends_when_it_is_closed(t):
    async def work():
        w = t.watch()

        async def read():
            return [event async for event in w]

        task = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        await asyncio.get_running_loop().run_in_executor(None, w.close)
        assert await asyncio.wait_for(task, 20) == []
        assert [event async for event in w] == []

    asyncio.run(work())
