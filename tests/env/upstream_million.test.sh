#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# `tide serve --upstream` on a million keys: the first start, and one after a time away in which a quarter of them were changed, removed and
# made, and etcd compacted its history. The times are printed, not asserted; the memory beside the tables is. TIDE_KEYS=N: so many keys.
# Exit codes: 0 good, 1 not, 77 skipped.
# Limit: 1200 s
cd "$(dirname "$0")/../.." || exit 1
. tests/lib/commands.sh
. tests/lib/etcd.sh
need_libcurl
rm -rf "${TIDE_SHM_DIR:?}"/tidemark.*
keys=${TIDE_KEYS:-1000000}
tenth=$((keys / 10))
# A page is some 4 MiB of JSON, and its keys; a difference needs the names of all keys that there are.
most_first=131072 most_away=$((131072 + keys / 5)) # KiB

now_ms() { date +%s%3N; }

# Until it is ready; the most memory of its own that it was seen to have, in KiB, in $most.
watch_start() { # file pid
    most=0
    began=$(now_ms)
    while ! grep -q '^ready' "$work/$1"; do
        kill -0 "$2" 2>/dev/null || { cat "$work/$1.err"; bad "serve ended"; exit 1; }
        rss=$(sed -n 's/^RssAnon:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$2/status" 2>/dev/null)
        [ "${rss:-0}" -gt "$most" ] && most=$rss
        [ -z "${look:-}" ] || $look
        sleep 0.05
    done
    took=$(($(now_ms) - began))
}

etcd_start 1 --quota-backend-bytes 4294967296
loading=$(now_ms)
etcd_load put app/ 0 "$keys" v
etcd_load put other/ 0 1000 v
echo "loading $keys keys into etcd: $(($(now_ms) - loading)) ms"

# ---- the first start ----
begin first serve d --upstream "etcd://$etcd/app/" --table 256M
server=$begun
watch_start first "$server"
echo "a start on $keys keys: $took ms, $((most / 1024)) MiB of memory beside the tables"
[ "$most" -lt "$most_first" ] || bad "that is more than $most_first KiB"
grep -q "copied at revision [0-9]*: $keys keys, of which $keys were new or others, and 0 removed" "$work/first.err" || { cat "$work/first.err"; bad "not all was copied"; }
for n in 0 1 $((keys / 2)) $((keys - 1)); do
    expect 0 "get of key $n" get d "$(printf %08d "$n")"
    is "v-$n"
done
expect 1 "a key behind the last one" get d "$(printf %08d "$keys")"
expect 0 "stat" stat d --json
[ "$(grep -o "\"keys\": $keys," "$work/out" | wc -l)" -ge 2 ] || bad "not every replica has $keys keys"
expect 0 "verify" verify d

# ---- away ----
begin reader follow d # which keeps the data, and cannot lead
reader=$begun
until_true 60 "a follower" grep -q '^ready' "$work/reader"
kill "$server"
ended "$server" 0 "serve"
etcd_load put app/ 0 "$tenth" w                # changed
etcd_load del app/ "$tenth" "$tenth"           # removed
etcd_load put app/ "$keys" $((tenth / 2)) v    # made
revision=$(control get app/none -w json | sed 's/.*"revision":\([0-9]*\).*/\1/')
control compaction "$revision" >/dev/null
left=$((keys - tenth + tenth / 2))
# A reader meanwhile: every key is there, as it was or as it is, at every instant.
n=0
look_at_keys() {
    n=$(((n + 7919) % tenth))
    value=$("$tide" get d "$(printf %08d $n)" --max-staleness any 2>>"$work/reads.err")
    code=$?
    case $code,$value in 0,v-$n | 0,w-$n | 4,) ;; *) bad "while it is copied, key $n reads as '$value' (exit code $code)" ;; esac
    looked=$((looked + (code == 0)))
}
look=look_at_keys looked=0
begin away serve d --upstream "etcd://$etcd/app/" --table 256M
server=$begun
watch_start away "$server"
echo "a start after a time away, $tenth changed, $tenth removed, $((tenth / 2)) made: $took ms, $((most / 1024)) MiB of memory beside the tables; $looked reads meanwhile"
[ "$most" -lt "$most_away" ] || bad "that is more than $most_away KiB"
grep -q "is compacted (up to" "$work/away.err" || { cat "$work/away.err"; bad "the history was there"; }
grep -q "copied at revision [0-9]*: $left keys, of which $((tenth + tenth / 2)) were new or others, and $tenth removed" "$work/away.err" || { cat "$work/away.err"; bad "not the difference"; }
look=
has() { # number value
    expect 0 "get of key $1" get d "$(printf %08d "$1")"
    is "$2"
}
has 0 w-0
has $((tenth - 1)) "w-$((tenth - 1))"
expect 1 "a removed key" get d "$(printf %08d "$tenth")"
expect 1 "a removed key" get d "$(printf %08d $((2 * tenth - 1)))"
has $((2 * tenth)) "v-$((2 * tenth))"
has $((keys - 1)) "v-$((keys - 1))"
has "$keys" "v-$keys"
has $((keys + tenth / 2 - 1)) "v-$((keys + tenth / 2 - 1))"
expect 0 "stat" stat d --json
[ "$(grep -o "\"keys\": $left," "$work/out" | wc -l)" -ge 2 ] || bad "not every replica has $left keys"
expect 0 "verify" verify d
kill "$server" "$reader"
[ $failed = 0 ] && echo "a million keys come and change"
exit $failed
