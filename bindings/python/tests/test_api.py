# SPDX-License-Identifier: LGPL-2.1-or-later
import math
import os
import time

import pytest

import tidemark


def test_mapping(t):
    t[b"k"] = b"v"
    assert t[b"k"] == t["k"] == t.get("k", max_staleness=0.2) == b"v"
    assert "k" in t and b"none" not in t
    assert t.get("none") is None and t.get("none", b"d") == b"d" and t.get("none", default=1) == 1
    with pytest.raises(KeyError):
        t["none"]
    del t["k"]
    assert t.get("k") is None
    del t["k"]  # a write like any other
    t["schlüssel"] = b""
    assert t["schlüssel".encode()] == b""


def test_a_fed_domain_has_an_error_of_its_own():
    made = tidemark.make_error(-34, "put", "fed", "")
    assert type(made) is tidemark.Fed and made.code == -34


def test_values_of_all_sizes_and_kinds(t):
    for size in (0, 1, 1023, 1024, 1025, 65536, 65537, 200_000):
        value = os.urandom(size)
        t["size"] = value
        assert t["size"] == value and t.get("size") == value and t.mget(["size"]) == [value]
    t["a"] = bytearray(b"abc")
    t["b"] = memoryview(b"abcdef")[::2]
    assert t["a"] == b"abc" and t["b"] == b"ace"
    for wrong in ("text", 1, None, [1]):
        with pytest.raises(TypeError):
            t["k"] = wrong
    for wrong in (1, None, bytearray(b"k")):
        with pytest.raises(TypeError):
            t.get(wrong)


def test_arguments_are_checked(t):
    for call in (
        lambda: t.get(),
        lambda: t.get("k", nothing=1),
        lambda: t.get("k", key="k"),
        lambda: t.put("k"),
        lambda: t.get("k", after=1),
        lambda: t.put("k", b"", 1, True, 2),
    ):
        with pytest.raises(TypeError):
            call()
    for call in (
        lambda: t.get("k", max_staleness=-1),
        lambda: t.get("k", max_staleness=math.nan),
        lambda: t.get("k", fallback="elsewhere"),
        lambda: t.get(""),
        lambda: tidemark.open("x" * 49),
        lambda: tidemark.open("a/b"),
        lambda: tidemark.open("a", evict="lru"),
    ):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(OverflowError):
        t.incr("k", 1 << 63)


def test_answer(t):
    t["k"] = b"v"
    a = t.get("k", answer=True)
    assert (a.value, a.reason, a.linearizable, a.stale, a.ttl) == (b"v", "fresh", True, False, None)
    assert a.version == a.index == t.token().index and a.staleness == 0.0 and a.served_by == 0
    missing = t.get("none", answer=True)
    assert missing.value is None and missing.index == a.index
    assert t.mget(["k", "none"], answer=True).value == [b"v", None]
    assert t.mget([]) == [] and t.mget([], answer=True).value == []
    assert t.get("k", max_staleness=math.inf, max_lag=10, wait=0.1, fallback="stale") == b"v"


def test_ttl(t):
    t.put("short", b"v", ttl=0.05)
    t.put("long", b"v", ttl=30)
    assert 0 < t.get("long", answer=True).ttl <= 30
    t.touch("long", 100)
    assert 30 < t.get("long", answer=True).ttl <= 100
    while "short" in t:
        time.sleep(0.01)
    assert t.get("short") is None
    with pytest.raises(tidemark.NotFound):
        t.touch("short", 1)
    t.put("ever", b"v", ttl=math.inf)
    assert t.get("ever", answer=True).ttl is None
    with tidemark.open("dies", default_ttl=50, table=1 << 20, ring=1 << 16) as d:
        d["k"] = b"v"
        assert 0 < d.get("k", answer=True).ttl <= 50


def test_incr_and_cas(t):
    assert t.incr("n") == 1 and t.incr("n", 41) == 42 and t.incr("n", by=-2) == 40 and t["n"] == b"40"
    t["text"] = b"abc"
    with pytest.raises(tidemark.Number) as number:
        t.incr("text")
    assert isinstance(number.value, ValueError) and number.value.code == -32
    t["most"] = str(2**63 - 1).encode()
    with pytest.raises(OverflowError):
        t.incr("most")
    first = t.cas("c", 0, b"1")
    second = t.cas("c", first, b"2", ttl=10)
    assert t["c"] == b"2"
    with pytest.raises(tidemark.Mismatch) as mismatch:
        t.cas("c", first, b"3")
    assert mismatch.value.found == second and t["c"] == b"2"


