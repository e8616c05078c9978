#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What does a get cost from Python, beside what one would use instead?

    make wheel && pip install build/python/tidemark-*.whl     # or PYTHONPATH=build/python/lib...
    python3 bench/python/gets.py [--keys N] [--value BYTES] [--repetitions N] [--json FILE]

10,000 keys of 16 bytes, values of 64, in random order. Contenders take turns; of each repetition the best of its slices counts, and the
table shows the median of the repetitions, with least and greatest. The loop itself is a row, and is in every figure.
First one process; then two that share the data and read at the same time while a third one writes 1,000 times a second; there a figure is
the time of one reader's get. What is not installed is left out.
"""
import argparse
import functools
import json
import multiprocessing
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import tidemark


class Contender:
    name = ""
    shared = True  # processes can share it
    share = 1  # of the keys that a slice reads: 1 for what is fast

    def fill(self, items):
        pass

    def getter(self):
        """In the process that reads; after a fork, anew."""

    def put(self, key, value):
        pass

    def close(self):
        pass


class Loop(Contender):
    name, shared = "the loop alone: a built-in that does nothing", False

    def getter(self):
        return id


class Dict(Contender):
    name, shared = "dict", False

    def fill(self, items):
        self.data = dict(items)

    def getter(self):
        return self.data.get


class Lru(Contender):
    name, shared = "functools.lru_cache, hits", False

    def fill(self, items):
        data = dict(items)
        self.call = functools.lru_cache(maxsize=None)(lambda key: data[key])
        for key in data:
            self.call(key)

    def getter(self):
        return self.call


class Tidemark(Contender):
    name = "tidemark, linearizable"
    bound = {}

    def fill(self, items):
        self.domain = tidemark.open("bench-%d" % os.getpid(), ephemeral=True)
        for key, value in items:
            self.domain[key] = value

    def getter(self):
        return self.domain.get

    def put(self, key, value):
        self.domain[key] = value

    def close(self):
        self.domain.close()


class TidemarkItem(Tidemark):
    name = "tidemark, t[key]"

    def getter(self):
        return self.domain.__getitem__


class TidemarkBound(Tidemark):
    name = "tidemark, max_staleness=0.2 named in each call"

    def getter(self):
        domain = self.domain
        return lambda key: domain.get(key, max_staleness=0.2)


class TidemarkCached(Tidemark):
    name = "tidemark, @cached, hits"

    def getter(self):
        values = {}

        @self.domain.cached(ttl=600)
        def call(key):
            return values.get(key, bytes(64))

        return call


class Lmdb(Contender):
    name = "lmdb, a transaction for each get"

    def fill(self, items):
        import lmdb

        self.lmdb, self.path = lmdb, tempfile.mkdtemp(dir="/dev/shm")
        self.env = self.open()
        with self.env.begin(write=True) as txn:
            for key, value in items:
                txn.put(key, value)
        self.pid = os.getpid()

    def open(self):
        return self.lmdb.open(self.path, map_size=1 << 28, sync=False, metasync=False, writemap=True)

    def getter(self):
        if self.pid != os.getpid():
            self.env = self.open()
        env = self.env

        def get(key):
            with env.begin() as txn:
                return txn.get(key)

        return get

    def put(self, key, value):
        if self.pid != os.getpid():
            self.pid, self.env = os.getpid(), self.open()
        with self.env.begin(write=True) as txn:
            txn.put(key, value)

    def close(self):
        self.env.close()
        shutil.rmtree(self.path)


class LmdbHeld(Lmdb):
    name = "lmdb, one transaction for all gets (it sees no write)"
    txn = None

    def getter(self):
        super().getter()
        self.txn = self.env.begin()
        return self.txn.get

    def close(self):
        if self.txn is not None:
            self.txn.abort()
        super().close()


class Redis(Contender):
    name, share = "redis over a Unix socket", 0.05

    def fill(self, items):
        import redis

        program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
        if program is None:
            raise ImportError("redis-server")
        self.path = tempfile.mkdtemp()
        self.socket = self.path + "/socket"
        self.server = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", self.path],
            executable=program,
            stdout=subprocess.DEVNULL,
        )
        while not os.path.exists(self.socket):
            time.sleep(0.01)
        self.redis, self.pid = redis, None
        self.connect().mset(dict(items))

    def connect(self):
        if self.pid != os.getpid():
            self.pid, self.client = os.getpid(), self.redis.Redis(unix_socket_path=self.socket)
        return self.client

    def getter(self):
        return self.connect().get

    def put(self, key, value):
        self.connect().set(key, value)

    def close(self):
        self.server.terminate()
        self.server.wait()
        shutil.rmtree(self.path)


class Diskcache(Contender):
    name, share = "diskcache in /dev/shm", 0.05

    def fill(self, items):
        import diskcache

        self.path = tempfile.mkdtemp(dir="/dev/shm")
        self.cache = diskcache.Cache(self.path)
        with self.cache.transact():
            for key, value in items:
                self.cache.set(key, value)

    def getter(self):
        return self.cache.get

    def put(self, key, value):
        self.cache.set(key, value)

    def close(self):
        self.cache.close()
        shutil.rmtree(self.path)


class Manager(Contender):
    name, share = "multiprocessing.Manager, its dict", 0.05

    def fill(self, items):
        self.manager = multiprocessing.Manager()
        self.data = self.manager.dict(dict(items))

    def getter(self):
        return self.data.get

    def put(self, key, value):
        self.data[key] = value

    def close(self):
        self.manager.shutdown()


CONTENDERS = [Loop, Dict, Lru, Tidemark, TidemarkItem, TidemarkBound, TidemarkCached, Lmdb, LmdbHeld, Redis, Diskcache, Manager]


def read(get, keys):
    """ns a get: the best of slices so short that some of them run undisturbed."""
    best = float("inf")
    parts = [keys[at : at + 1000] for at in range(0, len(keys), 1000)]
    for _ in range(12):
        for part in parts:
            began = time.perf_counter_ns()
            for key in part:
                get(key)
            best = min(best, (time.perf_counter_ns() - began) / len(part))
    return best


def forked(work):
    """work()'s result, from a child that begins when go() is called."""
    here, there = multiprocessing.Pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            there.recv()
            there.send(work())
            status = 0
        finally:
            os._exit(status)

    def end():
        result = here.recv() if here.poll(60) else None
        os.waitpid(pid, 0)
        return result

    return here, end


