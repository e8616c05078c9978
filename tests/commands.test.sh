#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# The commands on running domains, as a user would call them: serve, follow, get, put, del, cas, scan, ls, stat, verify,
# snapshot, step-down, gc, rm; with real processes, kill -9 and SIGSTOP included. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.." || exit 1
. tests/lib/commands.sh

led_by() { # name pid
    "$tide" ls --json | grep "\"name\": \"$1\"" | grep -q "\"leader_pid\": $2[,}]"
}

# ---- usage -----------------------------------------------------------------------------------------------------------

for c in serve follow get put del clear cas touch ttl incr scan watch ls stat verify snapshot step-down gc rm; do
    expect 0 "$c --help" $c --help
    says 'Exit codes'
    says '--json'
    "$tide" help | grep -q "^  $c " || { echo "tide help does not list $c"; failed=1; }
    expect 2 "$c, unknown option" $c --nonsense x y z
    [ -s "$work/out" ] && bad "$c: a usage error writes to standard output"
done
for c in serve follow get put del clear cas touch ttl incr scan watch stat verify snapshot step-down rm; do
    expect 2 "$c without a name" $c
done
expect 2 "a bad name" get ../x k
expect 2 "no key" get none
expect 3 "two keys" get none a b
expect 2 "an empty one of several" get none a ""
expect 2 "no value" put none k
expect 2 "cas without version" cas none k v
expect 2 "bad staleness" get none k --max-staleness 5
expect 2 "bad fallback" get none k --fallback maybe
expect 2 "bad token" get none k --token 17
expect 2 "bad ring" serve none --ring 17K
expect 2 "bad followers" serve none --followers 64
expect 2 "more delays than followers" serve none --delay 1ms,2ms
expect 2 "bad watchdog" follow none --watchdog 0
expect 2 "count without watch" stat none --count 3
expect 2 "neither save nor load" snapshot keep none file
expect 2 "an option of load" snapshot save none file --replace
for c in "get none k" "put none k v" "del none k" "cas none k v --expect 0" "scan none" "stat none" "verify none" \
    "follow none" "step-down none" "gc none" "rm none" "snapshot save none $work/none"; do
    expect 3 "no domain: $c" $c
    warns 'no such domain'
done
expect 3 "no domain, json" get none k --json
says '"error": "no_domain".*"exit_code": 3'
expect 0 "ls of nothing" ls
is ""
expect 0 "gc of nothing" gc

# ---- reading and writing ---------------------------------------------------------------------------------------------

begin a serve a --followers 2 --delay 100ms,1h --ring 1M --table 2M
serve=$begun
ready a
grep -Eq "^ready a leader=0 replicas=3 pid=$serve " "$work/a" || { echo "the ready line: $(cat "$work/a")"; failed=1; }
expect 0 "put" put a k value
token=$(cat "$work/out")
expect 0 "get" get a k
is value
[ "$(wc -c <"$work/out")" = 5 ] || bad "get: adds bytes to the value"
expect 0 "get -n" get a k -n
[ "$(wc -c <"$work/out")" = 6 ] || bad "get -n: no newline"
expect 0 "get --json" get a k --json --token "$token"
says '"found": true, "value": "value", "encoding": "utf-8", "version": 1, "ttl_ns": null, "served_by": 0, "reason": "fresh", "linearizable": true'
says "\"token\": \"$token\""
expect 1 "no such key" get a nokey
expect 1 "no such key, json" get a nokey --json
says '"found": false'
expect 4 "a fence ahead" get a k --token "${token%:*}:1000"
expect 4 "another incarnation" get a k --token 1:1
expect 4 "a revision, of a domain that no source feeds" get a k --token rev:1
expect 2 "no revision" get a k --token rev:one
expect 2 "a revision beyond 64 bits" get a k --token rev:18446744073709551616
printf 'a\000b\377\n' | "$tide" put a bytes - >"$work/out" 2>"$work/err" || bad "put from standard input"
"$tide" get a bytes >"$work/bytes"
[ "$(od -An -tx1 <"$work/bytes")" = " 61 00 62 ff 0a" ] || { echo "bytes came back as: $(od -An -tx1 <"$work/bytes")"; failed=1; }
expect 0 "bytes, json" get a bytes --json
says '"value": "YQBi/wo=", "encoding": "base64"'
expect 0 "put --file" put a file --file "$work/bytes" --json
says '"index": 3, "token"'
expect 7 "put of no file" put a file --file "$work/none"
expect 0 "an escaped key" put a --escaped 'x\x00y' v
expect 0 "an empty value" put a empty ""
expect 0 "get of an empty value" get a empty
is ""
expect 0 "cas, must not exist" cas a c one --expect 0
expect 6 "cas, exists" cas a c two --expect 0 --json
says '"found_version": 6, "error": "mismatch"'
expect 0 "cas" cas a c two --expect 6
expect 0 "del" del a empty
expect 0 "del of nothing" del a empty
head -c 200000 /dev/urandom >"$work/large"
expect 0 "a value larger than a lane" put a large --file "$work/large"
"$tide" get a large | cmp - "$work/large" || { echo "a large value came back different"; failed=1; }
head -c 300000 /dev/zero >"$work/larger"
expect 7 "a value over a quarter of the ring" put a larger --file "$work/larger"
warns 'quarter of the ring'

