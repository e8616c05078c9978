#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each example builds by its own Makefile against an installed library, without a warning, and runs.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: the installed library is the plain one"; exit 77; }
command -v pkg-config >/dev/null 2>&1 || { echo "skipped: the examples are built by pkg-config, which is not here"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
make -s install CC="${CC:-gcc}" BUILD="${TIDE_BUILD:-build}" DESTDIR= PREFIX="$tmp/usr" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
cp -R examples "$tmp/examples"
PKG_CONFIG_PATH=$tmp/usr/lib/pkgconfig LD_LIBRARY_PATH=$tmp/usr/lib PATH=$tmp/usr/bin:$PATH
export PKG_CONFIG_PATH LD_LIBRARY_PATH PATH
unset MAKEFLAGS MAKEOVERRIDES # flags of the caller's make are not the examples'
mkdir "$tmp/shm"
TIDE_SHM_DIR=$tmp/shm
export TIDE_SHM_DIR
example() { # folder program words
    cd "$tmp/examples/$1"
    case $1 in cxx) command -v c++ >/dev/null 2>&1 || { echo "no C++ compiler: $1 was not tried"; return 0; } ;; esac
    make -s >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    [ ! -s "$tmp/log" ] || { echo "$1: the compiler warns:"; cat "$tmp/log"; exit 1; }
    "./$2" >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "$1: it failed"; exit 1; }
    grep -qE "$3" "$tmp/log" || { cat "$tmp/log"; echo "$1: it did not say $3"; exit 1; }
}
example prefork prefork '^worker 3: 10000 requests'
example cxx example '^1000 bytes, fresh'
example plugin host '^round 2: loaded'
example inspect inspect '^.*dead'
[ -z "$(ls "$TIDE_SHM_DIR")" ] || { echo "left behind:"; ls "$TIDE_SHM_DIR"; exit 1; }
if [ "$(id -u)" = 0 ] && unshare --mount --pid --ipc --fork true 2>/dev/null && mount -t tmpfs tmpfs "$tmp/shm" 2>/dev/null; then
    umount "$tmp/shm"
    timeout 60 sh "$tmp/examples/containers/try.sh" >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "containers: it failed"; exit 1; }
    grep -q '"value": *"hello"' "$tmp/log" || { cat "$tmp/log"; echo "containers: no value"; exit 1; }
else
    echo "no namespaces here: containers was not tried"
fi
