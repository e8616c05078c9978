#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# serve --evict and --default-ttl, evictions in a watch, clear and del --prefix beside writers and while a leader dies, and what another build
# says of such a domain. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh

# ---- a domain that evicts

for bad in lru '' S3FIFO; do
    expect 2 "serve --evict '$bad'" serve e "--evict=$bad"
done
begin serve serve e --followers 1 --ring 64K --table 256K --evict s3fifo --default-ttl 2h
ready serve
server=$begun
head -c 4000 /dev/zero | tr '\0' x >"$work/big"
expect 0 "a first put" put e first v
token=$(cut -d' ' -f1 "$work/out")
expect 0 "put --keep" put e kept v --keep
expect 0 "cas --keep" cas e kept-too v --expect 0 --keep
expect 0 "incr --keep" incr e count 5 --keep
for c in 'del e kept' 'touch e kept 1h' 'clear e'; do
    # shellcheck disable=SC2086
    expect 2 "$c --keep" $c --keep
    warns "is for 'tide put', 'tide cas' and 'tide incr'"
done
begin told watch e --from "$token" --json
watch=$begun
i=0
while [ $i -lt 90 ]; do
    expect 0 "put $i has room" put e "k/$i" --file "$work/big"
    i=$((i + 1))
done
expect 0 "stat --json" stat e --json
evicted=$(field evicted_total)
[ "${evicted:-0}" -ge 20 ] || bad "stat: only '$evicted' keys evicted"
says '"expired_total": 0,'
expect 0 "stat" stat e
says "^removed +0 keys expired, $evicted were evicted"
all_told() { [ "$(grep -c '"kind": "evict"' "$work/told")" = "$evicted" ]; }
until_true 20 "the watch tells each eviction" all_told
kill -TERM "$watch"
ended "$watch" 0 "watch"
# What was evicted is not there, what was told as put last is.
key=$(sed -n 's/.*"kind": "evict".*"key": "\([^"]*\)".*/\1/p' "$work/told" | head -n 1)
[ -n "$key" ] || bad "an eviction without a key"
expect 1 "an evicted key" get e "$key"
expect 1 "the first one, which was not kept" get e first
for k in kept kept-too count; do
    expect 0 "$k is kept" get e "$k"
done
expect 0 "the last one" get e k/89
expect 0 "ttl of it: the domain's" ttl e k/89
says '^(2h|[0-9.]+(h|m|s))$'
expect 0 "verify" verify e
expect 0 "dump shows evictions" dump e
says ' evict '
kill "$server"
ended "$server" 0 "serve"
begin serve serve e --followers 1
ready serve
server=$begun
i=100
while [ $i -lt 140 ]; do
    expect 0 "put $i has room after a warm start" put e "k/$i" --file "$work/big"
    i=$((i + 1))
done
expect 0 "verify after a warm start" verify e
kill "$server"
ended "$server" 0 "serve"

# ---- clear and del --prefix beside a writer, while the leader is killed

begin lead1 serve c --followers 1 --ring 256K --table 4M
ready lead1
first=$begun
begin lead2 follow c
second=$begun
ready lead2
{
    printf '{"src":"c","dest":"n","body":{"type":"init","msg_id":1,"node_id":"n","node_ids":["n"]}}\n'
    i=0
    while [ $i -lt 1000 ]; do
        printf '{"src":"c","dest":"n","body":{"type":"write","msg_id":2,"key":"old/%d","value":1}}\n' $i
        printf '{"src":"c","dest":"n","body":{"type":"write","msg_id":3,"key":"stay/%d","value":1}}\n' $i
        i=$((i + 1))
    done
} | timeout -k 5 60 "$tide" node --domain c >"$work/node" 2>"$work/node.err"
[ "$(grep -c write_ok "$work/node")" = 2000 ] || bad "not all was written"
(
    n=0
    while [ ! -e "$work/enough" ]; do
        if "$tide" put c "new/$n" v --timeout 20s >/dev/null 2>"$work/writer.err"; then
            n=$((n + 1))
            echo $n >"$work/written.next"
            mv "$work/written.next" "$work/written"
        fi
    done
) &
writer=$!
pids="$pids $writer"
(
    sleep 0.03
    kill -9 "$first"
) &
killer=$!
pids="$pids $killer"
tries=0
# Its exit codes say what may have happened: 4 not done, 5 unknown. Both: start it again.
while :; do
    timeout -k 5 60 "$tide" del c --prefix '"old/' --timeout 20s --json >"$work/out" 2>"$work/err" </dev/null
    got=$?
    [ $got = 0 ] && break
    case $got in 4 | 5) ;; *) bad "del --prefix while the leader dies: exit code $got"; break ;; esac
    says '"deleted": [0-9]+, "error": '
    tries=$((tries + 1))
    [ $tries -lt 6 ] || { bad "del --prefix never ends well"; break; }
done
wait "$killer"
what="another leads"
until_true 30 "another leads" "$tide" put c led v
some_written() { [ "$(cat "$work/written")" -ge 3 ]; }
until_true 30 "the writer goes on under the next leader" some_written
: >"$work/enough"
wait "$writer"
expect 0 "none of the prefix is left" scan c --prefix '"old/'
is ""
expect 0 "the others are" scan c --prefix '"stay/' --json
[ "$(field keys)" = 1000 ] || bad "del --prefix took others: $(field keys) of 1000 are left"
expect 0 "what the writer put is, too" scan c --prefix new/ --json
[ "$(field keys)" -ge "$(cat "$work/written")" ] || bad "of $(cat "$work/written") keys that were acknowledged $(field keys) are left"
expect 0 "verify" verify c
expect 0 "clear" clear c
expect 0 "nothing is left" scan c
is ""
kill "$second"
ended "$second" 0 "follow"

# ---- the words of a domain that another build made, with another layout: refused, and what to do is said

begin other_layout serve v --followers 0 --ring 64K --table 256K --evict s3fifo
ready other_layout
kill "$begun"
ended "$begun" 0 "serve"
printf '\001' | dd of="$TIDE_SHM_DIR/tidemark.v.log" bs=1 seek=8 conv=notrunc 2>/dev/null
for c in 'get v k' 'put v k w' 'stat v' 'watch v' 'serve v' 'follow v'; do
    # shellcheck disable=SC2086
    expect 7 "$c of another layout" $c
    warns 'layout|version'
    warns 'tide snapshot save|save the data'
    warns 'tide rm'
done
exit $failed