# Replica 1 is 100 ms behind, replica 2 an hour: what they may serve is up to the bound.
expect 4 "refused" get a k --replica 2 --max-staleness 1ns --fallback error --json
says '"staleness_ns": [1-9].*"error": "refused"'
expect 4 "not in time" get a k --replica 2 --fallback wait --wait 1ms
expect 0 "put" put a fresh 1
token=$(cat "$work/out")
expect 0 "the leader" get a fresh --replica 2 --json
says '"value": "1".*"from_leader": true'
expect 0 "a fence" get a fresh --replica 1 --max-staleness any --fallback wait --wait 10s --token "$token" --json
says '"value": "1".*"served_by": 1, "reason": "(waited|fresh|within_bound)"'
expect 1 "stale by choice" get a fresh --replica 2 --fallback stale
warns 'breached'
expect 1 "any staleness" get a fresh --replica 2 --max-staleness any --json
says '"served_by": 2, "reason": "within_bound"'
expect 4 "a lag that is too large" get a fresh --replica 2 --max-staleness any --max-lag 2 --fallback error

expect 0 "scan" scan a --keys
is "bytes
c
file
fresh
k
large
x\\x00y"
expect 0 "scan a prefix" scan a --prefix f --limit 1
[ "$(cut -f 1 "$work/out")" = file ] || bad "scan --prefix"
expect 0 "scan --json" scan a --prefix x --json
says '"key": "x\\u0000y", "value": "v", "encoding": "utf-8", "version": 4'
says '"keys": 1, "printed": 1, "joined": false, "served_by"'

# ---- looking ---------------------------------------------------------------------------------------------------------

expect 0 "ls" ls
says "^a +alive +r0 \\($serve\\) +3/3"
expect 0 "ls --json" ls --json
says '"name": "a", "state": "alive", "led": true, "leader": 0'
expect 0 "stat" stat a
says '^keys      found [0-9]+, missing [0-9]+, hit ratio [0-9.]+ %; made 0, waited for 0'
says "leader    replica 0, process $serve"
says '^  0 r0 +leads +[0-9]+ '
says '^  2 r2 +serving +[0-9]+ '
says '^sizes +up to 16: [0-9]+ keys, '
says 'ID +TABLE +USED +LIVE +FREE +WAITING +OVERHEAD +KEYS AT MOST'
says '^  2 .* [0-9]+$'
expect 0 "stat --wide" stat a --wide
says ' r2 +follower +serving'
expect 0 "stat --json" stat a --json
says '"tide_hits_total": [0-9]+, "tide_misses_total": [0-9]+, "tide_hit_ratio": [0-9.]+, "tide_made_total": 0, "tide_waited_total": 0'
for name in tide_commit_index tide_applied_index tide_replication_lag_seconds tide_reads_total \
    tide_bounded_staleness_fallback_ratio tide_ring_used_ratio tide_leader_term tide_replica_state \
    sizes table_live_bytes table_free_bytes table_waiting_bytes table_overhead_bytes table_keys_most; do
    says "\"$name\": "
