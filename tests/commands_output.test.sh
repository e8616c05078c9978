#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Output that cannot be written, descriptors that are closed when a command starts, and signals that were ignored then.
# Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh

begin serve serve d --followers 0 --ring 64K --table 256K
ready serve
server=$begun
expect 0 "put" put d k v --timeout 20s

# ---- closed standard output: refused before anything is done; a full disk: an error, with a text

closed() { # what arguments...
    what=$1
    shift
    : >"$work/out"
    timeout -k 5 30 "$tide" "$@" >&- 2>"$work/err" </dev/null
    got=$?
    [ $got = 7 ] || bad "$what >&-: exit code $got, not 7"
    warns 'standard output is closed: nothing was done'
}

full() { # what arguments...
    what=$1
    shift
    : >"$work/out"
    timeout -k 5 30 "$tide" "$@" >/dev/full 2>"$work/err" </dev/null
    got=$?
    [ $got = 7 ] || bad "$what >/dev/full: exit code $got, not 7"
    warns 'output.*No space left|No space left'
}

for c in 'get d k' 'get d k --json' 'put d k2 w' 'del d k2' 'cas d k3 v --expect 0' 'scan d' 'scan d --json' 'ls' 'ls --json' 'stat d' \
    'stat d --json' 'metrics d' 'verify d' 'verify d --json' 'snapshot save d -' 'step-down d' 'gc d' 'rm d' 'dump d' 'dump d --json' 'help' \
    'version' 'get --help' 'dump --help' 'demo --seconds 0.1' 'demo --help' 'node' 'get d k k2' 'get d k k2 --json' 'ttl d k' 'touch d k 1h' \
    'incr d n' 'clear d' 'clear d --prefix k' 'del d --prefix k' 'watch d' 'watch d --initial --count 1' 'top d --once' 'diff d d.r0' 'dump d --summary' 'metrics' 'metrics d --listen 127.0.0.1:0' 'web d' \
    "metrics --textfile $work/m.prom" 'dump d --at 1' 'stat d --watch 5ms' "snapshot load d $work/none" "put d k2 w --ttl 1h"; do
    # shellcheck disable=SC2086
    closed "$c" $c
done
expect 1 "nothing was put" get d k2
expect 1 "nothing was set" get d k3
expect 1 "nothing was added" get d n
expect 0 "no life was given, and nothing cleared" ttl d k
says '^never$'
[ ! -e "$work/m.prom" ] || bad "a textfile was written"
printf '{"src":"c","dest":"n","body":{"type":"init","msg_id":1,"node_id":"n","node_ids":["n"]}}\n' >"$work/init"
for c in 'get d k' 'get d k --json' 'put d k2 w --timeout 20s' 'cas d k3 v --expect 0 --timeout 20s' 'scan d' 'scan d --json' \
    'ls' 'ls --json' 'stat d' 'stat d --json' 'metrics' 'stat d --watch 5ms' 'verify d' 'verify d --json' 'snapshot save d -' \
    'get d k k' 'get d k k --json' 'ttl d k' 'ttl d k --json' 'touch d k 1h --timeout 20s' 'incr d n --timeout 20s' 'clear d --prefix none' \
    'del d --prefix none' 'watch d --initial --count 1' 'watch d --initial --json' 'top d --once --interval 100ms' 'diff d d.r0' 'diff d d.r0 --json' 'dump d --summary' 'metrics d' 'dump d --at 1' 'stat d --watch 5ms --json' \
    'gc d' 'dump d' 'dump d --json' 'help' 'help get' 'version' 'get --help' 'dump --help' 'demo --seconds 0.1' \
    'demo --seconds 0.1 --json' 'serve other --followers 0 --ring 64K --table 256K' 'follow d' \
    "snapshot save d $work/full.snap --json"; do
    # shellcheck disable=SC2086
    full "$c" $c
done
what="snapshot save under a umask that takes the owner's own bits"
(umask 0777 && "$tide" snapshot save d "$work/masked.snap" >/dev/null)
[ "$(stat -c %a "$work/masked.snap")" = 600 ] || bad "$what: its mode is $(stat -c %a "$work/masked.snap")"
what="node >/dev/full"
timeout -k 5 30 "$tide" node <"$work/init" >/dev/full 2>"$work/err"
[ $? = 7 ] || bad "$what: not 7"
warns 'standard output: No space left'

# ---- the other descriptors

what="stat 2>&-"
timeout -k 5 30 "$tide" stat d 2>&- >"$work/out" </dev/null || bad "$what: fails"
says '^leader'
what="get of no key 2>&-"
timeout -k 5 30 "$tide" get d nokey 2>&- >"$work/out" </dev/null
[ $? = 1 ] || bad "$what: not 1"
for c in 'node' 'put d k -' "snapshot load d -"; do
    what="$c <&-"
    # shellcheck disable=SC2086
    timeout -k 5 30 "$tide" $c <&- >"$work/out" 2>"$work/err"
    [ $? = 7 ] || bad "$what: not 7"
    warns 'standard input: Bad file descriptor'
done
expect 0 "the domain is whole after all that" get d k
says '^v$'
"$tide" serve bare --followers 0 --ring 64K --table 256K <&- >&- 2>&- &
bare=$!
pids="$pids $bare"
until_true 20 "a server without descriptors serves" sh -c '"$0" put bare k v --timeout 20s 2>&1' "$tide"
expect 0 "get from it" get bare k
says '^v$'
kill "$bare"
wait "$bare"
[ $? = 0 ] || bad "serve with closed descriptors does not end with 0"

# ---- signals that were ignored when a command started stay ignored

http= # libmicrohttpd is not here
timeout -s TERM -k 5 1 "$tide" metrics d --listen 127.0.0.1:0 2>/dev/null | grep -q '^listening' && http=1
for signal in INT HUP; do
    for c in "follow d" "stat d --watch 20ms" "node" "dump d --follow" "watch d --initial" "metrics d --listen 127.0.0.1:0" "web d" \
        "serve e --followers 0 --ring 64K --table 256K"; do
        case $c in metrics* | web*) [ -n "$http" ] || continue ;; esac
        mkfifo "$work/in.$signal" 2>/dev/null
        # shellcheck disable=SC2086
        (
            trap '' "$signal"
            exec "$tide" $c >"$work/ignores" 2>"$work/err" <"$work/in.$signal"
        ) &
        begun=$!
        pids="$pids $begun"
        exec 9>"$work/in.$signal"
        [ "$c" = node ] && cat "$work/init" >&9
        until_true 20 "$c has begun" grep -q . "$work/ignores"
        kill "-$signal" "$begun"
        sleep 0.1
        kill -0 "$begun" 2>/dev/null || bad "$c: SIG$signal, ignored when it began, ended it"
        kill "$begun"
        exec 9>&-
        wait "$begun"
        [ $? = 0 ] || bad "$c: SIGTERM does not end it with 0"
        rm -f "$work/ignores"
    done
done

kill "$server"
wait "$server"
[ $? = 0 ] || bad "serve does not end with 0"
exit "$failed"
