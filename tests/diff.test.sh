#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide diff`: of replicas, domains and snapshots, living, dead and damaged. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
evil="k$(printf '\033]0;owned\007\377')"

begin serve serve d --followers 2 --ring 64K --table 256K --delay 0,1h
ready serve
server=$begun
for i in 1 2 3; do
    expect 0 "put" put d "k$i" "v$i" --timeout 20s
done
expect 0 "put" put d "$evil" v --timeout 20s

expect 0 "two replicas" diff d.r0 d.r1
says '^A  d\.r0: 4 keys at index 4$'
says '^4 the same, 0 differ, 0 in A alone, 0 in B alone$'
expect 1 "one that is behind" diff d.r0 d.r2
says '^- k1  version 1; 2 bytes$'
says '^- k\\x1b\]0;owned\\x07\\xff  version 4; 1 bytes$'
says 'at different indexes'
says '^0 the same, 0 differ, 4 in A alone, 0 in B alone$'
expect 1 "the other way round, JSON" diff d.r2 d --json --limit 2
says '^\{"kind": "only_b", "key": "k1", "version_b": 1, "value_bytes_b": 2\}$'
says '^\{"kind": "summary", "only_a": 0, "only_b": 4, "differing": 0, "same": 0, "shown": 2, "damaged": 0, "a": \{"what": "d.r2", "index": 0, '
says '^\{"kind": "only_b", "key": "[A-Za-z0-9/]+", "key_encoding": "base64", "version_b": 4'
[ "$(wc -l <"$work/out")" = 3 ] || bad "JSON: not three lines"
expect 1 "a limit" diff d.r0 d.r2 --limit 2
says '^\.\.\. and 2 more$'

expect 0 "save" snapshot save d "$work/snap"
expect 0 "domain and snapshot" diff d "$work/snap"
expect 0 "the file of that name here" diff d "$work/snap"
expect 0 "put" put d k1 other --timeout 20s
expect 0 "put again, the same value" put d k2 v2 --timeout 20s
expect 0 "del" del d k3 --timeout 20s
expect 0 "put" put d k4 new --timeout 20s
expect 1 "what changed" diff "$work/snap" d
says '^~ k1  version 1, 5; 2, 5 bytes$'
says '^~ k2  version 2, 6; 2 bytes$'
says '^- k3  version 3; 2 bytes$'
says '^\+ k4  version 8; 3 bytes$'
says '^1 the same, 2 differ, 1 in A alone, 1 in B alone$'

# Of another domain values are compared, versions not.
begin other serve other --followers 0 --ring 64K --table 256K
ready other
expect 0 "load" snapshot load other "$work/snap" --timeout 20s
expect 0 "another domain" diff "$work/snap" other
says 'of two domains: values were compared'
expect 0 "save" snapshot save d "$work/snap2"
expect 1 "two snapshots" diff "$work/snap" "$work/snap2"
says '^1 the same, 2 differ, 1 in A alone, 1 in B alone$'

# What expires and what the dead left.
expect 0 "put that expires" put d soon v --ttl 300ms --timeout 20s
kill -9 "$server"
wait "$server" 2>/dev/null
sleep 0.4
find "$TIDE_SHM_DIR" -name 'tidemark.d.*' -exec cksum {} + >"$work/before"
expect 0 "replicas of the dead" diff d.r0 d.r1
says '^A  d\.r0: 4 keys at index (9|10)$' # the leader may have removed it in time
expect 0 "a replica of the dead and a snapshot" diff d.r0 "$work/snap2"
expect 0 "by path" diff "$TIDE_SHM_DIR/tidemark.d.r0" "$work/snap2"
expect 1 "one of the dead that was behind" diff d.r1 d.r2 --limit 0
says '^0 the same, 0 differ, 4 in A alone, 0 in B alone$'
[ "$(wc -l <"$work/out")" = 4 ] || bad "limit 0: more than the end"
find "$TIDE_SHM_DIR" -name 'tidemark.d.*' -exec cksum {} + >"$work/after"
cmp -s "$work/before" "$work/after" || bad "diff of the dead changed them"

# Every bucket leads to the same one, and every slot of that to the largest node: it ends, and soon.
if command -v python3 >/dev/null; then
    cp "$TIDE_SHM_DIR/tidemark.d.r1" "$work/loops.r1"
    python3 - "$work/loops.r1" <<'END'
import struct, sys
with open(sys.argv[1], "r+b") as f:
    table = bytearray(f.read())
    buckets_off, = struct.unpack_from("<Q", table, 144)
    pages_off, page = struct.unpack_from("<Q", table, 184)[0], struct.unpack_from("<Q", table, 200)[0]
    end = len(table)
    struct.pack_into("<Q", table, 256, (pages_off - buckets_off) // 64)
    node = pages_off  # a node as large as all that is behind it, and a value of any bytes
    struct.pack_into("<QQIIIHBB", table, node, 1, 0, 0, 0, end - node - 32 - 1, 1, 0, 0)
    for at in range(buckets_off, pages_off - 63, 64):
        struct.pack_into("<QQ12I", table, at, (1 << 64) - 1, (buckets_off // 64) << 32 | 0xffffffff, *[node // 16] * 12)
    f.seek(0)
    f.write(table)
END
    expect 1 "a table of loops" diff "$work/loops.r1" "$work/snap2"
    says 'nodes are DAMAGED and left out'
else
    echo "skipped in part: a table of loops (there is no python3)"
fi

# Damage is found, left out and told.
table=$TIDE_SHM_DIR/tidemark.d.r1
at=$(LC_ALL=C grep -obUa 'k4new' "$table" | head -n 1 | cut -d: -f1)
printf 'K' | dd of="$table" bs=1 seek="$at" conv=notrunc 2>/dev/null
expect 1 "a damaged node" diff d.r0 d.r1
says '^B  d\.r1: 3 keys at index (9|10), 1 nodes are DAMAGED and left out$'
says '^- k4 '
size=$(stat -c %s "$table")
for seed in 1 2 3; do # anything may lie behind the header
    head -c $((size - 65536)) /dev/urandom | dd of="$table" bs=4096 seek=16 conv=notrunc 2>/dev/null
    "$tide" diff d.r0 d.r1 >"$work/out" 2>"$work/err"
    [ $? = 1 ] || bad "noise behind the header: not 1"
done
printf '\377\377' | dd of="$table" bs=1 seek=9 conv=notrunc 2>/dev/null
expect 7 "a table of another version" diff d.r0 d.r1
warns 'another version of Tidemark'
: >"$table"
"$tide" diff d.r0 d.r1 >"$work/out" 2>"$work/err"
[ $? -gt 0 ] || bad "an empty table is none"
printf 'X' | dd of="$work/snap2" bs=1 seek=150 conv=notrunc 2>/dev/null
expect 7 "a damaged snapshot" diff d.r0 "$work/snap2"
warns 'snap2: '

expect 3 "no such domain" diff d.r0 nobody
expect 3 "no such replica" diff d.r0 d.r40
expect 3 "no such file, JSON" diff d.r0 "$work/none" --json
says '"error": "no_domain".*"exit_code": 3'
expect 7 "some other file" diff d.r0 ./Makefile
expect 7 "a log is no table" diff d.r0 "$TIDE_SHM_DIR/tidemark.d.log"
expect 2 "one" diff d
expect 2 "three" diff d e f
expect 2 "an empty name" diff d ''
expect 2 "a limit that is none" diff d e --limit x
exit $failed
