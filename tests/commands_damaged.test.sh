#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A byte of a value in a replica's table that another process changed: who is told, what is saved, and what mends it.
# Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh

damage() { # replica value
    file=$TIDE_SHM_DIR/tidemark.d.r$1
    at=$(grep -obUaF "$2" "$file" | head -n 1 | cut -d: -f1)
    [ -n "$at" ] || { bad "the value $2 is not in the table of replica $1"; exit 1; }
    printf '#' | dd of="$file" bs=1 seek=$((at + 3)) conv=notrunc 2>/dev/null
}

begin serve serve d --followers 0 --ring 64K --table 1M
ready serve
begin follow follow d
ready follow
follower=$begun
for i in 1 2 3 4 5 6 7 8 9; do
    expect 0 "put" put d "k$i" "the value of k$i" --timeout 20s
done
# Round the ring, so that a newcomer needs a copy.
head -c 8000 /dev/zero | tr '\0' f >"$work/large"
for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
    expect 0 "put" put d filler --file "$work/large" --timeout 20s
done
follows() { "$tide" get d filler --replica 1 --max-staleness 0 --fallback error >/dev/null 2>&1; }
until_true 20 "the follower has it" follows
damage 0 'the value of k7'

# ---- a replica that is whole is there as well

expect 1 "verify beside a whole one" verify d
warns '^tide verify: tidemark d: replica 0: what was written for key k7 at index 7 is damaged$'
says '^2 replicas, 20 nodes checked, 1 damaged$'
says '^NOT GOOD$'
says '^damaged: replica 0$'
says '^1 other is whole: end the processes of those that are damaged'
expect 1 "verify beside a whole one, JSON" verify d --json
says '"damaged": 1,.*"damaged_replicas": \[0\], "good": false'
expect 0 "scan beside a whole one" scan d
says '^k7	the value of k7$'
expect 0 "snapshot beside a whole one" snapshot save d "$work/whole"
says '^saved 10 keys '
expect 1 "of that replica alone" scan d --replica 0
begin newcomer follow d
ready newcomer
kill "$begun" "$follower"
wait "$begun" "$follower" 2>/dev/null

# ---- nothing else is there

expect 1 "verify" verify d
says '^damaged: replica 0$'
! grep -q whole: "$work/out" || bad "verify: names a whole one"
says "Or put or delete the keys that are named above: then all is whole again. 'tide snapshot save d FILE'"
expect 1 "scan" scan d
says '^k7	the#value of k7$'
warns '^tide scan: of 1 key of d what was written is damaged$'
warns "'tide verify d' names it: put or delete it"
expect 1 "scan, JSON" scan d --json
says '"keys": 10, "printed": 10, "joined": false, .*"damaged": 1'
expect 1 "snapshot" snapshot save d "$work/rest"
says '^saved 9 keys '
warns 'of 1 key of d what was written is damaged and not in the file'
expect 1 "snapshot, JSON" snapshot save d "$work/rest" --json
says '"keys": 9, .*"damaged": 1'
expect 7 "follow" follow d
warns 'what replica 0 has is damaged, for key k7: not copied; put or delete that key$'
warns "every copy that it could join from is damaged: 'tide verify' names the keys"
warns "^  'tide verify d' names damaged keys: put or delete those"
expect 7 "follow, JSON" follow d --json
says '"log": "tidemark d: replica [0-9]*: every copy that it could join from is damaged:'

# A key that would tell a terminal something.
expect 0 "put" put d '\x1b]0;owned\x07\\' "the value of escape" --escaped --timeout 20s
damage 0 'the value of escape'
expect 1 "verify, a key of control characters" verify d
warns 'for key \\x1b\]0;owned\\x07\\\\ at index 22 is damaged$'
! LC_ALL=C grep -q "$(printf '[\001-\010\013-\037\177]')" "$work/err" || bad "verify: a control character reaches the terminal"

# ---- what was advised

begin serve2 serve e --followers 0 --ring 64K --table 1M
ready serve2
expect 0 "load what was whole" snapshot load e "$work/rest"
expect 0 "a whole one" get e k8
expect 1 "not the damaged one" get e k7
expect 0 "put" put d k7 new --timeout 20s
expect 0 "del" del d '\x1b]0;owned\x07\\' --escaped --timeout 20s
expect 0 "verify after that" verify d
says '^good$'
expect 0 "snapshot after that" snapshot save d "$work/rest"
says '^saved 10 keys '
begin newcomer follow d
ready newcomer
exit $failed
