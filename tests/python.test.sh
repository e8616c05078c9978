#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The Python package: built as a wheel, installed into a fresh environment without a network, and its own tests (bindings/python/tests).
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: the interpreter has no sanitizer"; exit 77; }
python=/usr/bin/python3
[ -x "$python" ] || python=python3
"$python" -c '
import os, sys, sysconfig
import setuptools, wheel, pip, pytest
sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h") or sys.version_info < (3, 9))' 2>/dev/null ||
    { echo "skipped: python3-dev, python3-pip, python3-setuptools, python3-wheel or python3-pytest is not here"; exit 77; }
build=${TIDE_BUILD:-build}
archive=$build/obj/release/embed/libtidemark_pic.a
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
unset MAKEFLAGS MAKEOVERRIDES
CFLAGS=-Werror PYTHONDONTWRITEBYTECODE=1 TIDEMARK_BUILD=$tmp/build TIDEMARK_ARCHIVE=$archive
export CFLAGS PYTHONDONTWRITEBYTECODE TIDEMARK_BUILD TIDEMARK_ARCHIVE
"$python" -m pip -q wheel --no-build-isolation --no-deps --no-index -w "$tmp/wheel" ./bindings/python >"$tmp/log" 2>&1 ||
    { cat "$tmp/log"; echo "the wheel was not built"; exit 1; }
case $(ls "$tmp/wheel") in
tidemark-*-cp39-abi3-*.whl) ;;
*) ls "$tmp/wheel"; echo "that is no wheel for Python 3.9 and later"; exit 1 ;;
esac
"$python" -m venv --without-pip --system-site-packages "$tmp/venv"
"$python" -m pip -q --python "$tmp/venv/bin/python" install --no-index --no-deps --no-compile "$tmp"/wheel/*.whl >"$tmp/log" 2>&1 ||
    { cat "$tmp/log"; echo "the wheel was not installed"; exit 1; }
so=$(find "$tmp/venv" -name '_tidemark*.so')
# Nothing of the library, and no name of the interpreter that is not of its stable interface (PyUnicode_AsUTF8AndSize: 3.10 made it so).
shown=$(nm -D --defined-only "$so" | awk '$3 !~ /^PyInit__tidemark$/ && $2 != "w"')
[ -z "$shown" ] || { echo "shown: $shown"; exit 1; }
# The example, against the installed package.
TIDE_SHM_DIR=$tmp timeout 60 "$tmp/venv/bin/python" examples/python-prefork/server.py >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "the example failed"; exit 1; }
grep -q '^200 requests, 200 counted, .*: 5 pages were made$' "$tmp/log" || { cat "$tmp/log"; echo "the example: that is not each page once"; exit 1; }
# The lines of README.md, as they stand there.
{ echo 'import tidemark'; awk '/^```python$/ { inside = 1; next } /^```/ { inside = 0 } inside' README.md; echo '    print(page("x"), t["k"], t["n"])'; } >"$tmp/readme.py"
TIDE_SHM_DIR=$tmp timeout 60 "$tmp/venv/bin/python" "$tmp/readme.py" >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "the lines of README.md failed"; exit 1; }
grep -q "^b'made once by all workers' b'v' b'1'$" "$tmp/log" || { cat "$tmp/log"; echo "the lines of README.md do something else"; exit 1; }
# The types are those of the module, and calls that are right are right for a strict checker.
if "$python" -c 'import mypy.stubtest' 2>/dev/null; then
    cp bindings/python/tests/types_strict.py "$tmp"
    echo 'tidemark\._types\.NamedTuple' >"$tmp/allowed" # typing's own
    (cd "$tmp" && "$tmp/venv/bin/python" -m mypy --strict --cache-dir "$tmp/mypy" types_strict.py && "$tmp/venv/bin/python" -m mypy.stubtest tidemark --allowlist allowed) >"$tmp/log" 2>&1 ||
        { cat "$tmp/log"; echo "the types are wrong"; exit 1; }
else
    echo "no mypy: the types were not checked"
fi
TIDEMARK_EXAMPLE=$PWD/examples/python-prefork
export TIDEMARK_EXAMPLE
"$python" -c 'import gunicorn' 2>/dev/null || echo "no gunicorn: its example was not tried"
cd bindings/python/tests
TMPDIR=$tmp timeout 120 "$tmp/venv/bin/python" -X faulthandler -m pytest -q -p no:cacheprovider . || exit 1