def test_batch(t):
    t["gone"] = b"1"
    with t.batch() as b:
        b.put("a", b"1", ttl=20)
        b["b"] = b"2"
        b.incr("n", 5)
        b.incr("n", 6)
        del b["gone"]
        b.touch("b", 10)
        assert len(b) == 6 and "a" not in t
    assert b.results[2:4] == [5, 11] and t.mget(["a", "b", "n", "gone"]) == [b"1", b"2", b"11", None]
    with pytest.raises(tidemark.Mismatch, match="operation 1"):
        with t.batch() as b:
            b.put("a", b"new")
            b.cas("b", 1, b"new")
    assert t["a"] == b"1"
    with pytest.raises(ZeroDivisionError):
        with t.batch() as b:
            b.put("a", b"new")
            1 / 0
    assert t["a"] == b"1"
    with t.batch() as b:
        pass
    assert b.results == []


def test_tokens(t):
    t["k"] = b"v"
    token = t.token()
    assert token.index == 1 and t.get("k", after=token) == b"v"
    t.observe(token)
    t.wait_applied(token, 1, timeout=5)
    with pytest.raises(TimeoutError):
        t.wait_applied(token, 2, timeout=0)
    with pytest.raises(tidemark.Incarnation):
        t.get("k", after=(1, 1))
    with pytest.raises(tidemark.FenceAhead):
        t.get("k", after=token._replace(index=100))


def test_errors(folder):
    with pytest.raises(tidemark.NoDomain) as none:
        tidemark.open("none", create=False)
    assert none.value.code == -5 and "open none" in str(none.value)
    with tidemark.open("e", ring=1 << 16, table=1 << 20, ephemeral=True) as t:
        with pytest.raises(tidemark.Exists):
            tidemark.open("e", exclusive=True)
        with pytest.raises(tidemark.TooBig):
            t["k"] = bytes(1 << 16)
        with pytest.raises(tidemark.Full):
            for i in range(100_000):
                t[f"k{i}"] = bytes(1000)
    assert t.closed and repr(t) == "<tidemark.Domain 'e', closed>"
    t.close()
    with pytest.raises(tidemark.Closed):
        t.get("k")
    with pytest.raises(tidemark.Closed):
        t["k"] = b"v"
    assert os.listdir(folder) == []


def test_evict(folder):
    with tidemark.open("e", ring=1 << 16, table=1 << 20, evict="s3fifo") as t:
        for i in range(2000):
            t[f"k{i}"] = bytes(1000)
        assert t.info()["evicted_total"] > 0 and "k1999" in t


def test_lead_false_waits_for_a_leader(folder):
    with tidemark.open("l", lead=False, write_timeout=0.01, ring=1 << 16, table=1 << 20) as hasty:
        with pytest.raises(tidemark.NoLeader):
            hasty["k"] = b"v"
        with tidemark.open("l") as leader, tidemark.open("l", lead=False, write_timeout=60) as t:
            leader["k"] = b"v"
            assert t["k"] == b"v"
            t["other"] = b"w"
            assert leader["other"] == b"w"


def test_replica_of_its_own(t):
    t["k"] = b"v"
    with tidemark.open("t", lead=False, replica=True) as other:
        assert other["k"] == b"v" and other.info()["replicas"] == 2
        other["k"] = b"w"
        assert t["k"] == b"w"


def test_who_uses_leads_where_the_leader_has_gone(folder):
    first = tidemark.open("g", ring=1 << 16, table=1 << 20)
    second = tidemark.open("g", replica=True)
    third = tidemark.open("g")
    first["k"] = b"v"
    first.close()
    third["l"] = b"w"
    assert third["k"] == b"v" and second["l"] == b"w"
    second.close()
    third["m"] = b"x"
    third.close()


def test_gone(t):
    tidemark.unlink("t")
    with pytest.raises(tidemark.Gone):
        for _ in range(2000):
            t["k"] = b"v"
            time.sleep(0.005)
    with pytest.raises(tidemark.NoDomain):
        tidemark.unlink("t")


def test_open_is_kept_until_it_is_dropped(folder):
    t = tidemark.open("d", ring=1 << 16, table=1 << 20)
    w = t.watch()
    del t
    assert w.next(0) is None  # the watch holds it
    w.close()
    del w
    with tidemark.open("d", create=False) as again:
        assert again.info()["members"] == 1
