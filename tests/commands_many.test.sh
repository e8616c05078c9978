#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Many keys at once: get of several, clear, del --prefix, and how scan shows keys. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh

begin serve serve d --followers 1 --ring 64K --table 2M
ready serve
tab=$(printf '\t')
expect 0 "put a" put d a one
expect 0 "put b" put d b two
expect 0 "put empty" put d empty ""

# ---- get of several keys: in the order given, twice where asked twice

expect 0 "get of three" get d b a b
is "b${tab}two
a${tab}one
b${tab}two"
expect 0 "get of an empty one" get d a empty
is "a${tab}one
empty${tab}"
expect 1 "get, one is missing" get d a none b
is "a${tab}one
b${tab}two"
warns 'no such key: none$'
expect 1 "get, all are missing" get d none nil
is ""
expect 0 "get of two, json" get d a b --json
says '^\{"key": "a", "found": true, "value": "one", "encoding": "utf-8", "version": 1, "ttl_ns": null\}$'
says '^\{"keys": 2, "found": 2, "served_by": [0-9]+, .*"index": 3, .*"token": "[0-9a-f]{16}:3"\}$'
expect 1 "get, one is missing, json" get d a none --json
says '^\{"key": "none", "found": false\}$'
says '^\{"keys": 2, "found": 1, '
expect 4 "get of two, a fence ahead" get d a b --token "$(field token | cut -d: -f1):1000"
[ ! -s "$work/out" ] || bad "$what: prints although the bound is not kept"
expect 2 "get, a key is too long" get d a "$(printf '%070000d' 1)"
warns 'keys have 1 to'
head -c 15000 /dev/zero | tr '\0' x >"$work/large"
for i in 1 2 3 4 5 6; do
    expect 0 "put large$i" put d "large$i" --file "$work/large"
done
expect 0 "get of large values" get d large1 large2 a large3 large4 large5 large6
[ "$(wc -c <"$work/out")" = $((6 * 15008 + 6)) ] || bad "$what: $(wc -c <"$work/out") bytes"
[ "$(sed -n 7p "$work/out")" = "large6$tab$(cat "$work/large")" ] || bad "$what: another value"

# ---- keys as people read them: UTF-8 as it is, all else as --escaped takes it; nothing commands a terminal

evil=$(printf 'k\033]0;owned\007\302\23331m\177\377')
expect 0 "put of UTF-8" put d 'größe"日本' 'wert "ä"\n'
expect 0 "put of what commands a terminal" put d "$evil" "$evil"
expect 0 "scan" scan d
says '^größe"日本	wert "ä"\\\\n$'
says '^k\\x1b\]0;owned\\x07\\xc2\\x9b31m\\x7f\\xff	k\\x1b\]0;owned\\x07\\xc2\\x9b31m\\x7f\\xff$'
expect 0 "what scan shows is a key for --escaped" get d --escaped 'k\x1b]0;owned\x07\xc2\x9b31m\x7f\xff'
expect 0 "get of several shows the same" get d "$evil" a
says '^k\\x1b\]0;owned\\x07\\xc2\\x9b31m\\x7f\\xff	k'
expect 1 "the message for a missing one is escaped" get d "no$evil" a
warns 'no such key: nok\\x1b'

# ---- del --prefix and clear

i=0
while [ $i -lt 1500 ]; do
    echo "p/$i"
    i=$((i + 1))
done | sed 's/.*/{"src":"c","dest":"n","body":{"type":"write","msg_id":2,"key":"&","value":"v"}}/' >"$work/writes"
printf '{"src":"c","dest":"n","body":{"type":"init","msg_id":1,"node_id":"n","node_ids":["n"]}}\n' |
    cat - "$work/writes" | timeout -k 5 30 "$tide" node --domain d >"$work/node" 2>"$work/err" || true
expect 0 "scan --prefix" scan d --prefix '"p/' --json
many=$(field keys)
[ "$many" = 1500 ] || bad "scan --prefix: $many keys, not 1500"
expect 0 "del --prefix" del d --prefix '"p/'
is "deleted $many keys"
expect 0 "del --prefix of nothing" del d --prefix p/ --json
is '{"deleted": 0, "index": null, "token": null}'
expect 0 "put p" put d p/1 v
expect 0 "clear --prefix" clear d --prefix p --json
says '^\{"deleted": 1, "index": [0-9]+, "token": "[0-9a-f]{16}:[0-9]+"\}$'
expect 0 "others stay" get d a b
expect 0 "an escaped prefix" clear d --escaped --prefix 'k\x1b'
is 'deleted 1 key'
for c in "del d" "clear d"; do
    # shellcheck disable=SC2086
    expect 2 "$c --prefix ''" $c --prefix ""
    warns 'would delete every key'
done
expect 2 "del of a key and a prefix" del d a --prefix a
expect 2 "clear with a key" clear d a
expect 2 "put --prefix" put d a b --prefix a
expect 3 "clear of no domain" clear none
expect 0 "nothing was deleted" get d a b
expect 0 "clear" clear d
says '^deleted 10 keys$'
expect 0 "nothing is left" scan d
is ""
expect 0 "clear of an empty domain" clear d
is 'deleted 0 keys'
expect 0 "verify" verify d
# ---- what is counted: a get of one key is one read, also where its value is large

expect 0 "put" put d one v
head -c 15000 /dev/zero | tr '\0' x >"$work/large"
expect 0 "put of a large value" put d large --file "$work/large"
hits() { "$tide" stat d --json | sed -n 's/.*"tide_hits_total": \([0-9]*\).*/\1/p'; }
before=$(hits)
expect 0 "get" get d one
expect 0 "get" get d large
expect 1 "get of no key" get d none
[ "$(hits)" = $((before + 2)) ] || bad "two gets that hit: $before hits before, $(hits) after"

# A value beyond every buffer that is kept ready.
begin wide serve wide --ring 8M --table 16M --followers 0
ready wide
head -c 1500000 /dev/zero | tr '\0' y >"$work/huge"
expect 0 "put of a huge value" put wide huge --file "$work/huge"
hits() { "$tide" stat wide --json | sed -n 's/.*"tide_hits_total": \([0-9]*\).*/\1/p'; }
before=$(hits)
expect 0 "get of a huge value" get wide huge
cmp -s "$work/huge" "$work/out" || bad "get of a huge value: is another"
[ "$(hits)" = $((before + 1)) ] || bad "a get of a huge value: $before hits before, $(hits) after"

expect 0 "stat --watch" stat d --watch 1ms --count 2 --json
says '"evicted_s": [0-9.e+-]+, "hit_ratio": (null|[0-9.]+)'

exit $failed
