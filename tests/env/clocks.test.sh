#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Another time namespace, where CLOCK_MONOTONIC says something else: no member gets in, and each command says why. What does not ask that
# clock works there, removing too.
set -u
. tests/env/lib.sh
[ "${1:-}" = inside ] || run_inside 64m
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
