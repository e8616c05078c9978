#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A /dev/shm of 64 MiB, as Docker gives: the first `tide serve` without options serves, and says which sizes it took. Sizes that do not
# fit are refused with the numbers, and leave nothing for smaller ones to fail by.
set -u
. tests/env/lib.sh
[ "${1:-}" = inside ] || run_inside 64m

start() { # options of serve...
    : >"$work/ready"
    "$tide" serve d "$@" >"$work/ready" 2>"$work/err" &
    server=$!
    for i in $(seq 100); do
        grep -q ready "$work/ready" && return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    wait "$server"
    bad "serve $*: status $?: $(cat "$work/err")"
    return 1
}

stop() {
    kill "$server"
    wait "$server" || bad "the end of serve: status $?"
}

start && {
    grep -q 'can be had here: the ring gets 4.0 MiB (--ring)' "$work/err" || bad "sizes are not told: $(cat "$work/err")"
    "$tide" put d k v >/dev/null || bad "put"
    timeout 3 "$tide" follow d >"$work/follow" 2>&1
    grep -q ready "$work/follow" || bad "a follower in another process finds no room: $(cat "$work/follow")"
    "$tide" rm d --force 2>/dev/null
    stop 2>/dev/null
}
rm -f /dev/shm/*

for options in '' '--followers 0' '--followers 3'; do
    timeout 20 "$tide" serve d --ring 16M --table 64M $options >"$work/out" 2>&1
    [ $? = 7 ] || bad "serve --table 64M: $(cat "$work/out")"
    grep -q 'takes 64.* MiB, and /dev/shm has .* free of 64.0 MiB' "$work/out" || bad "the numbers: $(cat "$work/out")"
    grep -q -- '--table' "$work/out" && grep -q 'tide rm' "$work/out" || bad "the way out: $(cat "$work/out")"
    [ -z "$(ls /dev/shm)" ] || bad "left: $(ls /dev/shm)"
done
timeout 20 "$tide" serve d --ring 4M --table 24M --followers 2 >"$work/out" 2>&1
[ $? = 7 ] || bad "serve with a follower too many: $(cat "$work/out")"
[ -z "$(ls /dev/shm)" ] || bad "left by a follower too many: $(ls /dev/shm)"
start --table 16M --followers 0 && stop
"$tide" rm d >/dev/null || bad "rm"

# Somebody else fills the rest while it serves.
start --ring 1M --table 4M --followers 0 && {
    dd if=/dev/zero of=/dev/shm/other bs=1M count=64 2>/dev/null
    "$tide" put d k v >/dev/null || bad "a put into a table that is reserved"
    head -c 100000 /dev/zero >"$work/value"
    "$tide" put d large --file "$work/value" >"$work/out" 2>&1
    [ $? = 7 ] && grep -q 'write less at once' "$work/out" || bad "a put that needs a file: $(cat "$work/out")"
    "$tide" follow d >"$work/out" 2>&1
    [ $? = 7 ] || bad "follow on a full /dev/shm: $(cat "$work/out")"
    "$tide" verify d >"$work/out" 2>&1 || bad "verify: $(cat "$work/out")"
    stop
}
finish
