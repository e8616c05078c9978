#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide node --domain`: several processes share a domain (tests/protocol/processes.talk: see tests/protocol/README.md),
# and one writes while the leader is killed. TIDE_BUILD (or BUILD_DIR) says where tide is (default build). Exit codes: 0
# all as expected, 1 not.
set -u
cd "$(dirname "$0")/.." || exit 1
tide=${TIDE_BUILD:-${BUILD_DIR:-build}}/tide
# A hang is a failure; the nodes are in the same process group and end with it.
[ -n "${TIDE_TALK_INNER:-}" ] || TIDE_TALK_INNER=1 exec timeout -k 5 $((150 * (1 + 2 * ${TIDE_SANITIZED:-0}))) sh "$0"
# A replica that may lead has a thread that is cancelled at the end. AddressSanitizer then takes marks of frames that were
# left for those of its own signal stack.
ASAN_OPTIONS=${ASAN_OPTIONS:-}:use_sigaltstack=0
export ASAN_OPTIONS
domain=talk-$$
work=$(mktemp -d)
failed=0
checks=0
pids=

end_all() {
    for pid in $pids; do
        kill -9 "$pid" 2>/dev/null
    done
    rm -rf "$work" /dev/shm/tidemark."$domain".*
}
trap end_all EXIT
trap 'exit 1' TERM INT HUP

fail() { # WHAT EXPECTED GOT
    failed=$((failed + 1))
    echo "FAIL protocol_processes: $1"
    echo "expected: $2"
    echo "got:      $3"
}

is() { # WHAT EXPECTED GOT
    checks=$((checks + 1))
    [ "$2" = "$3" ] || fail "$@"
}

