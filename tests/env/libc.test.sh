#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Another C library, and no shared one: every source of the library compiles with musl, and a static program works. A program is
# linked with musl where URCU_MUSL says where a liburcu for musl is installed; distributions with glibc have none.
set -u
. tests/env/lib.sh
[ -z "${TIDE_SANITIZE:-}" ] || skip "sanitizers need a shared C library"
[ "${1:-}" = inside ] || run_inside 64m
cat >"$work/use.c" <<'C'
#include <stdio.h>
#include "engine/tidemark.h"
int main(void) {
    struct tide *d;
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    struct tide_reader *reader;
    char value[8];
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = o.table_bytes = 1 << 20;
    r.role = TIDE_LEADER;
    r.candidate = 1;
    int error = tide_open(&d, "use", &o);
    error = error != 0 ? error : tide_replica_start(d, &r, NULL);
    r.role = TIDE_FOLLOWER;
    error = error != 0 ? error : tide_replica_start(d, &r, NULL);
    error = error != 0 ? error : tide_reader_open(d, NULL, &reader);
    error = error != 0 ? error : tide_put(d, reader, "k", 1, "v", 1, NULL);
    error = error != 0 ? error : tide_get(reader, "k", 1, NULL, value, sizeof(value), NULL);
    error = error != 0 ? error : tide_reader_close(reader);
    error = error != 0 ? error : tide_close(d);
    printf("%s\n", tide_strerror(error));
    return error != 0;
}
C
if compile "$work/use.c" "$work/static" -static 2>"$work/err"; then
    "$work/static" >"$work/out" 2>&1 || bad "a static program: status $?: $(cat "$work/out")"
else
    bad "a static program cannot be linked: $(head -n 3 "$work/err")"
fi
command -v musl-gcc >/dev/null || { echo "no musl-gcc here: that part is left out"; finish; }
musl() {
    musl-gcc -std=gnu11 -O1 -Werror -D_GNU_SOURCE -D_LGPL_SOURCE -fvisibility=hidden -I. "$@" -idirafter /usr/include \
        -idirafter "/usr/include/$(uname -m)-linux-gnu"
}
objects=
for source in shm/*.c engine/*/*.c; do
    object=$work/$(echo "$source" | tr / _).o
    objects="$objects $object"
    musl ${URCU_MUSL:+-I"$URCU_MUSL/include"} -c "$source" -o "$object" 2>"$work/err" ||
        bad "$source with musl: $(grep -m 1 error "$work/err")"
done
if [ -n "${URCU_MUSL:-}" ] && [ "$wrong" = 0 ]; then
    # shellcheck disable=SC2086 # objects are words
    musl -I"$URCU_MUSL/include" "$work/use.c" $objects -static -L"$URCU_MUSL/lib" -lurcu-memb -lurcu-common -o "$work/musl" 2>"$work/err" ||
        bad "linking with musl: $(head -n 3 "$work/err")"
    "$work/musl" >"$work/out" 2>&1 || bad "a program with musl: status $?: $(cat "$work/out")"
fi
finish