def write(contender, items):
    end = time.monotonic() + 0.6
    n = 0
    while time.monotonic() < end:
        contender.put(*items[n % len(items)])
        n += 1
        time.sleep(0.001)
    return n


def measure(kind, items, shared):
    contender = kind()
    contender.fill(items)
    keys = [key for key, _ in items]
    random.shuffle(keys)
    keys = keys[: max(100, int(len(keys) * contender.share))]
    try:
        if not shared:
            get = contender.getter()
            for key in keys:
                get(key)
            return read(get, keys)

        def work():
            get = contender.getter()
            return read(get, keys)

        readers = [forked(work) for _ in range(2)] + [forked(lambda: write(contender, items))]
        for pipe, _ in readers:
            pipe.send(1)
        results = [end() for _, end in readers]
        if None in results:
            raise RuntimeError(f"{kind.name}: a process failed")
        return statistics.mean(results[:2])
    finally:
        contender.close()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--keys", type=int, default=10_000)
    options.add_argument("--value", type=int, default=64)
    options.add_argument("--repetitions", type=int, default=5)
    options.add_argument("--json")
    options = options.parse_args()
    random.seed(1)
    items = [(b"key-%012d" % n, random.randbytes(options.value)) for n in range(options.keys)]
    figures = {}
    left_out = set()
    for repetition in range(options.repetitions):
        for shared in (False, True):
            for kind in CONTENDERS:
                if kind in left_out or (shared and not kind.shared):
                    continue
                try:
                    ns = measure(kind, items, shared)
                except ImportError as error:
                    left_out.add(kind)
                    print(f"left out: {kind.name}: {error}", file=sys.stderr)
                    continue
                figures.setdefault((shared, kind.name), []).append(ns)
    print(f"Python {sys.version.split()[0]}, {options.keys} keys of 16 bytes, values of {options.value}, "
          f"{options.repetitions} repetitions, load {os.getloadavg()[0]:.1f}")
    best = {}
    for shared in (False, True):
        print("\n| two processes that share it and read, one writes 1,000/s | ns a get | beside Tidemark |" if shared
              else "| one process | ns a get | beside a dict |")
        print("| --- | --- | --- |")
        base = statistics.median(figures[shared, Tidemark.name if shared else Dict.name])
        for (when, name), ns in figures.items():
            if when == shared:
                median = statistics.median(ns)
                print(f"| {name} | {median:.0f} ({min(ns):.0f} to {max(ns):.0f}) | {median / base:.1f}x |")
                best[when, name] = median
    if options.json:
        with open(options.json, "w") as file:
            json.dump([{"shared": shared, "name": name, "ns": ns} for (shared, name), ns in figures.items()], file, indent=1)
    bar = best[False, Tidemark.name] / best[False, Dict.name]
    print(f"\nbar: at most 6 times a dict's get: {bar:.1f}x, {'kept' if bar <= 6 else 'missed'}")
    rivals = [(ns / best[True, Tidemark.name], name) for (shared, name), ns in best.items() if shared and "tidemark" not in name]
    if rivals:
        ahead, name = min(rivals)
        print(f"bar: ahead by 2 of all that processes can share: {ahead:.1f}x the nearest ({name}), {'kept' if ahead >= 2 else 'missed'}")


if __name__ == "__main__":
    main()
