#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The `tide dump` command itself: exit codes, help, pipes, and bytes that are no segment. Exit codes: 0 good, 1 not.
set -u
cd "$(dirname "$0")/.."
tide=${TIDE_BUILD:-build}/tide
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
TIDE_SHM_DIR=$work
export TIDE_SHM_DIR
failed=0

expect() { # code what command...
    want=$1
    what=$2
    shift 2
    timeout 20 "$@" >"$work/out" 2>&1 </dev/null
    got=$?
    if [ "$got" != "$want" ]; then
        echo "$what: exit code $got, not $want"
        cat "$work/out"
        failed=1
    fi
}

expect 0 "help" "$tide" dump --help
grep -q 'Exit codes' "$work/out" || { echo "--help does not tell the exit codes"; failed=1; }
expect 2 "no argument" "$tide" dump
expect 2 "unknown option" "$tide" dump --nonsense x
expect 3 "no such domain" "$tide" dump nobody-has-made-this
expect 3 "no such file" "$tide" dump "$work/none"
expect 3 "a directory" "$tide" dump "$work"
mkfifo "$work/fifo"
expect 3 "a FIFO" "$tide" dump "$work/fifo"
: >"$work/tidemark.empty.log"
expect 1 "an empty file" "$tide" dump empty
head -c 3000000 /dev/urandom >"$work/tidemark.noise.log"
expect 1 "noise" "$tide" dump noise
expect 1 "noise, json" "$tide" dump --json noise
expect 1 "some other file" "$tide" dump ./Makefile
(cd "$work" && printf 'TIDEMARK' >here)
expect 1 "eight bytes" "$tide" dump "$work/here"
exit $failed
