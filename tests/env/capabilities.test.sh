#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A program with file capabilities must not follow TIDE_SHM_DIR. It says so, and makes no second domain in /dev/shm.
set -u
. tests/env/lib.sh
[ "${1:-}" = inside ] || run_inside 256m
need setcap setpriv
chmod 755 "$work"
cp "$tide" "$work/tide-cap" && cp "$tide" "$work/tide-plain" && chmod 755 "$work/tide-cap" "$work/tide-plain"
setcap cap_sys_nice+ep "$work/tide-cap" 2>/dev/null || skip "no file capabilities here"
mkdir -m 1777 /dev/shm/mine
chmod 1777 /dev/shm
user='setpriv --reuid 65534 --regid 65534 --clear-groups'
$user "$work/tide-cap" ls >/dev/null 2>&1 || skip "a program with capabilities cannot be run here"
export TIDE_SHM_DIR=/dev/shm/mine
$user "$work/tide-plain" serve d --ring 1M --table 1M --followers 0 >"$work/ready" 2>&1 &
for i in $(seq 100); do
    grep -q ready "$work/ready" && break
    sleep 0.1
done
for command in 'stat d' 'get d k' 'put d k v' 'serve d' 'follow d'; do
    timeout 10 $user "$work/tide-cap" $command >"$work/out" 2>&1
    status=$?
    [ "$status" -gt 0 ] && [ "$status" -lt 124 ] || bad "tide $command: status $status: $(cat "$work/out")"
    grep -q 'TIDE_SHM_DIR is set, but' "$work/out" || bad "tide $command: does not say why: $(cat "$work/out")"
done
ls /dev/shm | grep -q tidemark && bad "a second domain: $(ls /dev/shm)"
unset TIDE_SHM_DIR
timeout 10 $user "$work/tide-cap" serve d --ring 1M --table 1M --followers 0 >"$work/out" 2>&1 &
for i in $(seq 100); do
    grep -q ready "$work/out" && break
    sleep 0.1
done
grep -q ready "$work/out" || bad "without TIDE_SHM_DIR: $(cat "$work/out")"
finish