# ---- one node: its ends of the pipes have fixed numbers, since a shell knows no others ----
to_fd() { echo $((2 * ${1#n} + 1)); }
from_fd() { echo $((2 * ${1#n} + 2)); }

init_line() { # NODE
    echo '{"src":"c0","dest":"'"$1"'","body":{"type":"init","msg_id":1,"node_id":"'"$1"'","node_ids":["n1","n2","n3"]}}'
}

tell() { # NODE LINE: the answer is in $answer
    printf '%s\n' "$2" >&"$(to_fd "$1")"
    answer=
    read -r answer <&"$(from_fd "$1")"
}

start() { # NODE OPTION...
    node=$1
    shift
    mkfifo "$work/$node.to" "$work/$node.from"
    # The pipes of the others are closed in it, or they would never see their input end.
    "$tide" node --domain "$domain" --ring 1M --table 4M "$@" <"$work/$node.to" >"$work/$node.from" \
        2>>"$work/$node.err" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- &
    eval "pid_$node=$!"
    pids="$pids $!"
    eval "exec $(to_fd "$node")>'$work/$node.to' $(from_fd "$node")<'$work/$node.from'"
    rm "$work/$node.to" "$work/$node.from"
    tell "$node" "$(init_line "$node")"
    is "$node starts" \
        '{"src": "'"$node"'", "dest": "c0", "body": {"type": "init_ok", "in_reply_to": 1, "msg_id": 0}}' "$answer"
}

leave() { # NODE STATUS [SIGNAL]: the pipes closed and the process gone
    eval "pid=\$pid_$1"
    [ $# = 2 ] || kill -s "$3" "$pid"
    eval "exec $(to_fd "$1")>&- $(from_fd "$1")<&-"
    wait "$pid" 2>/dev/null
    is "$1 ends with status $2" "$2" $?
}

# ---- the talk ----
leader=   # who leads since the kill; until then names and numbers stand as they are
hiding=0  # since the kill: indexes, lags and terms depend on when it was noticed
commit=0  # index of the write that was acknowledged last
skipping=0

field_of() { # NAME: a number or a string of $answer
    printf '%s\n' "$answer" | sed -nE 's/.*"'"$1"'": "?([^",}]*).*/\1/p'
}

# What no test can know. Times that are 0 are told apart from others only where they must be 0: nowhere here.
hidden() {
    program='s/"(actual_staleness_ms|staleness_ms|waited_ms)": [0-9.]+/"\1": T/g'
    if [ $hiding = 1 ]; then
        program="$program"';s/"(commit_index|applied_index|follower_applied_index|index|lag|term)": [0-9]+/"\1": N/g'
        program="$program"';s/"reads": \{[^}]*\}/"reads": READS/'
    fi
    if [ -n "$leader" ]; then
        program="$program;s/\"(served_by|leader)\": \"$leader\"/\"\\1\": \"LEADER\"/g"
        program="$program;s/\"served_by\": \"n[0-9]\"/\"served_by\": \"FOLLOWER\"/"
    fi
    printf '%s\n' "$answer" | sed -E "$program"
}

ask() { # NODE LINE
    tell "$1" "$(printf '%s\n' "$2" | sed "s/COMMIT/$commit/")"
    case $answer in
    *_ok*commit_index*) commit=$(field_of commit_index) ;;
    esac
}

twin() { # NODE: another process under the same name
    answer=$(init_line "$1" | "$tide" node --domain "$domain" 2>>"$work/twin.err" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&-)
}

# Each thread goes on until it has seen the signal.
is_stopped() { # PID
    while grep -h '^State:' /proc/"$1"/task/*/status | grep -qv 'T (stopped)'; do
        sleep 0.01
    done
}

has_put=1
"$tide" put --help >"$work/help" 2>&1 || has_put=0

run_line() { # WORD REST
    case $1 in
    '#') skipping=0 ;;
    start) eval "start $2" ;;
    end) leave "$2" 0 ;;
    kill) leave "$2" 137 KILL ;;
    stop | cont) eval "kill -s $(echo "$1" | tr a-z A-Z) \$pid_$2" && { [ "$1" = cont ] || eval "is_stopped \$pid_$2"; } ;;
    hide) hiding=1 ;;
    remove) rm -f /dev/shm/tidemark."$domain".* ;;
    leader) leader=$(field_of leader) ;;
    twin) twin "$2" ;;
    put)
        [ $has_put = 1 ] || skipping=1
        [ $skipping = 1 ] || "$tide" put "$domain" "${2%% *}" "${2#* }" >>"$work/put.out" 2>&1
        ;;
    n[123]'>') [ $skipping = 1 ] || ask "${1%?}" "$2" ;;
    n[123]'<' | twin'<') [ $skipping = 1 ] || is "line $line_number" "$2" "$(hidden)" ;;
    '') ;;
    *) fail "line $line_number" "a line of a talk" "$1 $2" ;;
    esac
}

line_number=0
while read -r word rest <&9; do
    line_number=$((line_number + 1))
    run_line "$word" "$rest"
done 9<tests/protocol/processes.talk
is "nothing but notes on standard error" "" \
    "$(cat "$work"/*.err | grep -v -e 'tide node: \(info\|warning\): ' -e 'log segment was unlinked')"

# ---- one that writes as fast as it can while the leader is killed: what was acknowledged is there ----
start n1
start n2
init_line n3 >"$work/flood.in"
awk 'BEGIN {
    line = "{\"src\":\"c1\",\"dest\":\"n3\",\"body\":{\"type\":\"write\",\"msg_id\":%d,\"key\":%d,\"value\":%d}}\n"
    for (i = 2; i <= 20001; i++) printf line, i, i, i }' >>"$work/flood.in"
"$tide" node --domain "$domain" --ring 1M --table 4M <"$work/flood.in" >"$work/flood.out" 2>>"$work/n3.err" \
    3>&- 4>&- 5>&- 6>&- 7>&- 8>&- &
flood=$!
pids="$pids $flood"
until [ -s "$work/flood.out" ]; do sleep 0.01; done
leave n1 137 KILL
wait $flood
is "the writer ends well" 0 $?
is "every request is answered" 20001 "$(grep -c '"in_reply_to": ' "$work/flood.out")"
is "errors are those of writes that were not done, or whose fate is unknown" 0 \
    "$(grep '"type": "error"' "$work/flood.out" | grep -cv '"code": \(0\|11\|13\),')"
sed -nE 's/.*"write_ok", "in_reply_to": ([0-9]+),.*/\1/p' "$work/flood.out" >"$work/acked"
{
    init_line n4 | sed 's/"node_ids":.*/"node_ids":["n4"]}}/'
    sed 's/.*/{"src":"c1","dest":"n4","body":{"type":"read","msg_id":&,"key":&}}/' "$work/acked"
} | "$tide" node --domain "$domain" 2>>"$work/n4.err" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- >"$work/read.out"
sed -nE 's/.*"read_ok", "in_reply_to": ([0-9]+), .*"value": ([0-9]+), "served_by": "n2", .*/\1 \2/p' \
    "$work/read.out" | awk '$1 == $2 { print $1 }' >"$work/found"
is "$(wc -l <"$work/acked") acknowledged writes are there, served by n2" "" "$(diff "$work/acked" "$work/found" | head -5)"
is "a replica that is not in node_ids is warned of" 1 "$(grep -c 'not in node_ids' "$work/n4.err")"
leave n2 0

if [ $failed != 0 ]; then
    echo "FAIL protocol_processes: $failed of $checks checks"
    exit 1
fi
echo "PASS protocol_processes ($checks checks)"
