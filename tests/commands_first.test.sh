#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide serve` and `tide follow` at once, in any order, and `tide serve` where a candidate leads already. Exit codes: 0 good, 1 not.
. tests/lib/commands.sh

led_by() { # domain pid
    "$tide" ls --json | grep -Eq "\"name\": \"$1\".*\"leader_pid\": $2\b"
}

# As README.md starts them, but follow begins as soon as the domain has a name.
for i in 1 2 3 4 5; do
    begin "s$i" serve "d$i" --ring 64K --table 256K
    serve=$begun
    until_true 10 "the domain is there" test -e "$TIDE_SHM_DIR/tidemark.d$i.log"
    begin "f$i" follow "d$i"
    ready "s$i"
    ready "f$i"
    kill -TERM "$serve" "$begun"
    ended "$serve" 0 "serve beside follow"
    ended "$begun" 0 "follow beside serve"
done

# follow even before there is a domain.
begin early follow early
follow=$begun
sleep 0.2
begin maker serve early --ring 64K --table 256K --followers 0
serve=$begun
ready maker
ready early
kill -TERM "$serve" "$follow"
ended "$serve" 0 "serve behind follow"
ended "$follow" 0 "follow before serve"

# A service manager starts serve anew after its death. A candidate has taken over meanwhile: serve stands by.
begin s serve a --ring 64K --table 256K --followers 0
old=$begun
ready s
begin f follow a
follow=$begun
ready f
kill -9 "$old"
wait "$old" 2>/dev/null || true
until_true 10 "the candidate leads" led_by a "$follow"
begin s2 serve a --followers 1 --ring 1M --evict s3fifo --expected-keys 5000 --slow-follower 70ms --default-ttl 1h
serve=$begun
ready s2
grep -Eq "^ready a replica=[0-9]+ pid=$serve candidate=yes " "$work/s2" || { echo "the ready line: $(cat "$work/s2")"; failed=1; }
grep -q "process $follow leads a already: this one follows" "$work/s2.err" || { echo "standard error: $(cat "$work/s2.err")"; failed=1; }
grep -q "tide step-down a" "$work/s2.err" || { echo "does not say what to do: $(cat "$work/s2.err")"; failed=1; }
for option in ring evict expected-keys slow-follower default-ttl; do
    grep -q -- "--$option has no effect" "$work/s2.err" || { echo "does not say that --$option has no effect: $(cat "$work/s2.err")"; failed=1; }
done
begin new serve new --followers 0 --ring 1M --table 4M --evict s3fifo --expected-keys 5000 --slow-follower 70ms --default-ttl 1h
ready new
! grep -q "no effect" "$work/new.err" || { echo "a new domain has what was asked for: $(cat "$work/new.err")"; failed=1; }
begin s3 serve a --followers 0 --json
third=$begun
ready s3
grep -q '"role": "follower".*"candidate": true' "$work/s3" || { echo "serve --json: $(cat "$work/s3")"; failed=1; }
kill -TERM "$third"
ended "$third" 0 "the third, SIGTERM"
expect 0 "put" put a k value
expect 0 "step-down" step-down a
until_true 10 "serve leads again" led_by a "$serve"
expect 0 "get" get a k
is value
kill -9 "$follow"
wait "$follow" 2>/dev/null || true
expect 0 "put to serve" put a k again
kill -TERM "$serve"
ended "$serve" 0 "serve, SIGTERM"
exit $failed
