#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide metrics --listen`: answers, addresses, and clients that mean no good. Exit codes: 0 good, 1 not, 77 skipped.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
http=$(dirname "$tide")/tests/tool_http

begin serve serve d --followers 1 --ring 64K --table 256K
ready serve
server=$begun
expect 0 "put" put d k v --timeout 20s

listen() { # file name address
    begin "$1" metrics "$2" --listen "$3"
    until_true 20 "listening in $1" grep -q '^listening ' "$work/$1" || exit 1
    port=$(sed -n 's/.*:\([0-9]*\)\/metrics$/\1/p' "$work/$1")
}

"$tide" metrics d --listen 127.0.0.1:70000 >"$work/out" 2>"$work/err"
if [ $? = 7 ] && grep -q 'libmicrohttpd' "$work/err"; then
    echo "skipped: $(cat "$work/err")"
    exit 77
fi
what="a port that cannot be"
grep -q 'listen must be' "$work/err" || bad "$what: not said"

ask() { # what METHOD PATH [HEADER]...
    what=$1
    shift
    "$http" get "$port" "$@" >"$work/out" 2>"$work/err" || bad "$what: no answer"
    tr -d '\r' <"$work/out" >"$work/answer" && mv "$work/answer" "$work/out"
}

listen at d 0
scraper=$begun
fewest=$(ls "/proc/$scraper/fd" | wc -l)
ask "GET" GET /metrics
says '^HTTP/1.1 200 '
says '^Content-Type: text/plain; version=0.0.4; charset=utf-8$'
says '^tide_commit_index\{domain="d"\} 1$'
ask "GET with a query" GET '/metrics?x=1'
says '^HTTP/1.1 200 '
ask "OpenMetrics" GET /metrics 'Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5'
says '^Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8$'
says '^# EOF$'
ask "HEAD" HEAD /metrics
says '^HTTP/1.1 200 '
! grep -q '^tide_' "$work/out" || bad "HEAD: has a body"
ask "wrong path" GET /
says '^HTTP/1.1 404 '
ask "wrong method" POST /metrics 'Content-Length: 0'
says '^HTTP/1.1 405 '
says '^Allow: GET, HEAD$'
ask "no method at all" '\001' /metrics
! grep -q '^tide_' "$work/out" || bad "no method: answered with metrics"

what="a port that is taken"
expect 7 "$what" metrics d --listen "127.0.0.1:$port"
warns 'cannot listen at .*Address already in use; another process does'
expect 2 "a name for an address" metrics d --listen example.invalid:9187
expect 2 "no port" metrics d --listen 127.0.0.1:
expect 7 "no directory for a socket" metrics d --listen "unix:$work/nowhere/socket"

# ---- clients that mean no good: connections are ended, others are answered, nothing grows

memory() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$scraper/status"; }
descriptors() { ls "/proc/$scraper/fd" | wc -l; }
"$http" idle "$port" 100 50 || bad "100 idle connections keep the others out"
before=$(memory)
# No descriptor is left, and nobody is connected: who comes waits, and is answered when there are some.
ticks() { sed 's/.*) //' "/proc/$scraper/stat" | cut -d' ' -f12,13 | tr ' ' '+' | xargs -I{} sh -c 'echo $(({}))'; }
alone() { [ "$(descriptors)" = "$fewest" ]; }
if command -v prlimit >/dev/null 2>&1; then
    until_true 60 "all connections are closed" alone
    prlimit --pid "$scraper" --nofile=3:4096
    used=$(ticks)
    "$http" get "$port" GET /metrics >"$work/late" 2>"$work/late.err" &
    late=$!
    pids="$pids $late"
    sleep 1.5
    used=$(($(ticks) - used))
    [ "$used" -lt 60 ] || bad "without descriptors it spins: $used hundredths of a second"
    prlimit --pid "$scraper" --nofile=4096:4096
    until_true 60 "who came meanwhile is answered" grep -q '^HTTP/1.1 200 ' "$work/late"
fi
what="a header of 4 MB"
"$http" header "$port" 4000000 || bad "$what: is taken"
"$http" header "$port" 4000000 || bad "$what: is taken"
"$http" slow "$port" &
slow=$!
"$http" deaf "$port" /metrics &
deaf=$!
pids="$pids $slow $deaf"
what="1,000 idle connections"
"$http" idle "$port" 1000 20 || bad "$what: nobody else is answered"
ended() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }
until_true 60 "a request that never ends is ended" ended $slow
until_true 60 "a client that does not read is let go" ended $deaf
ask "after all that" GET /metrics
says '^HTTP/1.1 200 '
after=$(memory)
# 48 connections may be open at once, with 16 KiB and an answer each.
[ -n "${TIDE_SANITIZED:-}" ] || [ $((after - before)) -lt 8192 ] || bad "it has grown from $before to $after KiB"
few() { [ "$(descriptors)" -lt 20 ]; }
until_true 60 "all connections are closed" few
kill -0 "$scraper" || bad "the server is gone"

# ---- the domain goes; the server stays

kill -9 "$server"
wait "$server" 2>/dev/null
ask "a dead domain" GET /metrics
says '^tide_domain_state\{domain="d",state="dead"\} 1$'
expect 0 "rm" rm d
ask "a removed domain" GET /metrics
says '^HTTP/1.1 200 '
says '^tide_up\{domain="d"\} 0$'
kill "$scraper"
wait "$scraper"
[ $? = 0 ] || bad "SIGTERM: does not end well"

# ---- other addresses

begin six metrics --listen '[::1]:0'
until_true 20 "listening or not" sh -c "grep -q . '$work/six' '$work/six.err'"
if grep -q '^listening http://\[::1\]:' "$work/six"; then
    port=6:$(sed -n 's/.*:\([0-9]*\)\/metrics$/\1/p' "$work/six")
    ask "IPv6" GET /metrics
    says '^HTTP/1.1 200 '
else
    echo "no IPv6 here: not tried ($(cat "$work/six.err"))"
fi
begin unix metrics --listen "unix:$work/socket"
until_true 20 "listening" grep -q "^listening unix:$work/socket$" "$work/unix"
port=$work/socket
ask "a socket in the file system" GET /metrics
says '^HTTP/1.1 200 '
[ "$(stat -c %a "$work/socket")" = 700 ] || bad "the socket's mode is $(stat -c %a "$work/socket")"
kill -9 "$begun"
wait "$begun" 2>/dev/null
begin unix2 metrics --listen "unix:$work/socket"
until_true 20 "listening where a dead process did" grep -q "^listening" "$work/unix2"
expect 7 "a socket that is in use" metrics --listen "unix:$work/socket"
kill "$begun"
wait "$begun"
[ ! -e "$work/socket" ] || bad "the socket's file stays"
exit $failed
