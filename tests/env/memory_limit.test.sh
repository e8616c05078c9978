#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A control group with a memory limit of 64 MiB and a large /dev/shm: nobody is killed while reserving, `tide serve` without options
# fits, and sizes that do not are refused with the numbers.
set -u
. tests/env/lib.sh
if [ "${1:-}" != inside ]; then
    run_inside 1g
fi

group=
for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
    at=$root/tidemark-$(basename "$work")
    mkdir "$at" 2>/dev/null || continue
    if [ -e "$at/memory.limit_in_bytes" ] || [ -e "$at/memory.max" ]; then
        group=$at
        break
    fi
    rmdir "$at"
done
[ -n "$group" ] || skip "no control group with a memory limit can be made here: root may, where one limits memory"
trap 'sleep 0.2; rmdir "$group" 2>/dev/null; rm -rf "$work"' EXIT
if [ -e "$group/memory.limit_in_bytes" ]; then
    echo 64M >"$group/memory.limit_in_bytes" || skip "the limit cannot be set"
else
    echo 64M >"$group/memory.max" || skip "the limit cannot be set"
    echo 0 >"$group/memory.swap.max" 2>/dev/null
fi

grouped() { # command...: in the group
    sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
}
grouped true 2>/dev/null || skip "no process can be put into the group"

grouped timeout 20 "$tide" serve d --ring 16M --table 64M >"$work/out" 2>&1
[ $? = 7 ] || bad "serve --table 64M: $(cat "$work/out")"
grep -q "control group's memory limit of 64.0 MiB leaves" "$work/out" || bad "the numbers: $(cat "$work/out")"
[ -z "$(ls /dev/shm)" ] || bad "left: $(ls /dev/shm)"

sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$tide" serve d >"$work/ready" 2>"$work/err" &
server=$!
for i in $(seq 100); do
    grep -q ready "$work/ready" && break
    sleep 0.1
done
grep -q 'can be had here: the ring gets' "$work/err" || bad "serve does not fit: $(cat "$work/err")"
head -c 1000000 /dev/zero >"$work/value"
for i in $(seq 12); do # fills the tables of leader and follower
    grouped "$tide" put d "k$i" --file "$work/value" >/dev/null 2>"$work/out" || bad "put $i: $(cat "$work/out")"
done
kill -0 "$server" || bad "serve was killed: $(cat "$work/err")"
kill "$server"
wait "$server" || bad "serve ended with $?: $(cat "$work/err")"
finish
