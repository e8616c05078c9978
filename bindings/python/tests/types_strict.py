# SPDX-License-Identifier: LGPL-2.1-or-later
# Checked by mypy --strict, not run: what the types say of the common calls.
from typing import Optional

import tidemark

with tidemark.open("types", ring=1 << 16) as t:
    t[b"k"] = b"v"
    value: bytes = t["k"]
    maybe: Optional[bytes] = t.get("k", max_staleness=0.2)
    a: tidemark.Answer = t.get("k", answer=True)
    reason: str = a.reason
    n: int = t.incr("n", 2)
    with t.batch() as b:
        b.put("a", b"1", ttl=3)
    with t.snapshot() as s:
        view: Optional[memoryview] = s.view("k")
    for e in t.watch(prefix="k"):
        kind: str = e.kind

    @t.cached(ttl=3)
    def page(name: str) -> bytes:
        return name.encode()

    made: bytes = page("x")
    t.get(1)  # type: ignore[arg-type]
