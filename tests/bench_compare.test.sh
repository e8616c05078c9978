#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# readscale --compare: what it says of two results, and what it takes for none. No time is asserted.
# The environment that `make test` gives: TIDE_BUILD.
set -eu
bench=${TIDE_BUILD:-build}/bench
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

die() {
    echo "$*" >&2
    exit 1
}
measure() { # options
    rc=0
    "$bench/readscale" --replicas 1,2 --keys 100 --duration 60ms --repetitions 2 "$@" >"$tmp/out" 2>"$tmp/err" || rc=$?
}

measure --json "$tmp/old.json"
[ "$rc" = 0 ] || die "the first run ended with $rc: $(cat "$tmp/err")"
measure --compare "$tmp/old.json"
[ "$rc" = 0 ] || die "--compare ended with $rc: $(cat "$tmp/err")"
grep -q '^Settings and machine are the same\.$' "$tmp/out" || die "something differs: $(cat "$tmp/out")"
for row in '1 +reads/s .* to .* to .*x +(more|less|within the spread)$' '2 +reads/s .*x ' '2 +scaling .*x ' '1 +p50 .*x$' '2 +p99 .*x$'; do
    grep -Eq "^$row" "$tmp/out" || die "no row /$row/ in: $(cat "$tmp/out")"
done

# A run that is surely slower, faster, the same; and settings that differ.
sed 's/"reads_per_s": *{[^}]*}/"reads_per_s": {"median": 1, "min": 1, "max": 2}/' "$tmp/old.json" >"$tmp/slow.json"
grep -q '"max": 2}' "$tmp/slow.json" || python3 - "$tmp/old.json" "$tmp/slow.json" <<'END'
import json, sys
result = json.load(open(sys.argv[1]))
for point in result["points"]:
    point["reads_per_s"] = {"median": 1, "min": 1, "max": 2}
json.dump(result, open(sys.argv[2], "w"))
END
measure --compare "$tmp/slow.json" --value-size 32
[ "$rc" = 0 ] || die "--compare with a slow run ended with $rc"
grep -Eq '^1 +reads/s +1(\.00)? \(1(\.00)? to 2(\.00)?\) .* more$' "$tmp/out" || die "the slow run is not told: $(cat "$tmp/out")"
grep -q '^setting value_size: [0-9]*, now 32$' "$tmp/out" || die "the other setting is not told: $(cat "$tmp/out")"
grep -q 'may be why' "$tmp/out" || die "what differs is not called a reason"
measure --replicas 1 --compare "$tmp/old.json"
! grep -Eq '^2 +reads/s' "$tmp/out" || die "a row of what was not measured"

# What is none: before anything is measured.
echo '{"schema": "tidemark.figures", "schema_version": 1}' >"$tmp/figures.json"
echo '{"schema": "tidemark.readscale", "schema_version": 1, "points": [{}], "settings": {}, "machine": {}}' >"$tmp/empty.json"
echo '{"schema": "tidemark.readscale", "schema_version": 9}' >"$tmp/later.json"
echo 'not JSON' >"$tmp/text.json"
for wrong in figures:'no result of readscale' empty:'a point lacks figures' later:'another version' text:'no JSON' nowhere:'No such file'; do
    measure --compare "$tmp/${wrong%%:*}.json"
    [ "$rc" != 0 ] || die "${wrong%%:*} is taken for a result"
    grep -q "${wrong#*:}" "$tmp/err" || die "${wrong%%:*}: says $(cat "$tmp/err")"
    [ ! -s "$tmp/out" ] || die "${wrong%%:*}: measured all the same"
done
