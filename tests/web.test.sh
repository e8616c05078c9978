#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide web` without a browser: what it answers, what it lets a browser do, the stream, domains that go and come, and clients that mean no
# good. Exit codes: 0 good, 1 not, 77 skipped.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
http=$(dirname "$tide")/tests/tool_http

expect 2 "a port that cannot be" web d --listen 127.0.0.1:70000
warns 'listen must be'
expect 2 "no domain" web
warns 'the name of a domain is missing'
expect 2 "two domains" web d e
expect 2 "no name" web ../d
expect 2 "an unknown option" web d --nonsense

begin serve serve d --followers 2 --ring 64K --table 1M
ready serve
server=$begun
expect 0 "put" put d k v --timeout 20s
"$tide" put d '<script>alert(1)</script>' v --ttl 1h --timeout 20s >"$work/out"
expect 0 "get" get d k
expect 1 "get" get d nokey

listen() { # file address
    begin "$1" web d --listen "$2"
    until_true 20 "listening in $1" grep -q '^listening ' "$work/$1" || return 1
    port=$(sed -n 's/.*:\([0-9]*\)\/$/\1/p' "$work/$1")
}
begin at web d
until_true 20 "listening or not" sh -c "grep -q . '$work/at' '$work/at.err'"
if grep -q libmicrohttpd "$work/at.err"; then
    echo "skipped: $(cat "$work/at.err")"
    exit 77
fi
grep -q '^listening http://127\.0\.0\.1:[0-9]*/$' "$work/at" || { echo "no --listen: is not at 127.0.0.1"; failed=1; }
web=$begun
port=$(sed -n 's/.*:\([0-9]*\)\/$/\1/p' "$work/at")

ask() { # what METHOD PATH [HEADER]...
    what=$1
    shift
    "$http" get "$port" "$@" >"$work/out" 2>"$work/err" || bad "$what: no answer"
    tr -d '\r' <"$work/out" >"$work/answer" && mv "$work/answer" "$work/out"
}

# ---- what is no request of HTTP/1.1, and a path whose byte 0 would end it early

printf 'GET /state.json HTTP/1.1\r\nAccept: */*\r\n\r\n' >"$work/request"
"$http" raw "$port" "$work/request" >"$work/out" 2>"$work/err"
what="HTTP/1.1 without Host"
says '^HTTP/1.1 400 '
says 'Host: is missing'
printf 'GET /state.json HTTP/1.0\r\n\r\n' >"$work/request"
"$http" raw "$port" "$work/request" >"$work/out" 2>"$work/err"
what="HTTP/1.0 without Host"
says '^HTTP/1.[01] 200 ' # HTTP/1.0 has none
ask "a byte 0 in the path" GET /state.json%00x
says '^HTTP/1.1 400 '
ask "another byte 0" GET /%00
says '^HTTP/1.1 400 '
ask "a path with an escape" GET /st%61te.json
says '^HTTP/1.1 200 '
ask "half an escape" GET /state.json%4
says '^HTTP/1.1 404 '

# ---- the page's files: each that the page names is there, of the right type, and only from here

ask "the page" GET /
says '^HTTP/1.1 200 '
says '^Content-Type: text/html; charset=utf-8$'
says '<noscript>'
policy=$(sed -n 's/^Content-Security-Policy: //p' "$work/out")
for part in "default-src 'none'" "script-src 'self'" "style-src 'self'" "connect-src 'self'" "img-src 'self'" "base-uri 'none'" "form-action 'none'" \
    "frame-ancestors 'none'" "require-trusted-types-for 'script'"; do
    case "; $policy;" in *"; $part;"*) ;; *) bad "the policy does not have $part" ;; esac
done
case $policy in *unsafe* | *\** | *http*) bad "the policy is wide: $policy" ;; esac
says '^X-Content-Type-Options: nosniff$'
says '^Referrer-Policy: no-referrer$'
! grep -qE '<script>|<style|[^a-z]style=|[^a-z]on[a-z]+=|javascript:' "$work/out" || bad "the page has a script or a style of its own"
! grep -E 'https?://' "$work/out" | grep -v 'http://www.w3.org/' >"$work/abroad" || bad "the page names another machine: $(cat "$work/abroad")"
for file in $(sed -n 's/.*\(src\|href\)="\(\/[^"]*\)".*/\2/p' "$work/out" | sort -u) /words.js /shapes.js /picture.js /charts.js /panels.js; do
    ask "$file" GET "$file"
    says '^HTTP/1.1 200 '
    says "^Content-Security-Policy: default-src 'none';"
    case $file in
    *.js) says '^Content-Type: text/javascript; charset=utf-8$' ;;
    *.css) says '^Content-Type: text/css; charset=utf-8$' ;;
    esac
    ! grep -E 'https?://' "$work/out" | grep -vE 'http://www.w3.org/' | grep -q . || bad "$file names another machine"
    ! grep -qE 'innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function' "$work/out" || bad "$file makes HTML or code of text"
    for name in $(sed -n "s/.*from '\(\/[^']*\)'.*/\1/p" "$work/out"); do
        "$http" get "$port" GET "$name" | head -n 1 | grep -q ' 200 ' || bad "$file takes in $name, which is not there"
    done
