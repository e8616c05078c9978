#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A watchdog beside real processes. A leader that answers is not killed, however many processes and threads wrote once and stay, more of
# them than there are lanes; a leader that is stopped is killed, and a candidate goes on.
set -u
. tests/env/lib.sh
[ "${1:-}" = inside ] || run_inside 256m
compile - "$work/idle" <<'C' || exit 1
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
#include "engine/tidemark.h"
#define THREADS 80
static pthread_barrier_t all;
static struct tide *d;
static void *writes_once(void *failed) {
    pthread_barrier_wait(&all);
    if (tide_put(d, NULL, "idle", 4, "v", 1, NULL) != 0) {
        *(int *)failed = 1;
    }
    pthread_barrier_wait(&all);
    pause();
    return NULL;
}
int main(void) {
    pthread_t thread;
    static int failed[THREADS];
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = 0;
    o.write_timeout_ns = TIDE_UNBOUNDED;
    if (tide_open(&d, "d", &o) != 0 || pthread_barrier_init(&all, NULL, THREADS + 1) != 0) {
        return 1;
    }
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&thread, NULL, writes_once, &failed[i]) != 0) {
            return 1;
        }
    }
    pthread_barrier_wait(&all);
    pthread_barrier_wait(&all);
    for (int i = 0; i < THREADS; i++) {
        if (failed[i] != 0) {
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);
    pause();
    return 0;
}
C

await() { # file, words
    for i in $(seq 200); do
        grep -qs "$2" "$1" && return
        sleep 0.1
    done
    bad "never '$2': $(cat "$1")"
}

"$tide" serve d --ring 1M --table 4M --followers 0 >"$work/serve" 2>&1 &
leader=$!
await "$work/serve" ready
"$tide" follow d --watchdog 500ms >"$work/follow" 2>&1 &
follower=$!
await "$work/follow" ready
"$work/idle" >"$work/idle.out" 2>&1 &
idle=$!
await "$work/idle.out" ready

# Far more looks of the watchdog than it needs to kill a leader that does not answer.
for i in $(seq 16); do
    "$tide" put d k "$i" --timeout 20s >"$work/out" 2>&1 || bad "put $i beside idle writers: $(cat "$work/out")"
    sleep 0.25
done
kill -0 "$leader" 2>/dev/null || bad "the leader that answers was killed: $(cat "$work/follow")"
grep -q 'was killed' "$work/follow" && bad "the watchdog says it killed: $(cat "$work/follow")"

kill -STOP "$leader"
await "$work/follow" "process $leader, did not answer and was killed"
wait "$leader"
status=$?
[ "$status" = 137 ] || bad "the leader that was stopped: status $status"
"$tide" put d k after --timeout 20s >"$work/out" 2>&1 || bad "put after the watchdog: $(cat "$work/out")"
[ "$("$tide" get d k)" = after ] || bad "get after the watchdog"
kill -KILL "$idle"
kill -TERM "$follower"
wait "$follower" || bad "the end of follow: status $?"
finish
