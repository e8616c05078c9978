# SPDX-License-Identifier: LGPL-2.1-or-later
"""The example for gunicorn: each page is made once by all workers, also after the worker that led was killed."""
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import tidemark

pytest.importorskip("gunicorn")
EXAMPLE = os.environ.get("TIDEMARK_EXAMPLE")


class Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.host)


def ask(place, path):
    connection = Local(place, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers["X-Worker"]
    finally:
        connection.close()


def ask_again(place, path):
    """A request that a killed worker had taken is lost."""
    while True:
        try:
            status, body, worker = ask(place, path)
            if status == 200:
                return body, worker
        except OSError:
            pass
        time.sleep(0.02)


@pytest.mark.skipif(EXAMPLE is None, reason="TIDEMARK_EXAMPLE is the folder of app.py")
@pytest.mark.parametrize("preload", [True, False])
def test_pages_are_made_once(folder, tmp_path, preload):
    place = str(tmp_path / "s")
    words = [sys.executable, "-m", "gunicorn", "--workers", "3", "--bind", "unix:" + place, "--log-level", "error"]
    server = subprocess.Popen(words + (["--preload"] if preload else []) + ["app:app"], cwd=EXAMPLE)
    try:
        while not os.path.exists(place):
            assert server.poll() is None
            time.sleep(0.02)
        with ThreadPoolExecutor(9) as pool:
            first = list(pool.map(lambda n: ask_again(place, f"/{n % 5}")[0], range(60)))
        with tidemark.open("gunicorn", create=False, lead=False) as t:
            assert t.mget([f"made/{n}" for n in range(5)]) == [b"1"] * 5
            assert len(set(first)) == 5 and int(t["requests"]) >= 60
            leader = t.info()["leader_pid"]
            assert (leader == server.pid) == preload
            while t.info()["replicas"] < (4 if preload else 3):
                time.sleep(0.02)
            if not preload:
                os.kill(leader, signal.SIGKILL)
                while t.info()["leader_pid"] in (0, leader):
                    time.sleep(0.02)
            with ThreadPoolExecutor(9) as pool:
                again = list(pool.map(lambda n: ask_again(place, f"/{n % 5}")[0], range(60)))
            assert set(again) == set(first)
            assert t.mget([f"made/{n}" for n in range(5)]) == [b"1"] * 5
    finally:
        server.terminate()
        server.wait()
