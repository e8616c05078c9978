#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# What `tide` says to words that it does not know, and its list of exit codes. Exit codes: 0 good, 1 not.
set -u
cd "$(dirname "$0")/.."
tide=${TIDE_BUILD:-build}/tide
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
failed=0

expect() { # code pattern arguments...: the code, and what standard error says
    want=$1
    pattern=$2
    shift 2
    "$tide" "$@" >"$work/out" 2>"$work/err" </dev/null
    got=$?
    if [ "$got" != "$want" ] || ! grep -Eq -- "$pattern" "$work/err"; then
        echo "tide $*: exit code $got, not $want, or no /$pattern/ in:"
        sed 's/^/    /' "$work/err"
        failed=1
    fi
    [ ! -s "$work/out" ] || { echo "tide $*: a usage error writes to standard output"; failed=1; }
}

silent_on() { # pattern: the last message does not have it
    ! grep -Eq -- "$1" "$work/err" || { echo "says /$1/ although nothing is near"; failed=1; }
}

# A subcommand: a letter wrong, missing, too many, two swapped, the beginning; and one that is near to none.
for pair in gte:get stats:stat sanpshot:snapshot verfy:verify sca:scan follwo:follow stepdown:step-down; do
    expect 2 "did you mean 'tide ${pair#*:}'" "${pair%:*}" x y
    expect 2 "did you mean 'tide ${pair#*:}'" help "${pair%:*}"
done
expect 2 "no command 'frobnicate'" frobnicate
silent_on 'did you mean'
expect 2 "no command ''" ''

# An option, of every command that has one.
expect 2 "did you mean '--max-staleness'" get d k --max-stalness 1s
expect 2 "did you mean '--max-staleness'" get d k --max-stalness=1s
expect 2 "did you mean '--limit'" scan d --lmit 1
expect 2 "did you mean '--followers'" serve d --follower-s 1
expect 2 "did you mean '--no-ring'" dump --noring d
expect 2 "did you mean '--ryw-wait'" node --rwy-wait 1s
expect 2 "did you mean '--bounds'" demo --bonds 1ms
expect 2 "unrecognized option '--frobnicate'" put d k v --frobnicate
silent_on 'did you mean'
expect 2 "unrecognized option '-z'" get d k -z
expect 2 "'--max' is ambiguous" get d k --max 3
expect 2 "'--json' takes no value" ls --json=yes
expect 2 "'--wait' needs a value" get d k --wait
expect 2 "'tide touch NAME KEY TTL'" touch d k --ttl 1h
long=$(printf '%0500d' 7)
expect 2 "unrecognized option '--0" get d k "--$long"
expect 2 "no command '0" "$long"

# One list of exit codes, which help prints.
"$tide" help >"$work/out" || failed=1
for code in 0 1 2 3 4 5 6 7; do
    [ "$(grep -c "^  $code  " "$work/out")" = 1 ] || { echo "tide help does not tell code $code once"; failed=1; }
done

exit "$failed"
