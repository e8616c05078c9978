#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Commands on what is not there, what the dead left, what another version made; files that somebody who was killed left.
# Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh

# ---- nothing of that name

expect 3 "rm of nothing" rm nobody
warns 'no such domain: nothing was removed'
grep -q "tide serve" "$work/err" && bad "rm of nothing advises to serve it"
expect 3 "dump of nothing" dump nobody
warns 'there is no such domain, and no file of that name here'
expect 3 "dump of no file" dump "$work/none"
warns 'there is no such file'

# ---- all processes dead: get and scan agree, stat knows what the dead left

begin serve serve d --followers 1 --ring 64K --table 256K
ready serve
for k in 1 2 3 4 5; do
    expect 0 "put" put d "k$k" "v$k" --timeout 20s
done
kill -9 "$begun"
wait "$begun" 2>/dev/null
what="members of the dead"
expect 0 "gc" gc d
for c in "get d k3" "scan d" "snapshot save d $work/dead.snap"; do
    # shellcheck disable=SC2086
    expect 0 "$c of a dead domain" $c --max-staleness any --fallback stale
done
expect 0 "scan of a dead domain" scan d --max-staleness any --fallback stale
says '^k3	v3$'
expect 0 "get of a dead domain" get d k3 --max-staleness any --fallback stale
says '^v3$'
expect 1 "get of no key of a dead domain" get d k9 --max-staleness any --fallback stale
expect 0 "get --json of a dead domain" get d k3 --max-staleness any --fallback stale --json
says '"value": "v3"'
for c in "get d k3" "scan d"; do
    # shellcheck disable=SC2086
    expect 0 "$c of a dead domain: nobody can have written since" $c
done
expect 0 "ttl of a dead domain" ttl d k3
says '^never$'
expect 1 "ttl of no key of a dead domain" ttl d k9
expect 1 "get of two keys of a dead domain, one not there" get d k3 k9
says '^k3	v3$'
expect 0 "watch of what a dead domain has" watch d --initial --count 1
says '^put	'
expect 4 "ttl from one replica of a dead domain" ttl d k3 --replica 1
expect 4 "get from one replica of a dead domain" get d k3 --replica 1 --max-staleness any --fallback stale
expect 0 "stat of a dead domain" stat d --json
says '"tide_replica_state": "orphan", .*"keys": 5,'
expect 0 "stat of a dead domain" stat d
says ' orphan .* 5 +[0-9.]+ % '
says '^orphan    replica 0 holds 5 keys \([0-9]+ bytes of keys and values\), the log up to 5'
says "'tide serve d' goes on from it"
expect 0 "stat of a dead domain, wide" stat d --wide
says 'orphan +[0-9]+ +5 +0 +0ns +0ns +5 '

# ---- something is left: that is no success

mkdir "$TIDE_SHM_DIR/tidemark.d.r9"
expect 7 "rm with a directory among the files" rm d --force
warns 'tidemark.d.r9 is still there and cannot be removed'
rmdir "$TIDE_SHM_DIR/tidemark.d.r9"
expect 3 "rm of nothing, again" rm d --force

# ---- a directory that is not there: every command says so, and none that it would make it

kept=$TIDE_SHM_DIR
: >"$work/file"
for c in "serve d" "get d k" "put d k v" "stat d" "verify d" "ls" "gc" "gc d" "rm d" "rm d --force" "dump d" "top d --once" "metrics d" "diff d e" "snapshot save d $work/no.snap"; do
    TIDE_SHM_DIR=$work/nowhere
    # shellcheck disable=SC2086
    expect 7 "$c in a directory that is not there" $c
    warns "$work/nowhere/.* does not exist"
    grep -q "makes it" "$work/err" && bad "$c: says that something makes it"
    for TIDE_SHM_DIR in "$work/file" "$work/file/below"; do
        # shellcheck disable=SC2086
        expect 7 "$c in a directory that is a file" $c
        warns "what the segments should lie in, $work/file/.*, is no directory"
        grep -q "makes it" "$work/err" && bad "$c: says that something makes it"
    done
done
TIDE_SHM_DIR=$work/file
expect 7 "a failure as JSON has what the log told" get d k --json
says '"error": "failed", "text": "domain d: .*"log": "tidemark d: what the segments should lie in, .*"exit_code": 7'
TIDE_SHM_DIR=$kept

# ---- another version's: which, and the way

begin serve2 serve d --followers 0 --ring 64K --table 256K
ready serve2
kill "$begun"
wait "$begun"
printf '\143\0\0\0' | dd of="$TIDE_SHM_DIR/tidemark.d.log" bs=1 seek=8 conv=notrunc 2>/dev/null
for c in "serve d" "get d k1" "put d k1 v" "stat d" "verify d" "snapshot save d $work/no.snap"; do
    # shellcheck disable=SC2086
    expect 7 "$c of another version's domain" $c
    warns 'layout version 99'
    warns "save it with the tide that made it: 'tide snapshot save d FILE'; then, with this one: 'tide rm d', 'tide serve d'"
