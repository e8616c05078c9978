#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# System calls that a sandbox refuses, by EPERM and by ENOSYS: each has a way around it, or the text says which one is needed.
set -u
. tests/env/lib.sh
[ "$(uname -m)" = x86_64 ] || skip "the numbers of system calls are x86-64's"
[ "${1:-}" = inside ] || run_inside 256m
compile "$here/refused_calls.c" "$work/refused" || exit 1
compile - "$work/use" <<'C' || exit 1
#include <stdio.h>
#include <string.h>
#include "engine/tidemark.h"
static void note(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx, (void)level;
    puts(text);
}
#define DO(call)                                                                                                       \
    do {                                                                                                               \
        int error_ = (call);                                                                                           \
        if (error_ != 0) {                                                                                             \
            printf("%s: %s\n", #call, tide_strerror(error_));                                                          \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)
int main(void) {
    struct tide *d, *other;
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    struct tide_reader *reader;
    char value[9000] = "v", got[9000];
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = o.table_bytes = 4 << 20;
    o.log = note;
    DO(tide_open(&d, "use", &o));
    r.role = TIDE_LEADER;
    r.candidate = 1;
    r.cpu = 0;
    DO(tide_replica_start(d, &r, NULL));
    r.role = TIDE_FOLLOWER;
    DO(tide_replica_start(d, &r, NULL));
    DO(tide_open(&other, "use", &o));
    DO(tide_reader_open(other, NULL, &reader));
    static char large[200000];
    for (int i = 0; i < 3000; i++) { /* replaced, retired, reused */
        memset(value, 'a' + i % 26, sizeof(value));
        DO(tide_put(i % 2 ? d : other, i % 2 ? NULL : reader, "k", 1, value, sizeof(value), NULL));
        DO(tide_get(reader, "k", 1, NULL, got, sizeof(got), NULL));
        if (memcmp(got, value, sizeof(value)) != 0) {
            puts("another value than was put");
            return 1;
        }
    }
    DO(tide_put(other, reader, "large", 5, large, sizeof(large), NULL)); /* by a file */
    DO(tide_reader_close(reader));
    DO(tide_close(other));
    DO(tide_close(d));
    return 0;
}
C
membarrier=324 renameat2=316 getrandom=318 fallocate=285 madvise=28 flock=73 prctl=157 affinity=203 statfs=137 fstatfs=138
for call in $membarrier $renameat2 $getrandom $fallocate $madvise $flock $prctl $affinity $statfs $fstatfs; do
    for errno in 1 38; do
        timeout 60 "$work/refused" $call:$errno -- "$work/use" >"$work/out" 2>&1
        status=$?
        [ "$status" = 77 ] && skip "no filter here: $(cat "$work/out")"
        [ "$status" = 0 ] || bad "system call $call, errno $errno: status $status: $(cat "$work/out")"
        [ -z "$(ls /dev/shm)" ] || { bad "system call $call left $(ls /dev/shm)"; rm -f /dev/shm/*; }
    done
done
says() { # words, rule, command...
    words=$1 rule=$2
    shift 2
    timeout 20 "$work/refused" $rule -- "$@" >"$work/out" 2>&1
    status=$?
    [ "$status" -gt 0 ] && [ "$status" -lt 124 ] || bad "$rule, $*: status $status: $(cat "$work/out")"
    grep -q -- "$words" "$work/out" || bad "$rule, $*: does not say '$words': $(cat "$work/out")"
    [ -z "$(ls /dev/shm)" ] || { bad "$rule left $(ls /dev/shm)"; rm -f /dev/shm/*; }
}
says 'F_OFD_SETLK.*Invalid argument' locks:22 "$work/use"
says 'F_OFD_SETLK' locks:1 "$tide" serve d
says 'renameat2 and link.*Operation not permitted' "$renameat2:1 86:1 265:1" "$tide" serve d --ring 1M --table 1M
finish
