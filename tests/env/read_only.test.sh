#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A sidecar that sees /dev/shm on a read-only mount: commands that look work, commands that change say that they cannot.
set -u
. tests/env/lib.sh
[ "${1:-}" = inside ] || { [ "${1:-}" = sidecar ] || run_inside 256m; }
if [ "${1:-}" = inside ]; then
    "$tide" serve d --ring 1M --table 4M >"$work/ready" 2>&1 &
    server=$!
    for i in $(seq 100); do
        grep -q ready "$work/ready" && break
        sleep 0.1
    done
    "$tide" put d k v >/dev/null || bad "put"
    unshare -m sh "$0" sidecar || bad "the sidecar: status $?"
    "$tide" put d k w >/dev/null || bad "put afterwards"
    kill -9 "$server"
    finish
fi
mount --bind /dev/shm /dev/shm && mount -o remount,bind,ro /dev/shm || skip "no read-only mount"

looks() { # words, command...
    words=$1
    shift
    timeout 20 "$tide" "$@" >"$work/out" 2>&1
    status=$?
    [ "$status" = 0 ] || bad "tide $*: status $status: $(cat "$work/out")"
    grep -q -- "$words" "$work/out" || bad "tide $*: no '$words': $(cat "$work/out")"
}

refuses() { # command...
    timeout 20 "$tide" "$@" >"$work/out" 2>&1
    status=$?
    [ "$status" = 7 ] || bad "tide $*: status $status: $(cat "$work/out")"
    grep -qi 'read-only' "$work/out" || bad "tide $*: does not say why: $(cat "$work/out")"
}

looks v get d k
looks v get d k --max-staleness any
looks v get d k --fallback wait --wait 10ms
looks k scan d
looks 'leader    replica 0' stat d
looks alive ls
looks good verify d
looks 'log of domain' dump d
looks 'put	1	k	v' watch d --initial --count 2
looks 'saved 1 keys' snapshot save d "$work/snap"
refuses put d k w
refuses del d k
refuses follow d
refuses serve other
refuses rm d --force
finish