done
[ -e "$work/no.snap" ] && bad "a snapshot of another version's domain appears"
expect 7 "dump of another version's" dump d
says 'layout version 99; this one knows'
grep -Eq 'BAD|CORRUPT' "$work/out" && bad "dump calls another version's damaged"
expect 0 "ls of another version's" ls
says '^d +version '
says '^  why .*layout version 99'
expect 0 "ls of another version's, wide" ls --wide
says '^d +version .*layout version 99'
expect 0 "ls --json of another version's" ls --json
says '"state": "version", "why": "[^"]*layout version 99'
expect 0 "rm of another version's" rm d
begin serve3 serve d --followers 0 --ring 64K --table 256K
ready serve3
expect 0 "load what was saved before" snapshot load d "$work/dead.snap" --timeout 20s
expect 0 "get what was loaded" get d k5
says '^v5$'

# ---- a save that was killed: the next one removes what it left, and nothing else

: >"$work/x.snap.tmp.999999999"
: >"$work/x.snap.tmp.note"
: >"$work/y.snap.tmp.999999999"
mkfifo "$work/x.snap.tmp.7"
(
    flock -x 8
    exec sleep 60
) 8>"$work/x.snap.tmp.4000000" 2>/dev/null &
holder=$!
pids="$pids $holder"
until_true 20 "the lock" sh -c '! flock -n "$0" true' "$work/x.snap.tmp.4000000"
expect 0 "save" snapshot save d "$work/x.snap"
[ -e "$work/x.snap.tmp.999999999" ] && bad "a temporary of a save that died is left"
for file in x.snap x.snap.tmp.note y.snap.tmp.999999999 x.snap.tmp.7 x.snap.tmp.4000000; do
    [ -e "$work/$file" ] || bad "save removes $file"
done
kill "$holder"
wait "$holder" 2>/dev/null
expect 0 "save again" snapshot save d "$work/x.snap"
[ -e "$work/x.snap.tmp.4000000" ] && bad "a temporary is left although nobody holds it"

: >"$work/m.prom.tmp.999999999"
: >"$work/m.prom.tmp.note"
expect 0 "a textfile" metrics --textfile "$work/m.prom"
[ -e "$work/m.prom.tmp.999999999" ] && bad "a temporary of a textfile whose maker died is left"
[ -e "$work/m.prom.tmp.note" ] || bad "metrics removes what is not its own"

# ---- another user's: what is refused is an error, not a domain that is not there

if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$TIDE_SHM_DIR"
    : >"$work/out"
    for c in "get d k1" "get d k1 k2" "put d k1 v" "ttl d k1" "touch d k1 1h" "incr d n" "clear d" "watch d --initial --count 1" "stat d" \
        "metrics d" "verify d" "dump d" "dump d --at 1" "rm d" "rm d --force" "gc d" "follow d" "serve d"; do
        what="$c of another user's domain"
        # shellcheck disable=SC2086
        setpriv --reuid 65534 --regid 65534 --clear-groups timeout -k 5 30 "$tide" $c >"$work/out" 2>"$work/err" </dev/null
        got=$?
        want=7
        case $c in dump*) want=3 ;; esac # or no file that can be opened
        [ $got = 126 ] || [ $got = 127 ] || [ $got = $want ] || bad "$what: exit code $got, not $want"
        [ $got != $want ] || warns 'belongs to another user|Permission denied'
    done
    chmod 700 "$TIDE_SHM_DIR"
fi
expect 0 "get of what another user could not remove" get d k5

# ---- a limit on the size of files: an error, and nothing left

expect 0 "a large value" put d big "$(head -c 9000 /dev/zero | tr '\0' x)" --timeout 20s
what="save under a limit of file size"
(
    ulimit -f 1
    exec timeout -k 5 30 "$tide" snapshot save d "$work/limit.snap" >"$work/out" 2>"$work/err"
)
got=$?
[ $got = 7 ] || bad "$what: exit code $got, not 7"
warns 'File too large'
ls "$work"/limit.snap* >/dev/null 2>&1 && bad "$what: leaves a file"
what="a textfile under a limit of file size"
(
    ulimit -f 1
    exec timeout -k 5 30 "$tide" metrics --textfile "$work/limit.prom" >"$work/out" 2>"$work/err"
)
got=$?
[ $got = 7 ] || bad "$what: exit code $got, not 7"
warns 'File too large'
ls "$work"/limit.prom* >/dev/null 2>&1 && bad "$what: leaves a file"

# ---- another user's file under a name of ours, as root sees it: no damaged domain of ours, and nothing for gc

if [ "$(id -u)" = 0 ]; then
    echo x >"$TIDE_SHM_DIR/tidemark.theirs.log"
    if chown 65534 "$TIDE_SHM_DIR/tidemark.theirs.log" 2>/dev/null; then
        expect 0 "ls with another user's file" ls
        says '^theirs +closed '
        says "another user's, and no segment"
        expect 0 "gc with another user's file" gc
        expect 7 "gc of another user's file" gc theirs
        warns 'belongs to user 65534'
    fi
    rm -f "$TIDE_SHM_DIR/tidemark.theirs.log"
fi
exit "$failed"
