# SPDX-License-Identifier: LGPL-2.1-or-later
import os

import pytest

import tidemark


@pytest.fixture(autouse=True)
def folder(tmp_path_factory, monkeypatch):
    path = tmp_path_factory.mktemp("shm")
    monkeypatch.setenv("TIDE_SHM_DIR", str(path))
    yield path
    for name in os.listdir(path):
        os.unlink(path / name)


@pytest.fixture
def t(folder):
    with tidemark.open("t", ring=1 << 20, table=4 << 20) as domain:
        yield domain


forks = pytest.mark.skipif("TIDEMARK_TEST_NO_FORK" in os.environ, reason="TIDEMARK_TEST_NO_FORK is set: no child is forked")


def child(work):
    """Run work() in a forked child; its pid."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def joined(*pids):
    return [os.waitpid(pid, 0)[1] for pid in pids] == [0] * len(pids)
