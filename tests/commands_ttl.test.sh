#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# put --ttl, cas --ttl, touch, ttl, incr, serve --default-ttl, and what dump and stat show of them. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh

begin serve serve d --followers 1 --ring 64K --table 256K
ready serve

expect 0 "put --ttl" put d k v --ttl 10h --timeout 20s
expect 0 "ttl" ttl d k
says '^(10h|[0-9.]+(s|m))$'
expect 0 "ttl --json" ttl d k --json
says '"found": true, "ttl_ns": 35[0-9]{12}|"found": true, "ttl_ns": 36000000000000'
expect 0 "get --json tells it" get d k --json
says '"version": [0-9]+, "ttl_ns": 35[0-9]{12}, '
expect 0 "put one that does not expire" put d other w --timeout 20s
expect 0 "get --json of that" get d other --json
says '"version": [0-9]+, "ttl_ns": null, '
expect 1 "get --json of several" get d k none other --json
says '"key": "k", "found": true, "value": "v", "encoding": "utf-8", "version": [0-9]+, "ttl_ns": 35[0-9]{12}\}'
says '"key": "none", "found": false\}'
says '"key": "other", "found": true, "value": "w", "encoding": "utf-8", "version": [0-9]+, "ttl_ns": null\}'
says '"keys": 3, "found": 2, '
expect 1 "get --json of none" get d none --json
head -c 12000 /dev/zero | tr '\0' x >"$work/large"
expect 0 "put a large value" put d large --file "$work/large" --timeout 20s
expect 0 "get --json of several, larger than what most need" get d large k large large large large large --json
[ "$(grep -cE '"ttl_ns": (null|35[0-9]{12})\}' "$work/out")" = 7 ] || bad "the large values tell no ttl"
[ "$(grep -o 'xx*' "$work/out" | awk 'length($0) == 12000' | wc -l)" = 6 ] || bad "the large values are not whole"
expect 0 "scan --json" scan d --json
says '"key": "k", .*"ttl_ns": 35[0-9]{12}\}'
says '"key": "other", .*"ttl_ns": null\}'
expect 0 "scan --keys --json" scan d --keys --json
says '"key": "k", "version": [0-9]+, "ttl_ns": 35[0-9]{12}\}'
expect 0 "touch never" touch d k never --timeout 20s
expect 0 "ttl of a key that does not expire" ttl d k
says '^never$'
expect 0 "ttl --json of it" ttl d k --json
says '"ttl_ns": null'
expect 0 "get after touch" get d k
says '^v'
expect 1 "ttl of no key" ttl d none
warns 'no such key'
expect 1 "ttl of no key --json" ttl d none --json
says '"found": false'
expect 1 "touch of no key" touch d none 1s --timeout 20s
expect 0 "touch 1ms" touch d k 1ms --timeout 20s
gone() { "$tide" get d k; [ $? = 1 ]; }
until_true 20 "k expires" gone
expect 1 "touch of an expired key" touch d k 1h --timeout 20s
expect 0 "cas of an expired key" cas d k w --expect 0 --ttl 1h --timeout 20s

expect 0 "incr" incr d n --timeout 20s
says '^1$'
expect 0 "incr by" incr d n 41 --timeout 20s
says '^42$'
expect 0 "incr by a negative number" incr d --timeout 20s -- n -50
says '^-8$'
expect 0 "incr --json" incr d n 3 --json --ttl 1h --timeout 20s
says '"value": -5, "index": [0-9]+, "token": '
expect 7 "incr of text" incr d k --timeout 20s
warns 'no number'
expect 0 "put the greatest" put d n 9223372036854775807 --timeout 20s
expect 7 "incr beyond 64 bits" incr d n --json --timeout 20s
says '"error": "overflow"'

for bad in 0 -1s 1 1.5 abc '' 1ss 0.4ns 2562048h 99999999999999999999s; do
    expect 2 "put --ttl '$bad'" put d k v "--ttl=$bad"
    warns 'above 0 and at most 2562047h, or never'
    expect 2 "touch '$bad'" touch d -- k "$bad"
done
expect 0 "the greatest ttl" put d k v --ttl 2562047h --timeout 20s
expect 0 "ttl of that" ttl d k
says '^never$'
expect 2 "touch without TTL" touch d k
expect 2 "del --ttl" del d k --ttl 1s
for bad in + 1x 9223372036854775808 -9223372036854775809 ' 1' +1 ''; do
    expect 2 "incr '$bad'" incr d -- n "$bad"
done

expect 0 "put for a moment" put d moment v --ttl 1ms --timeout 20s
removed() { "$tide" stat d --json | grep -q '"expired_total": [1-9]'; }
until_true 20 "the expired key is removed" removed
expect 0 "dump" dump d
says ' put .* X .*ttl '
says ' expire '
expect 0 "dump --json" dump d --json
says '"type": "expire"'
says '"expires_ts": [0-9]+'
expect 0 "stat" stat d
says '^removed +[1-9][0-9]* keys expired, 0 were evicted'
expect 0 "verify" verify d

begin serve2 serve d2 --followers 0 --ring 64K --table 256K --default-ttl 2h
ready serve2
expect 0 "put with the domain's ttl" put d2 k v --timeout 20s
expect 0 "ttl of it" ttl d2 k
says '^(2h|[0-9.]+(s|m))$'
expect 0 "put without an end" put d2 k v --ttl never --timeout 20s
expect 0 "ttl of that" ttl d2 k
says '^never$'
expect 2 "serve --default-ttl 0" serve d3 --default-ttl 0
exit $failed