done
ask "HEAD" HEAD /
says '^HTTP/1.1 200 '
! grep -q '<html' "$work/out" || bad "HEAD: has a body"
ask "HEAD of the stream" HEAD /events
says '^Content-Type: text/event-stream'
ask "wrong path" GET /../../etc/passwd
says '^HTTP/1.1 404 '
ask "wrong method" POST / 'Content-Length: 0'
says '^HTTP/1.1 405 '
says '^Allow: GET, HEAD$'
ask "DELETE" DELETE /state.json
says '^HTTP/1.1 405 '

# A hostile page may have its own name lead to 127.0.0.1.
for host in evil.example "evil.example:$port" localhost.evil.example 127.0.0.1.evil.example ''; do
    printf 'GET /state.json HTTP/1.1\r\nHost: %s\r\n\r\n' "$host" >"$work/request"
    "$http" raw "$port" "$work/request" >"$work/out" 2>"$work/err" || :
    what="Host: $host"
    says '^HTTP/1.1 421 '
done
for host in localhost "localhost:$port" 127.0.0.1 "[::1]:$port" tide.localhost; do
    printf 'GET /state.json HTTP/1.1\r\nHost: %s\r\n\r\n' "$host" >"$work/request"
    "$http" raw "$port" "$work/request" >"$work/out" 2>"$work/err" || :
    what="Host: $host"
    says '^HTTP/1.1 200 '
done

# ---- one look

ask "one look" GET /state.json
says '^Content-Type: application/json$'
says '"tide_commit_index": 2,'
says '"tide_misses_total": 1,'
says '"type": "put", "key": "<script>alert\(1\)</script>", "key_bytes": 25'
says '"members": 1,'
! grep -q '"v"' "$work/out" || bad "one look: tells a value"
find "$TIDE_SHM_DIR" -name 'tidemark.d.*' -exec cksum {} + >"$work/before"
ask "another look" GET /state.json
"$http" stream "$port" /events 1 >"$work/out"
find "$TIDE_SHM_DIR" -name 'tidemark.d.*' -exec cksum {} + >"$work/after"
cmp -s "$work/before" "$work/after" || bad "looking changed the segments"

# ---- the stream

what="the stream"
"$http" stream "$port" /events 3 >"$work/out" || bad "$what: ends early"
tr -d '\r' <"$work/out" >"$work/answer" && mv "$work/answer" "$work/out"
says '^Content-Type: text/event-stream; charset=utf-8$'
says '^Cache-Control: no-store$'
says '^retry: [0-9]+$'
[ "$(grep -c '^data: {"name": "d", .*}$' "$work/out")" = 3 ] || bad "$what: not three events"
[ "$(sed -n 's/^data: .*"unix_ns": \([0-9]*\).*/\1/p' "$work/out" | sort -u | wc -l)" = 3 ] || bad "$what: the same look again"
sed '1,/^$/d' "$work/out" | grep -vE '^(retry: [0-9]+|data: \{.*\}|)$' >"$work/other" && bad "$what: something else is in it: $(head -c 300 "$work/other")"
grep '^data: ' "$work/out" | tail -n 1 | grep -q '"rates": {"seconds": ' || bad "$what: has no rates"

# ---- clients that mean no good

