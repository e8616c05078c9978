#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each benchmark of one question runs in small, writes figures that bench/bars takes (it checks every field), leaves no domain behind,
# also when it is interrupted, and refuses arguments that make no sense. No time is asserted.
# The environment that `make test` gives: TIDE_BUILD.
set -eu
bench=${TIDE_BUILD:-build}/bench
tmp=$(mktemp -d)
running=
trap 'rm -rf "$tmp"; [ -z "$running" ] || kill -9 "$running" 2>/dev/null || true' EXIT

die() {
    echo "$*" >&2
    exit 1
}

# What a benchmark's process left: its domains have its pid in their names.
left() { # name, pid
    ls /dev/shm 2>/dev/null | grep "tidemark\.bench-$1-$2\." || true
}

for name in failover join idle look memory growth reserve watch make ttl hitratio evict; do
    "$bench/$name" --quick --json "$tmp/$name.json" >"$tmp/$name.txt" &
    pid=$!
    running=$pid
    wait "$pid" || die "$name --quick ended with $?"
    running=
    [ -z "$(left "$name" "$pid")" ] || die "$name left $(left "$name" "$pid")"
    grep -q '^bars ' "$tmp/$name.txt" || die "$name printed no bars"

    "$bench/$name" --help | grep -q -- '--quick' || die "$name --help does not name --quick"
    for wrong in --nonsense '--repetitions 0' --json; do
        rc=0
        "$bench/$name" $wrong >"$tmp/out" 2>&1 || rc=$?
        [ "$rc" = 2 ] && grep -q -- '--help' "$tmp/out" || die "$name $wrong: status $rc, $(cat "$tmp/out")"
    done
done

# ---- traces ----------------------------------------------------------------------------------------------------------

# Keys 1 .. 40 again and again, and between them 2,000 that are asked for once.
awk 'BEGIN { for (i = 0; i < 4000; i++) print i % 2 ? "k" i % 80 : "once-" i }' >"$tmp/small.txt"
hitratio() { # options
    rc=0
    "$bench/hitratio" --objects 100 --json "$tmp/trace.json" "$@" >"$tmp/trace.txt" 2>&1 || rc=$?
}
hitratio --trace "$tmp/small.txt" --picture "$tmp/small.svg"
[ "$rc" = 0 ] || die "hitratio --trace: status $rc, $(cat "$tmp/trace.txt")"
grep -q '^small: 4000 requests, 2040 keys' "$tmp/trace.txt" || die "hitratio read something else: $(head -2 "$tmp/trace.txt")"
# What is read again stays, whatever else comes: half of the requests are for keys that nobody asked for before.
grep -q '^Tidemark, evict = s3fifo  5[12]\.' "$tmp/trace.txt" || die "hitratio, misses: $(cat "$tmp/trace.txt")"
"$bench/bars" --text "$tmp/trace.json" | grep -q "^small, 100 objects: misses above simulated S3-FIFO's .*kept" ||
    die "hitratio has no bar about the simulator: $("$bench/bars" --text "$tmp/trace.json")"
if command -v gnuplot >/dev/null; then
    grep -q '</svg>' "$tmp/small.svg" || die "hitratio drew no picture"
fi
if ! command -v memcached >/dev/null; then
    grep -q 'left out: no memcached in PATH' "$tmp/trace.txt" || die "hitratio does not say that memcached is missing"
fi
if command -v xz >/dev/null; then
    xz -kf "$tmp/small.txt"
    hitratio --trace "$tmp/small.txt.xz"
    [ "$rc" = 0 ] && grep -q '^small: 4000 requests, 2040 keys' "$tmp/trace.txt" ||
        die "hitratio with a packed trace: status $rc, $(cat "$tmp/trace.txt")"
    head -c 300 "$tmp/small.txt.xz" >"$tmp/cut.xz"
    hitratio --trace "$tmp/cut.xz"
    [ "$rc" = 1 ] && grep -q 'damaged or cut off' "$tmp/trace.txt" || die "a cut trace: status $rc, $(cat "$tmp/trace.txt")"
    mkdir -p "$tmp/empty"
    rc=0
    PATH=$tmp/empty "$bench/hitratio" --trace "$tmp/small.txt.xz" >"$tmp/trace.txt" 2>&1 || rc=$?
    [ "$rc" = 1 ] && grep -q 'no xz in PATH; install xz-utils' "$tmp/trace.txt" ||
        die "without xz: status $rc, $(cat "$tmp/trace.txt")"
fi

# A trace that is no trace.
no_trace() { # file, what is said
    hitratio --trace "$1"
    [ "$rc" = 1 ] && grep -q "$2" "$tmp/trace.txt" || die "hitratio --trace $1: status $rc, $(cat "$tmp/trace.txt")"
}
: >"$tmp/none"
no_trace "$tmp/none" 'no request in it'
no_trace "$tmp/nowhere" 'No such file'
no_trace "$tmp" 'directory'
printf 'a\n\nb\n' >"$tmp/wrong"
no_trace "$tmp/wrong" 'line 2: it is empty'
printf 'a\nb c\n' >"$tmp/wrong"
no_trace "$tmp/wrong" 'line 2: it holds a blank'
printf 'a\nb\000c\n' >"$tmp/wrong"
no_trace "$tmp/wrong" 'line 2: it holds a blank or a byte that is no text'
awk 'BEGIN { for (i = 0; i < 251; i++) printf "k"; print "" }' >"$tmp/wrong"
no_trace "$tmp/wrong" 'line 1: it is too long'
no_trace "$bench/hitratio" 'line 1: '

