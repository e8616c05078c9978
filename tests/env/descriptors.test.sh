#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Commands that are started with descriptors 0, 1 and 2 closed write into no segment, and those that have no descriptor left do not
# take their domain for removed.
set -u
. tests/env/lib.sh
[ "${1:-}" = inside ] || run_inside 256m

serve() { # options of the shell's redirections are the caller's
    "$tide" serve d --ring 1M --table 4M --followers 1 >"$work/ready" 2>"$work/serve.err" &
    server=$!
    for i in $(seq 100); do
        grep -q ready "$work/ready" && return
        sleep 0.1
    done
    bad "serve does not serve: $(cat "$work/serve.err")"
    finish
}

whole() { # after what
    "$tide" verify d >"$work/verify" 2>&1 || bad "verify after $1: $(cat "$work/verify")"
    [ "$("$tide" get d k)" = v ] || bad "the value after $1"
}

serve
"$tide" put d k v >/dev/null || bad "put"
head -c 100000 /dev/zero | tr '\0' x >"$work/large"
for closed in '<&-' '>&-' '2>&-' '<&- >&-' '>&- 2>&-' '<&- >&- 2>&-'; do
    for command in 'get d k' 'get d nokey' 'put d other w' "put d large --file $work/large" 'cas d k 1 v --create' 'del d nokey' \
        'scan d' 'stat d' 'ls' 'verify d' 'dump d' 'gc d' "snapshot save d $work/snap" 'snapshot save d -' 'nonsense'; do
        eval "timeout 20 \"\$tide\" $command $closed" >"$work/out" 2>&1
        [ $? -lt 124 ] || bad "tide $command $closed: it was ended by a signal or hung"
    done
    eval "timeout 2 \"\$tide\" follow d $closed" >"$work/out" 2>&1
    whole "$closed"
done
# What cannot be written is an error.
for command in 'get d k' 'stat d' 'scan d' 'snapshot save d -'; do
    "$tide" $command >&- 2>/dev/null && bad "tide $command >&-: status 0"
done

if command -v prlimit >/dev/null; then
    "$tide" follow d >"$work/follow" 2>&1 &
    follower=$!
    for i in $(seq 100); do
        grep -q ready "$work/follow" && break
        sleep 0.1
    done
    prlimit --pid "$server" --nofile=3:3
    prlimit --pid "$follower" --nofile=3:3
    sleep 4 # several looks at whether the domain is there
    kill -0 "$server" 2>/dev/null || bad "serve without descriptors ended: $(cat "$work/serve.err")"
    kill -0 "$follower" 2>/dev/null || bad "follow without descriptors ended: $(cat "$work/follow")"
    whole "a time without descriptors"
    kill -9 "$follower"
fi
kill -9 "$server"
finish
