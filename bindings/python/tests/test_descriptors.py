# SPDX-License-Identifier: LGPL-2.1-or-later
"""An interpreter whose standard descriptors are closed: none of the library's takes their numbers."""
import itertools
import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, tidemark
t = tidemark.open("closed", ephemeral=True, ring=1 << 20, table=4 << 20)
t["k"] = b"v"
ours = [fd for fd in range(64) if os.path.exists(f"/proc/self/fd/{fd}") and "tidemark.closed." in os.readlink(f"/proc/self/fd/{fd}")]
assert ours and min(ours) >= 3, ours
try:
    os.write(1, b"some output"); os.write(2, b"some more")
except OSError:
    pass
assert t["k"] == b"v"
t.close()
os._exit(42)
"""


@pytest.mark.parametrize("closed", [c for n in (1, 2, 3) for c in itertools.combinations((0, 1, 2), n)])
def test_standard_descriptors_closed(closed):
    def close():
        for fd in closed:
            os.close(fd)

    done = subprocess.run([sys.executable, "-c", PROGRAM], preexec_fn=close, timeout=60)
    assert done.returncode == 42
