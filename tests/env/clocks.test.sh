#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A wall clock that is set by years, back and forth, while a domain is led, followed, written and read: nothing waits, ends or expires for
# it. (No machine's clock is set: the processes are told other times.) And another time namespace, where CLOCK_MONOTONIC says something else: no member gets in, and each command says why. What does not ask that
# clock works there, removing too.
set -u
. tests/env/lib.sh
[ "${1:-}" = inside ] || run_inside 64m

# ---- the wall clock

cat >"$work/jump.c" <<'END'
/* The wall clock, with as many seconds added as the file $JUMP has bytes, times a million; where the file is executable: taken away. */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long added(void) {
    struct stat st;
    return stat(getenv("JUMP"), &st) != 0 ? 0 : st.st_mode & 0100 ? -1000000 * (long)st.st_size : 1000000 * (long)st.st_size;
}
int clock_gettime(clockid_t clock, struct timespec *ts) {
    int rc = (int)syscall(SYS_clock_gettime, clock, ts);
    ts->tv_sec += rc == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) ? added() : 0;
    return rc;
}
time_t time(time_t *t) {
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return t != NULL ? (*t = ts.tv_sec) : ts.tv_sec;
}
int gettimeofday(struct timeval *restrict tv, void *restrict zone) {
    (void)zone;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    tv->tv_sec = ts.tv_sec;
    tv->tv_usec = ts.tv_nsec / 1000;
    return 0;
}
END
JUMP=$work/jump
export JUMP
${CC:-gcc} -shared -fPIC -O1 -D_GNU_SOURCE -o "$work/jump.so" "$work/jump.c" || exit 1
: >"$JUMP"
other_clock() { LD_PRELOAD=$work/jump.so "$@"; }
started() { # file pid
    until grep -q ready "$1"; do
        kill -0 "$2" || { bad "it ended"; exit 1; }
        sleep 0.05
    done
}
LD_PRELOAD=$work/jump.so "$tide" serve wall --followers 1 --ring 64K --table 256K >"$work/ready.0" 2>"$work/log" &
server=$!
started "$work/ready.0" $server
LD_PRELOAD=$work/jump.so "$tide" follow wall >"$work/ready.1" 2>"$work/log.1" &
follower=$!
started "$work/ready.1" $follower
"$tide" put wall kept v --ttl 1h --timeout 20s >/dev/null || bad "put: status $?"
for jump in forth back still; do
    case $jump in
    forth) printf 'a century: %3149s' '' >"$JUMP" ;;
    back) chmod 700 "$JUMP" ;;
    still) : >"$JUMP" ;;
    esac
    years=$((($(other_clock date +%s) - $(date +%s)) / 31000000))
    case $jump:$years in forth:10? | back:-10? | still:0) ;; *) bad "$jump: the clock is told to be $years years off" ;; esac
    for i in 1 2 3; do
        other_clock "$tide" put wall "$jump$i" w --timeout 20s >/dev/null || bad "$jump: put: status $?"
        [ "$(other_clock "$tide" get wall "$jump$i")" = w ] || bad "$jump: the value is not there"
        [ "$(other_clock "$tide" get wall kept)" = v ] || bad "$jump: what lives for an hour has gone"
        other_clock "$tide" put wall short w --ttl 20ms --timeout 20s >/dev/null || bad "$jump: put with a life: status $?"
        sleep 0.1
        other_clock "$tide" get wall short >/dev/null 2>&1 && bad "$jump: a life of 20 ms has not ended"
    done
    other_clock "$tide" verify wall >"$work/out" || { bad "$jump: verify"; cat "$work/out"; }
    other_clock "$tide" ls >"$work/out" || bad "$jump: ls"
    grep -Eq '^wall +alive' "$work/out" || { bad "$jump: ls says"; cat "$work/out"; }
done
grep -q 'lapped\|anew\|damaged' "$work/log" "$work/log.1" && { bad "they say"; cat "$work/log" "$work/log.1"; }
kill $follower $server
wait $follower || bad "follow: status $?"
wait $server || bad "serve: status $?"
"$tide" rm wall >/dev/null || bad "rm: status $?"

# ---- another time namespace

elsewhere() { # command...
    unshare --time --fork --monotonic 1000 "$@"
}
elsewhere true 2>"$work/err" || skip "no time namespaces: $(cat "$work/err")"
"$tide" serve clocks --followers 0 --ring 64K --table 256K >"$work/ready" 2>"$work/log" &
server=$!
until grep -q ready "$work/ready"; do
    kill -0 $server || { cat "$work/log"; exit 1; }
    sleep 0.05
done
"$tide" put clocks k v --timeout 20s >"$work/out" || bad "put: status $?"
refused() { # words of the command...
    elsewhere "$tide" "$@" >"$work/out" 2>"$work/err"
    got=$?
    [ $got = 7 ] || bad "$*: status $got"
    grep -Eq 'was made in time namespace [0-9]+, this process is in [0-9]+, and their clocks differ: run all members of a domain in one' "$work/err" ||
        { bad "$*: it says"; cat "$work/err"; }
    grep -q 'belongs to' "$work/err" && bad "$*: it is nobody else's"
}
refused get clocks k
refused put clocks k w
refused serve clocks
refused follow clocks
refused snapshot save clocks "$work/snap"
elsewhere "$tide" ls >"$work/out" || bad "ls: status $?"
grep -Eq '^clocks +alive' "$work/out" || { bad "ls says"; cat "$work/out"; }
elsewhere "$tide" dump clocks --summary >"$work/out" || bad "dump: status $?"
grep -q 'ages are not known' "$work/out" || bad "dump tells ages by another clock"
elsewhere "$tide" rm clocks >"$work/out" 2>&1
got=$?
[ $got = 4 ] || bad "rm of a domain in use: status $got"
[ "$("$tide" get clocks k)" = v ] || bad "the value is not there any more"
kill $server && wait $server
elsewhere "$tide" rm clocks >"$work/out" || bad "rm: status $?"
"$tide" get clocks k >"$work/out" 2>&1
got=$?
[ $got = 3 ] || bad "after rm: status $got"
finish