done
says '"reason": "stale_by_choice", "value": 1'
expect 0 "stat --watch" stat a --watch 1ms --count 3 --json
says '"rates": \{"seconds": [0-9.e-]+, "writes_s": '
[ "$(wc -l <"$work/out")" = 3 ] || bad "stat --watch --count 3: not three lines"
expect 0 "verify" verify a
says '3 replicas, .* 0 damaged'
says '0 differing'
expect 0 "verify --json" verify a --json
says '"differing": 0.*"damaged": 0.*"good": true'
expect 4 "rm of a domain in use" rm a
warns "$serve"

# ---- snapshots -------------------------------------------------------------------------------------------------------

snap=$work/snap
expect 0 "save" snapshot save a "$snap"
says 'saved 7 keys of a'
expect 7 "save where there is no directory" snapshot save a "$work/none/x"
expect 7 "save over a directory" snapshot save a "$work"
"$tide" snapshot save a - 2>/dev/null | cmp -s -n 32 - "$snap" || { echo "save to a pipe differs"; failed=1; }
ls "$work" | grep -q 'snap\.tmp' && { echo "save left a temporary file"; failed=1; }
expect 0 "put" put a later 1
expect 0 "del" del a k
expect 0 "load" snapshot load a "$snap"
says 'loaded 7 keys into a'
expect 0 "what was deleted is back" get a k
is value
expect 0 "what is not in the file stays" get a later
expect 0 "load --replace" snapshot load a "$snap" --replace --json
says '"keys": 7, "written": 7, "deleted": 1'
expect 1 "what is not in the file is gone" get a later
"$tide" scan a >"$work/before"
head -c 300 "$snap" >"$work/short"
expect 7 "load of a truncated file" snapshot load a "$work/short" --replace
warns 'truncated.*nothing was written'
{ head -c 400 "$snap"; printf X; tail -c +402 "$snap"; } >"$work/flipped"
expect 7 "load of a damaged file" snapshot load a "$work/flipped" --replace
warns 'checksum'
expect 7 "load of something else" snapshot load a "$tide" --json
says '"error": "snapshot"'
expect 7 "load of no file" snapshot load a "$work/none"
"$tide" scan a | cmp - "$work/before" || { echo "a bad file changed the domain"; failed=1; }

# ---- ends and changes of leader --------------------------------------------------------------------------------------

begin f1 follow a
f1=$begun
begin f2 follow a --no-candidate --json
f2=$begun
ready f1
ready f2
grep -Eq "^ready a replica=3 pid=$f1 candidate=yes|^ready a replica=4 pid=$f1 candidate=yes" "$work/f1" ||
    { echo "follow's ready line: $(cat "$work/f1")"; failed=1; }
expect 0 "step-down" step-down a --json
[ "$(field to_pid)" = "$f1" ] || bad "step-down: not to $f1"
expect 0 "put to the new leader" put a led-by f1
kill -9 "$f1"
until_true 10 "the one who stepped down leads again" led_by a "$serve"
expect 0 "put after kill -9 of the leader" put a k after --timeout 10s
expect 0 "get after kill -9 of the leader" get a led-by
is f1
expect 0 "gc" gc a
expect 0 "no dead members are left" ls --json
says '"dead_members": 0'
kill -TERM "$serve"
ended "$serve" 0 "serve, SIGTERM"
expect 4 "put with no leader" put a k v --timeout 50ms
warns 'nobody leads'
expect 4 "step-down with no leader" step-down a
expect 0 "reads go on without a leader" get a k
is after
kill -INT "$f2" 2>/dev/null
kill -TERM "$f2"
ended "$f2" 0 "follow, SIGTERM"
expect 0 "ls" ls
says '^a +dead'