# The tables and the JSON do not mix on stdout.
"$bench/memory" --quick --json - >"$tmp/stdout.json"
"$bench/bars" --text "$tmp/stdout.json" >/dev/null

# Ctrl-C in the middle.
for name in failover idle growth reserve; do
    "$bench/$name" >"$tmp/out" 2>&1 &
    pid=$!
    running=$pid
    for i in 1 2 3 4 5 6 7 8 9 10; do
        [ -z "$(left "$name" "$pid")" ] || break
        sleep 0.2
    done
    # SIGTERM: a shell starts what runs in the background with SIGINT ignored, and the benchmarks take both alike.
    kill -TERM "$pid"
    rc=0
    wait "$pid" || rc=$?
    running=
    [ "$rc" = 130 ] || die "$name, interrupted: status $rc, $(cat "$tmp/out")"
    [ -z "$(left "$name" "$pid")" ] || die "$name, interrupted, left $(left "$name" "$pid")"
done

# ---- the page --------------------------------------------------------------------------------------------------------

set -- "$tmp/failover.json" "$tmp/join.json" "$tmp/idle.json" "$tmp/memory.json" "$tmp/growth.json" \
    "$tmp/reserve.json"
"$bench/bars" --text "$@" >"$tmp/bars.txt" 2>"$tmp/errors"
[ ! -s "$tmp/errors" ] || die "bars does not take the files: $(cat "$tmp/errors")"
for what in 'failover, 10 k keys' 'join with 20 k keys' 'idle domain' 'memory, 1 M keys' 'growth to 50 k keys' \
    'memory, sizes that change' 'other sizes for 50 k keys' 'deleting of 50 k keys' 'untouched table' 'one key in four replicas'; do
    grep -q "^$what" "$tmp/bars.txt" || die "the table of bars has no row: $what"
done
grep -q 'not measured' "$tmp/bars.txt" || die "memory --quick has no 1 M keys, so its bars cannot be measured"

echo '{"schema": "tidemark.readscale", "schema_version": 1}' >"$tmp/foreign.json"
echo '{"schema": "tidemark.fig' >"$tmp/broken.json"
sed 's/"median"/"meridian"/' "$tmp/idle.json" >"$tmp/lacking.json"
"$bench/bars" --out "$tmp/page.html" "$tmp/foreign.json" "$@" "$tmp/broken.json" "$tmp/lacking.json" "$tmp/nowhere.json" \
    >/dev/null 2>"$tmp/errors"
for file in foreign broken lacking nowhere; do
    grep -q "^bars: $tmp/$file\.json: .*; left out$" "$tmp/errors" || die "no line about $file.json: $(cat "$tmp/errors")"
done
[ "$(wc -l <"$tmp/errors")" = 4 ] || die "not one line for each file that cannot be used: $(cat "$tmp/errors")"
grep -q '</html>' "$tmp/page.html" || die "the page has no end"
grep -q 'src="http\|href="[^#]' "$tmp/page.html" && die "the page is not one file"
if command -v gnuplot >/dev/null; then
    groups=$(grep -c 'data:image/svg+xml;base64,' "$tmp/page.html") || true
    [ "$groups" -ge 10 ] || die "only $groups pictures in the page"
fi

grep -q 'Of [0-9]* bars [0-9]* are kept, .* mean nothing where the run was quick: failover, join' "$tmp/page.html" ||
    die "the page does not begin with how it stands"
grep -q 'class="unmeasured">not measured<' "$tmp/page.html" || die "verdicts have no colour"
grep -q 'href="#join".*href="#reserve"' "$tmp/page.html" || die "the page has no contents"
grep -q 'Less is better' "$tmp/page.html" || die "figures do not say which way is better"

# Without gnuplot: the tables, and a line that says so.
mkdir -p "$tmp/empty"
PATH=$tmp/empty "$bench/bars" --out "$tmp/plain.html" "$@" >/dev/null
grep -q 'gnuplot is not installed' "$tmp/plain.html" || die "the page does not say that gnuplot is missing"
grep -q 'base64' "$tmp/plain.html" && die "a picture without gnuplot"
grep -q 'idle domain, leader and 4 followers' "$tmp/plain.html" || die "the page without pictures has no tables"

rc=0
"$bench/bars" --text "$tmp/foreign.json" 2>/dev/null || rc=$?
[ "$rc" = 1 ] || die "bars without a file that can be used: status $rc"
rc=0
"$bench/bars" 2>/dev/null || rc=$?
[ "$rc" = 2 ] || die "bars without arguments: status $rc"
echo ok