memory() { sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$web/status"; }
descriptors() { ls "/proc/$web/fd" | wc -l; }
"$http" idle "$port" 100 5 /events || bad "100 streams that are not read keep the others out"
before=$(memory)
"$http" header "$port" 4000000 || bad "a header of 4 MB is taken"
"$http" slow "$port" &
slow=$!
pids="$pids $slow"
"$http" idle "$port" 1000 10 /events || bad "1,000 streams: nobody else is answered"
"$http" idle "$port" 200 10 /state.json || bad "200 that ask and do not read: nobody else is answered"
# One that came earlier is not sent away by those that only connect.
"$http" stream "$port" /events 4 >"$work/long" 2>"$work/err" &
long=$!
until_true 60 "its first event" test -s "$work/long"
"$http" idle "$port" 200 5 >/dev/null || :
wait $long || bad "idle connections end a stream"
ended() { ! kill -0 "$1" 2>/dev/null || grep -q '^State:.Z' "/proc/$1/status"; }
until_true 60 "a request that never ends is ended" ended $slow
"$http" stream "$port" /events 1 >"$work/out" || bad "after all that there is no stream"
after=$(memory)
# 64 connections may be open at once.
[ -n "${TIDE_SANITIZED:-}" ] || [ $((after - before)) -lt 8192 ] || bad "it has grown from $before to $after KiB"
few() { [ "$(descriptors)" -lt 20 ]; }
until_true 60 "all connections are closed" few
kill -0 "$web" || bad "the server is gone"

# ---- the domain goes and comes; so does a stream that is open meanwhile

"$http" stream "$port" /events 1000 >"$work/stream" 2>"$work/stream.err" &
stream=$!
pids="$pids $stream"
seen() { until_true 30 "the stream says $1" sh -c "tail -n 3 '$work/stream' | grep -q '$1'"; }
seen '"state": "alive"'

# No descriptor is left: who comes waits, and is answered when there are some, although the stream goes on.
ticks() { sed 's/.*) //' "/proc/$web/stat" | cut -d' ' -f12,13 | tr ' ' '+' | xargs -I{} sh -c 'echo $(({}))'; }
if command -v prlimit >/dev/null 2>&1; then
    prlimit --pid "$web" --nofile=3:4096
    before=$(ticks)
    "$http" get "$port" GET /state.json >"$work/late" 2>"$work/late.err" &
    late=$!
    pids="$pids $late"
    seen 'Too many open files'
    sleep 1.5
    used=$(($(ticks) - before))
    [ "$used" -lt 60 ] || bad "without descriptors it spins: $used hundredths of a second"
    prlimit --pid "$web" --nofile=4096:4096
    until_true 60 "who came meanwhile is answered" grep -q '"state": "alive"' "$work/late"
    seen '"state": "alive"'
fi
kill -9 "$server"
wait "$server" 2>/dev/null
seen '"state": "dead".*"led": false'
printf 'XXXX' | dd of="$TIDE_SHM_DIR/tidemark.d.log" bs=1 conv=notrunc 2>/dev/null
seen '"state": "damaged"'
expect 0 "rm" rm d --force
seen '"state": "missing", "why": "there is no such domain'
begin serve2 serve d --followers 1 --ring 64K --table 256K
ready serve2
seen '"state": "alive".*"tide_commit_index": 0'
until_true 20 "what has happened is told" grep -q '"kind": "made"' "$work/stream"
grep -q '"kind": "gone", "bad": true' "$work/stream" || bad "that it went is not told"
kill "$begun"
wait "$begun"
printf '\377\377' | dd of="$TIDE_SHM_DIR/tidemark.d.log" bs=1 seek=9 conv=notrunc 2>/dev/null
seen '"state": "version"'
kill "$web"
wait "$web"
[ $? = 0 ] || bad "SIGTERM with an open stream: does not end well"
until_true 20 "its streams end" ended $stream

# A stream that nobody reads is ended, here one of large frames, which fill what the kernel keeps for it.
begin many serve m --followers 40 --ring 64K --table 256K
ready many
begin atm web m
until_true 20 "listening" grep -q '^listening ' "$work/atm"
web=$begun
before=$(descriptors)
"$http" deaf "$(sed -n 's/.*:\([0-9]*\)\/$/\1/p' "$work/atm")" /events &
pids="$pids $!"
has() { [ "$(descriptors)" = "$1" ]; }
until_true 20 "a stream is open" has $((before + 1))

# ---- other addresses

what="a port that is taken"
listen again 0
expect 7 "$what" web d --listen "127.0.0.1:$port"
warns 'cannot listen at .*Address already in use'
begin six web d --listen '[::1]:0'
until_true 20 "listening or not" sh -c "grep -q . '$work/six' '$work/six.err'"
if grep -q '^listening http://\[::1\]:' "$work/six"; then
    port=6:$(sed -n 's/.*:\([0-9]*\)\/$/\1/p' "$work/six")
    ask "IPv6" GET /
    says '^HTTP/1.1 200 '
else
    echo "no IPv6 here: not tried ($(cat "$work/six.err"))"
fi
begin unix web d --listen "unix:$work/socket"
until_true 20 "listening" grep -q "^listening unix:$work/socket$" "$work/unix"
port=$work/socket
ask "a socket in the file system" GET /
says '^HTTP/1.1 200 '
[ "$(stat -c %a "$work/socket")" = 700 ] || bad "the socket's mode is $(stat -c %a "$work/socket")"
kill "$begun"
wait "$begun"
[ ! -e "$work/socket" ] || bad "the socket's file stays"
until_true 60 "a stream that is not read is ended" has "$before"
exit $failed