# What the dead left.
expect 0 "scan of a dead domain" scan a --prefix k
is "k	after"
expect 0 "save of a dead domain" snapshot save a "$snap" --json
says '"joined": true'
expect 4 "verify of a dead domain" verify a
expect 0 "gc of a dead domain" gc
says 'kept for a warm start'
begin w follow a
ready w
expect 0 "warm start by a follower" get a k
is after
until_true 10 "the follower leads" led_by a "$begun"
expect 0 "put" put a k warm
kill -9 "$begun"
wait "$begun" 2>/dev/null || true # until it is gone it leads, and 'serve' says so
begin w2 serve a --json
ready w2
w2=$begun
grep -q "\"ready\": \"a\", \"role\": \"leader\".*\"pid\": $w2" "$work/w2" || { echo "serve --json: $(cat "$work/w2")"; failed=1; }
expect 0 "warm start after kill -9" get a k
is warm
expect 0 "verify" verify a

# A leader that is stopped keeps its place, until a watchdog kills it.
begin dog follow a --watchdog 200ms
dog=$begun
ready dog
kill -STOP "$w2"
until_true 15 "the watchdog takes over" led_by a "$dog"
grep -q "process $w2, did not answer and was killed" "$work/dog.err" || { echo "watchdog: $(cat "$work/dog.err")"; failed=1; }
expect 0 "put after the watchdog" put a k dog --timeout 10s
expect 0 "get after the watchdog" get a k
is dog

# Removed under their feet.
expect 0 "rm --force" rm a --force
until_true 10 "follow notices" grep -q 'removed or replaced' "$work/dog.err"
ended "$dog" 3 "follow of a removed domain"
expect 3 "rm again" rm a
expect 0 "ls of nothing" ls
is ""

# ---- damaged files ---------------------------------------------------------------------------------------------------

: >"$TIDE_SHM_DIR/tidemark.empty.log"
head -c 3000000 /dev/urandom >"$TIDE_SHM_DIR/tidemark.noise.log"
mkdir "$TIDE_SHM_DIR/tidemark.dir.log"
ln -s /etc/hostname "$TIDE_SHM_DIR/tidemark.link.log"
chmod 600 "$TIDE_SHM_DIR"/tidemark.[en]*.log
expect 0 "ls of damaged files" ls
says '^empty +damaged'
says '^noise +damaged'
says '^dir +closed'
says '^link +closed'
for name in empty noise dir link; do
    for c in "get $name k" "scan $name" "stat $name" "verify $name" "follow $name" "serve $name"; do
        expect 7 "damaged: $c" $c
    done
done
expect 0 "rm of noise" rm noise
expect 0 "rm of an empty file" rm empty
expect 7 "rm of a directory" rm dir
: >"$TIDE_SHM_DIR/tidemark.left.r3"
expect 0 "rm of leftovers" rm left
expect 3 "rm of leftovers again" rm left

# A dead domain whose last copy is damaged is made anew, and that is said.
begin d serve d --followers 0 --ring 64K --table 256K
ready d
for i in 1 2 3 4 5 6; do
    head -c 15000 /dev/zero | "$tide" put d "key$i" - >/dev/null
done
kill -9 "$begun"
wait "$begun" 2>/dev/null
head -c 200000 /dev/urandom | dd of="$TIDE_SHM_DIR/tidemark.d.r0" bs=1000 seek=20 conv=notrunc 2>/dev/null
begin d2 serve d --followers 0
ready d2
grep -q 'created anew' "$work/d2.err" || { echo "serve says nothing of a new domain: $(cat "$work/d2.err")"; failed=1; }
expect 1 "a new domain is empty" get d key1
kill -TERM "$begun"
ended "$begun" 0 "serve, SIGTERM"
expect 0 "rm of a dead domain" rm d --json
says '"removed": "d"'

exit $failed
