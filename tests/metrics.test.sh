#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# `tide metrics` on standard output and as a file: of living, dead, damaged and missing domains. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh
promtool=$(command -v promtool || echo)
[ -n "$promtool" ] || echo "no promtool here (Debian: prometheus): formats are not checked by it"

lint() { # what file: promtool has nothing to say
    [ -z "$promtool" ] || said=$("$promtool" check metrics <"$2" 2>&1) || { echo "$1: promtool: $said"; failed=1; }
    [ -z "$promtool" ] || [ -z "$said" ] || { echo "$1: promtool: $said"; failed=1; }
}

expect 0 "no domain at all" metrics
says '^tide_build_info\{version="'

begin serve serve d --followers 2 --ring 64K --table 1M
ready serve
server=$begun
begin other serve e --followers 0 --ring 64K --table 256K --evict s3fifo
ready other
for i in 1 2 3 4 5; do
    expect 0 "put" put d "k$i" v --timeout 20s
done
expect 0 "get" get d k1
expect 1 "get" get d nokey

expect 0 "one domain" metrics d
lint "one domain" "$work/out"
says '^tide_up\{domain="d"\} 1$'
says '^tide_domain_state\{domain="d",state="alive"\} 1$'
says '^tide_commit_index\{domain="d"\} 5$'
says '^# TYPE tide_writes_total counter$'
says '^tide_writes_total\{domain="d"\} 5$'
says '^tide_hits_total\{domain="d"\} [1-9]'
says '^tide_misses_total\{domain="d"\} 1$'
says '^tide_replication_lag_seconds_bucket\{domain="d",replica="1",label="r1",le="\+Inf"\} 5$'
says '^tide_replication_lag_seconds_count\{domain="d",replica="2",label="r2"\} 5$'
says '^tide_replication_lag_quantile_seconds\{domain="d",replica="1",label="r1",quantile="0.99"\} 0\.'
says '^tide_members\{domain="d"\} 1$'
says '^tide_evicts\{domain="d"\} 0$'
! grep -q 'domain="e"' "$work/out" || bad "one domain: tells of another"
# Buckets never fall, and end with the count.
awk '/^tide_replication_lag_seconds_bucket.*replica="1"/ { if ($2 < last) exit 1; last = $2; n++ } END { exit n != 30 || last != 5 }' "$work/out" ||
    bad "one domain: the buckets are no histogram"
# One family once, its samples together.
sed -n 's/^# TYPE \([a-z_]*\) .*/\1/p' "$work/out" | sort | uniq -d >"$work/twice"
[ ! -s "$work/twice" ] || bad "a family stands twice: $(cat "$work/twice")"

expect 0 "all domains" metrics
lint "all domains" "$work/out"
says '^tide_evicts\{domain="e"\} 1$'
says '^tide_up\{domain="d"\} 1$'
says '^tide_up\{domain="e"\} 1$'

expect 0 "OpenMetrics" metrics d --openmetrics
says '^# TYPE tide_writes counter$'
says '^tide_writes_total\{domain="d"\} 5$'
says '^# UNIT tide_staleness_seconds seconds$'
[ "$(tail -n 1 "$work/out")" = "# EOF" ] || bad "OpenMetrics: does not end with EOF"

# ---- a file

what="textfile"
expect 0 "$what" metrics d --textfile "$work/tide.prom"
[ ! -s "$work/out" ] || bad "$what: prints as well"
lint "$what" "$work/tide.prom"
grep -q '^tide_up{domain="d"} 1$' "$work/tide.prom" || bad "$what: not written"
(umask 077 && "$tide" metrics d --textfile "$work/tide.prom")
[ "$(stat -c %a "$work/tide.prom")" = 644 ] || bad "$what: its mode is $(stat -c %a "$work/tide.prom")"
expect 7 "textfile in no directory" metrics d --textfile "$work/nowhere/tide.prom"
warns 'cannot create .*nowhere/tide.prom.* No such file'
mkdir "$work/taken"
expect 7 "textfile on a directory" metrics d --textfile "$work/taken"
warns 'cannot write'
[ "$(ls "$work" | grep -c '\.tmp\.')" = 0 ] || bad "textfile: something was left beside it"

# ---- domains that are not as they should be

expect 3 "no such domain" metrics nobody
warns 'there is no such domain'
says '^tide_up\{domain="nobody"\} 0$'
says '^tide_domain_state\{domain="nobody",state="missing"\} 1$'
lint "no such domain" "$work/out"

kill -9 "$server"
wait "$server" 2>/dev/null
find "$TIDE_SHM_DIR" -name 'tidemark.d.*' -exec cksum {} + >"$work/before"
expect 0 "a dead domain" metrics d
lint "a dead domain" "$work/out"
says '^tide_up\{domain="d"\} 1$'
says '^tide_domain_state\{domain="d",state="dead"\} 1$'
says '^tide_led\{domain="d"\} 0$'
says '^tide_dead_members\{domain="d"\} 1$'
says '^tide_replica_alive\{domain="d",replica="1",label="r1"\} 0$'
says '^tide_replication_lag_seconds_count\{domain="d",replica="1",label="r1"\} 5$'
find "$TIDE_SHM_DIR" -name 'tidemark.d.*' -exec cksum {} + >"$work/after"
cmp -s "$work/before" "$work/after" || bad "a dead domain: metrics changed its segments"

log=$TIDE_SHM_DIR/tidemark.d.log
printf '\377\377' | dd of="$log" bs=1 seek=9 conv=notrunc 2>/dev/null
expect 7 "another version" metrics d
says '^tide_up\{domain="d"\} 0$'
says '^tide_domain_state\{domain="d",state="version"\} 1$'
printf 'XXXX' | dd of="$log" bs=1 conv=notrunc 2>/dev/null
expect 1 "damaged" metrics d
says '^tide_domain_state\{domain="d",state="damaged"\} 1$'
warns 'd: damaged'
: >"$log"
expect 1 "empty file" metrics d
says '^tide_up\{domain="d"\} 0$'
expect 0 "all domains, one damaged" metrics
says '^tide_up\{domain="d"\} 0$'
says '^tide_up\{domain="e"\} 1$'
lint "all domains, one damaged" "$work/out"

# ---- usage

expect 2 "two domains" metrics d e
expect 2 "no name" metrics ../d
expect 2 "listen and textfile" metrics d --listen 0 --textfile x
exit $failed
