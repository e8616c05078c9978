#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide node` as a process: the transcripts of tests/protocol, and what happens at its edges (long lines, closed output,
# end of input, signals, options). TIDE_BUILD (or BUILD_DIR) says where tide is (default build). Exit codes: 0 all as
# expected, 1 not.
set -u
cd "$(dirname "$0")/.."
tide=${TIDE_BUILD:-${BUILD_DIR:-build}}/tide
# A hang is a failure, not an endless test run.
node="timeout -k 5 60 $tide node"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
checks=0

check() { # NAME COMMAND...: the command must succeed
    what=$1
    shift
    checks=$((checks + 1))
    if ! "$@" >"$work/why" 2>&1; then
        failed=$((failed + 1))
        echo "FAIL protocol: $what"
        head -20 "$work/why"
    fi
}

hide_times() { # FILE
    sed -E 's/"(actual_staleness_ms|staleness_ms|waited_ms|ttl_ms)": [0-9]*[1-9.][0-9.]*/"\1": T/g
        s/("ttls_ms": \{"h": )3[56][0-9]{5}(\.[0-9]+)?/\1T/' "$1"
}

same() { # EXPECTED ACTUAL, with the times hidden in the latter
    hide_times "$2" >"$2.hidden"
    diff "$1" "$2.hidden"
}

first_line_is() { # EXPECTED ACTUAL
    head -n 1 "$2" | diff "$1" -
}

is() { # EXPECTED ACTUAL
    [ "$1" = "$2" ] || { echo "expected: $1"; echo "got:      $2"; return 1; }
}

answers() { # FILE COUNT
    is "$2" "$(grep -c '"in_reply_to": ' "$1")"
}

segments() {
    find /dev/shm -name 'tidemark.node-*' 2>/dev/null | grep -c "node-$1-"
}

for in in tests/protocol/*.in; do
    base=${in%.in}
    name=$(basename "$base")
    args=
    [ ! -r "$base.args" ] || args=$(cat "$base.args")
    # shellcheck disable=SC2086 # the options are words
    $node $args <"$in" >"$work/out" 2>"$work/err"
    check "$name: exit code" is 0 $?
    [ ! -r "$base.first" ] || check "$name: first line" first_line_is "$base.first" "$work/out"
    [ ! -r "$base.all" ] || check "$name: all lines" same "$base.all" "$work/out"
    [ ! -r "$base.err" ] || check "$name: standard error" same "$base.err" "$work/err"
done

init='{"src":"c0","dest":"n1","body":{"type":"init","msg_id":1,"node_id":"n1","node_ids":["n1","n2"]}}'

life='{"src":"c1","dest":"n1","body":{"type":"write","msg_id":2,"key":"h","value":1,"ttl_ms":3600000}}
{"src":"c1","dest":"n1","body":{"type":"read","msg_id":3,"key":"h","ttl":true}}
{"src":"c1","dest":"n1","body":{"type":"follower_read","msg_id":4,"key":"h","ttl":true,"max_lag":0,"fallback":"wait","wait_ms":20000}}'
printf '%s\n%s\n' "$init" "$life" | $node >"$work/out" 2>"$work/err"
check "a read tells what is left of a life" is 2 "$(grep -cE '"ttl_ms": 35[0-9]{5}(\.[0-9]+)?, ' "$work/out")"

# ---- long and deep lines ----
line_of() { # SIZE: a write whose line has this many bytes
    awk -v size="$1" 'BEGIN {
        head = "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"write\",\"msg_id\":2,\"key\":\"k\",\"value\":\""
        s = "x"; while (length(s) < size) s = s s
        printf "%s%s\"}}\n", head, substr(s, 1, size - length(head) - 3) }'
}
read_k='{"src":"c1","dest":"n1","body":{"type":"read","msg_id":3,"key":"k"}}'
{ echo "$init"; line_of 1048576; echo "$read_k"; line_of 1048577; line_of 3000000; echo "$read_k"; } >"$work/in"
$node <"$work/in" >"$work/out" 2>"$work/err"
check "a line of 1 MiB is taken, one byte more is error 12, and reading goes on" answers "$work/out" 6
check "... the value comes back whole" is 2 "$(awk 'length($0) > 1048000 && /read_ok/' "$work/out" | wc -l)"
check "... two lines are too long" is 2 "$(grep -c '"code": 12, "text": "the line is longer than' "$work/out")"
check "... nothing on standard error" is "" "$(cat "$work/err")"

{
    echo "$init"
    awk 'BEGIN { while (n++ < 3000000) printf "["; print ""; while (m++ < 1000) printf "{\"a\":"; }'
} >"$work/in"
$node <"$work/in" >"$work/out" 2>"$work/err"
check "endless nesting is survived" is 0 $?
check "... and said on standard error, a line each" is 2 "$(grep -c 'not answered' "$work/err")"

printf '%s' "$init" | $node >"$work/out" 2>"$work/err"
check "a last line without its end is answered" answers "$work/out" 1
$node </dev/null >"$work/out" 2>"$work/err"
check "no input at all: exit code 0" is 0 $?
head -c 300000 /dev/urandom >"$work/in"
$node <"$work/in" >"$work/out" 2>"$work/err"
check "random bytes: exit code 0" is 0 $?
check "... no answers" is 0 "$(wc -c <"$work/out")"
check "... a line of error for each of input" is "$(grep -ac '' "$work/in")" "$(grep -c 'not answered' "$work/err")"

# ---- many lines at once, and a reader that goes away ----
{
    echo "$init"
    awk 'BEGIN {
        line = "{\"src\":\"c1\",\"dest\":\"n1\",\"body\":{\"type\":\"write\",\"msg_id\":%d,\"key\":%d,\"value\":%d}}\n"
        while (n++ < 50000) printf line, n, n % 100, n }'
} >"$work/in"
$node <"$work/in" >"$work/out" 2>"$work/err"
check "50,000 writes: 50,000 answers, numbered without a gap" is \
    '"in_reply_to": 50000, "msg_id": 50000, "commit_index": 50000}}' \
    "$(tail -n 1 "$work/out" | cut -d ' ' -f 8-)"
{ $node <"$work/in" 2>"$work/err"; echo $? >"$work/rc"; } | head -n 1 >"$work/out"
check "closed output: exit code 0" is 0 "$(cat "$work/rc")"
check "... and quietly" is "" "$(cat "$work/err")"

# ---- one at a time: an answer never waits for the next request ----
mkfifo "$work/to" "$work/from"
$node <"$work/to" >"$work/from" 2>"$work/err" &
exec 3>"$work/to" 4<"$work/from"
echo "$init" >&3
read -r first <&4
check "the answer is there before the next request" is \
    '{"src": "n1", "dest": "c0", "body": {"type": "init_ok", "in_reply_to": 1, "msg_id": 0}}' "$first"
exec 3>&-
wait $!
exec 4<&-

# ---- time to live ----
write_short='{"src":"c1","dest":"n1","body":{"type":"write","msg_id":2,"key":"k","value":1,"ttl_ms":1}}'
over='"read_ok".*"value": null'
: >"$work/out"
{ # a node that starts late finds the first read right behind the write
    echo "$init"
    echo "$write_short"
    n=0
    while [ $n -lt 200 ] && ! grep -q "$over" "$work/out"; do
        sleep 0.05
        echo "$read_k"
        n=$((n + 1))
    done
} | $node >>"$work/out" 2>"$work/err"
check "a key whose ttl_ms is over is not there" grep -q "$over" "$work/out"

# ---- signals ----
# Not SIGINT: a shell without job control starts background commands with it ignored, and what is ignored stays so.
for signal in TERM HUP; do
    "$tide" node <"$work/to" >"$work/from" 2>"$work/err" &
    pid=$!
    exec 3>"$work/to" 4<"$work/from"
    echo "$init" >&3
    read -r first <&4
    kill -s $signal $pid
    wait $pid
    rc=$?
    check "SIG$signal: exit code 0" is 0 $rc
    check "SIG$signal: no segments stay" is 0 "$(segments $pid)"
    exec 3>&- 4<&-
done

# ---- options ----
refuses() { # TEXT OPTION...: exit code 2 and the text on standard error
    text=$1
    shift
    $node "$@" </dev/null >"$work/out" 2>"$work/err"
    is 2 $? && grep -q -- "$text" "$work/err"
}
check "--domain with a name that cannot be is refused" refuses "--domain must be" --domain no/name
check "an unknown option is refused" refuses "unrecognized" --what
check "an argument is refused" refuses "unexpected argument: x" x
for bad in n2 n2= =5ms n2=5 n2=5ms, n2=2h; do
    check "--delay $bad is refused" refuses "--delay must be" "--delay=$bad"
done
check "--ryw-wait without unit is refused" refuses "--ryw-wait must be" --ryw-wait 5
check "--missing maybe is refused" refuses "--missing must be" --missing maybe
check "--ring 100000 is refused" refuses "--ring must be" --ring 100000
check "--table 0 is refused" refuses "--table must be" --table 0
check "--help tells the options" sh -c "$tide node --help | grep -q -- --ryw-wait"
check "tide without a command: exit code 2" sh -c "$tide 2>/dev/null; [ \$? = 2 ]"
check "tide nonsense: exit code 2" sh -c "$tide nonsense 2>/dev/null; [ \$? = 2 ]"
check "tide version" sh -c "$tide version | grep -q '^tide [0-9]*\.[0-9]*\.[0-9]*\$'"
check "a delay for nobody is warned of" \
    sh -c "echo '$init' | $node --delay n7=5ms 2>&1 >/dev/null | grep -q 'delay n7 is not used'"

# ---- the demonstration ----
check "tide demo prints a row for each bound and follower" is 6 \
    "$($tide demo --seconds 0.2 --delay 1ms,5ms --bounds 2ms,1s | grep -cE '^[0-9]+m?s +(r1|r2|any) ')"
check "tide demo --json is JSON" sh -c "$tide demo --seconds 0.1 --json | head -n 1 | grep -q '^{'"
check "tide demo --bounds 0 is refused" sh -c "$tide demo --bounds 0ms 2>/dev/null; [ \$? = 2 ]"

if [ $failed != 0 ]; then
    echo "FAIL protocol: $failed of $checks checks"
    exit 1
fi
echo "PASS protocol ($checks checks)"
