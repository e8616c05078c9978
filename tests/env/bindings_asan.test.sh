#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The extensions for Python and for Node under AddressSanitizer, which is loaded ahead of interpreters that know nothing of it: their tests, and
# for Node, whose process frees what it has when it ends, no leak of the addon's. What the interpreters leak is theirs.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: it builds what it needs"; exit 77; }
command -v pkg-config >/dev/null 2>&1 || { echo "skipped: there is no pkg-config here"; exit 77; }
asan=$(gcc -print-file-name=libasan.so 2>/dev/null || :)
ubsan=$(gcc -print-file-name=libubsan.so 2>/dev/null || :)
case $asan$ubsan in /*/*) ;; *) echo "skipped: gcc has no libasan"; exit 77 ;; esac
tree=$PWD
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
make -s install CC="${CC:-gcc}" BUILD="${TIDE_BUILD:-build}" DESTDIR= PREFIX="$tmp/usr" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
unset MAKEFLAGS MAKEOVERRIDES
PKG_CONFIG_PATH=$tmp/usr/lib/pkgconfig LD_LIBRARY_PATH=$tmp/usr/lib TIDE_SHM_DIR=$tmp/shm UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
export PKG_CONFIG_PATH LD_LIBRARY_PATH TIDE_SHM_DIR UBSAN_OPTIONS
mkdir "$tmp/shm" "$tmp/app" "$tmp/app/node_modules"
common=abort_on_error=1:use_sigaltstack=0
tried=

headers=$(node -p 'require("path").resolve(process.execPath, "../../include/node/node_api.h")' 2>/dev/null || :)
if [ -r "${headers:-/none}" ] && command -v npm >/dev/null 2>&1; then
    module=$tmp/app/node_modules/tidemark
    cp -R bindings/node "$module"
    rm -rf "$module/build"
    sed -i 's/"-O3"/"-O1", "-g", "-fsanitize=address,undefined", "-fno-omit-frame-pointer"/; s/"ldflags": \[/&"-fsanitize=address,undefined", /; s/-z,defs,//' "$module/binding.gyp"
    (cd "$module" && HOME=$tmp node install.js) >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    nm -D "$module/build/Release/tidemark.node" | grep -q __asan_ || { echo "the addon has no sanitizer"; exit 1; }
    cp "$module/test/leaks_at_exit.js" "$tmp/app"
    (cd "$tmp/app" && ASAN_OPTIONS=$common:detect_leaks=1:fast_unwind_on_malloc=0:exitcode=0:abort_on_error=0 LD_PRELOAD="$asan $ubsan" timeout 100 node leaks_at_exit.js) >"$tmp/log" 2>&1 ||
        { cat "$tmp/log"; echo "node: it failed"; exit 1; }
    ! grep -qE 'ERROR: AddressSanitizer|runtime error' "$tmp/log" || { cat "$tmp/log"; exit 1; }
    leaks=$(awk '/(Direct|Indirect) leak/ { part = "" } { part = part "\n" $0 } /^$/ { if (part ~ /leak of/ && part ~ /src\/(addon|domain|make|read|snapshot|watch|write)\.c|libtidemark/) print part; part = "" }' "$tmp/log")
    [ -z "$leaks" ] || { echo "$leaks"; echo "the addon leaks"; exit 1; }
    cp -R "$module/test" "$tmp/app/test"
    (cd "$tmp/app" && ASAN_OPTIONS=$common:detect_leaks=0 LD_PRELOAD="$asan $ubsan" TIDEMARK_TEST_DIR=$tmp/shm timeout 200 node --expose-gc --test test/api.test.js test/watch.test.js test/edges.test.js) >"$tmp/log" 2>&1 ||
        { tail -n 60 "$tmp/log"; exit 1; }
    tried="$tried node"
fi

python=/usr/bin/python3
if "$python" -c '
import os, sys, sysconfig
import setuptools, wheel, pip, pytest
sys.exit(not os.path.exists(sysconfig.get_paths()["include"] + "/Python.h"))' 2>/dev/null; then
    CFLAGS="-fsanitize=address -fno-omit-frame-pointer -g" LDFLAGS=-fsanitize=address PYTHONDONTWRITEBYTECODE=1 TIDEMARK_BUILD=$tmp/build TIDEMARK_LINK=shared \
        "$python" -m pip -q wheel --no-build-isolation --no-deps --no-index -w "$tmp/wheel" ./bindings/python >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    "$python" -m venv --without-pip --system-site-packages "$tmp/venv"
    "$python" -m pip -q --python "$tmp/venv/bin/python" install --no-index --no-deps --no-compile "$tmp"/wheel/*.whl >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    # Not test_leaks: freed memory stays with the sanitizer for a while. No forked child: the allocator of gcc 12's sanitizer holds no lock of its own
    # across fork(), so a child waits for ever in malloc() where a thread of its parent allocated just then.
    (cd "$tree/bindings/python/tests" && ASAN_OPTIONS=$common:detect_leaks=0 LD_PRELOAD=$asan PYTHONMALLOC=malloc TIDEMARK_TEST_NO_FORK=1 PYTHONDONTWRITEBYTECODE=1 TMPDIR=$tmp \
        timeout 200 "$tmp/venv/bin/python" -X faulthandler -m pytest -q -p no:cacheprovider --ignore test_leaks.py --ignore test_gunicorn.py .) >"$tmp/log" 2>&1 ||
        { tail -n 60 "$tmp/log"; exit 1; }
    tried="$tried python"
fi
[ -n "$tried" ] || { echo "skipped: neither Python's headers nor Node's are here"; exit 77; }
echo "tried:$tried"
