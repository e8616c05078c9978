#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Each example builds by its own Makefile against an installed library, without a warning, and runs.
set -eu
root=$PWD
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: the installed library is the plain one"; exit 77; }
command -v pkg-config >/dev/null 2>&1 || { echo "skipped: the examples are built by pkg-config, which is not here"; exit 77; }
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
make -s install CC="${CC:-gcc}" BUILD="${TIDE_BUILD:-build}" DESTDIR= PREFIX="$tmp/usr" >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
cp -R examples "$tmp/examples"
PKG_CONFIG_PATH=$tmp/usr/lib/pkgconfig LD_LIBRARY_PATH=$tmp/usr/lib PATH=$tmp/usr/bin:$PATH
export PKG_CONFIG_PATH LD_LIBRARY_PATH PATH
unset MAKEFLAGS MAKEOVERRIDES # flags of the caller's make are not the examples'
mkdir "$tmp/shm"
TIDE_SHM_DIR=$tmp/shm
export TIDE_SHM_DIR
example() { # folder program words
    cd "$tmp/examples/$1"
    case $1 in cxx) command -v c++ >/dev/null 2>&1 || { echo "no C++ compiler: $1 was not tried"; return 0; } ;; esac
    make -s >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    [ ! -s "$tmp/log" ] || { echo "$1: the compiler warns:"; cat "$tmp/log"; exit 1; }
    "./$2" >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "$1: it failed"; exit 1; }
    grep -qE "$3" "$tmp/log" || { cat "$tmp/log"; echo "$1: it did not say $3"; exit 1; }
}
build() { # folder
    cd "$tmp/examples/$1"
    make -s >"$tmp/log" 2>&1 || { cat "$tmp/log"; exit 1; }
    [ ! -s "$tmp/log" ] || { echo "$1: the compiler warns:"; cat "$tmp/log"; exit 1; }
}
example prefork prefork '^worker 3: 10000 requests'
example pages pages '^process [0-9]+: served 200 pages, made [0-9]+'
made=$(awk '{ n += $NF } END { print n }' "$tmp/log")
[ "$made" = 10 ] || { cat "$tmp/log"; echo "pages: ten pages were made $made times"; exit 1; }
build limit
build mirror
build feed-file
# What their pages say, line by line; then more of each, below.
. "$root/tests/lib/readme.sh"
readme() { # folder words: its lines say that
    cd "$tmp/examples/$1"
    sed -n 's/^    //p' README.md | readme_script >"$tmp/script"
    readme_said=$tmp/said setsid sh "$tmp/script" >"$tmp/log" 2>&1 & # a group of its own: some lines go on until they are ended
    script=$!
    trap 'kill -- "-$script" 2>/dev/null || true; rm -rf "$tmp"' EXIT
    for i in $(seq 300); do
        ! grep -qE "$2" "$tmp/log" || break
        sleep 0.1
    done
    kill -- "-$script" 2>/dev/null || true
    wait "$script" || true
    trap 'rm -rf "$tmp"' EXIT
    [ -s "$tmp/script" ] && grep -qE "$2" "$tmp/log" || { cat "$tmp/log" "$tmp/said"; echo "$1/README.md: its lines do not say $2"; exit 1; }
}
readme limit '^0$'
readme mirror '^index 0: 0 puts'
readme feed-file '^greenred$'
for name in limits shop settings-domain; do
    tide rm "$name" >/dev/null
done
tide serve both >"$tmp/serve" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -rf "$tmp"' EXIT
for i in $(seq 200); do
    grep -q ^ready "$tmp/serve" && break
    sleep 0.1
done
tide put both page/1 one >/dev/null
tide put both other two >/dev/null
"$tmp/examples/mirror/mirror" both page/ >"$tmp/mirror" 2>&1 &
mirror=$!
for i in $(seq 200); do
    grep -q '^index 2: 1 puts of 3 bytes, 0 removals$' "$tmp/mirror" && break
    sleep 0.1
done
tide del both page/1 >/dev/null
for i in $(seq 200); do
    grep -q '^index 3: 1 puts of 3 bytes, 1 removals$' "$tmp/mirror" && break
    sleep 0.1
done
kill "$mirror"
wait "$mirror" 2>/dev/null || true
grep -q '^index 3: 1 puts' "$tmp/mirror" || { cat "$tmp/mirror"; echo "mirror: the removal was not told"; exit 1; }
turned_away=0
for i in 1 2 3 4 5 6 7 8 9 10 11; do # two windows let at most ten in
    "$tmp/examples/limit/limit" both alice || turned_away=$((turned_away + 1))
done
[ "$turned_away" -ge 1 ] || { echo "limit: all were let in"; exit 1; }
kill "$server"
wait "$server" 2>/dev/null || true
trap 'rm -rf "$tmp"' EXIT
tide rm both >/dev/null
# feed_from DOMAIN FILE WORDS: the file feeds the domain, until $feed is killed. Returns when the feed has said the words.
feed_from() {
    "$tmp/examples/feed-file/feed-file" "$1" "$2" >"$tmp/feed" 2>&1 &
    feed=$!
    trap 'kill "$feed" 2>/dev/null || true; rm -rf "$tmp"' EXIT
    for i in $(seq 200); do
        grep -q "$3" "$tmp/feed" && break
        sleep 0.1
    done
}
# A source that never told anything: no age is made up.
feed_from unfed "$tmp/no-such-file" leads
! tide get unfed colour >"$tmp/log" 2>&1 && grep -q 'never complete' "$tmp/log" && ! grep -q 'old$' "$tmp/log" ||
    { cat "$tmp/log"; echo "feed-file: an answer, or an age, of what was never told"; exit 1; }
! tide get unfed colour --json >"$tmp/log" 2>/dev/null && grep -q '"staleness_ns": null' "$tmp/log" || { cat "$tmp/log"; echo "feed-file: --json, never told"; exit 1; }
grep -q "^feed-file: $tmp/no-such-file cannot be read" "$tmp/feed" || { cat "$tmp/feed"; echo "feed-file: a missing file is not told"; exit 1; }
echo 'colour late' >"$tmp/no-such-file"
[ "$(tide get unfed colour --wait 20s)" = late ] || { cat "$tmp/feed"; echo "feed-file: a file that comes later is not read"; exit 1; }
grep -q "^feed-file: $tmp/no-such-file is there" "$tmp/feed" || { cat "$tmp/feed"; echo "feed-file: that the file came is not told"; exit 1; }
rm "$tmp/no-such-file"
kill "$feed"
wait "$feed" 2>/dev/null || true
tide rm unfed >/dev/null
printf 'colour green\nsize 7\n' >"$tmp/settings"
feed_from fed "$tmp/settings" '2 changes$'
[ "$(tide get fed colour --wait 20s)" = green ] || { cat "$tmp/feed"; echo "feed-file: no key of the file"; exit 1; }
printf 'colour red\n' >"$tmp/settings.new"
mv "$tmp/settings.new" "$tmp/settings"
[ "$(tide get fed colour --wait 20s)" = red ] || { cat "$tmp/feed"; echo "feed-file: a linearizable read saw the file before"; exit 1; }
! tide get fed size --wait 20s >/dev/null || { echo "feed-file: a line that is gone is still there"; exit 1; }
! tide put fed colour blue >"$tmp/log" 2>&1 || { echo "feed-file: a write was taken"; exit 1; }
grep -q 'kind "file" feeds the domain, and its feed takes no writes' "$tmp/log" || { cat "$tmp/log"; echo "feed-file: why a write is refused"; exit 1; }
[ "$(tide ttl fed colour --wait 20s)" = "until file removes it" ] || { echo "feed-file: ttl"; exit 1; }
! tide serve fed >"$tmp/log" 2>&1 || { echo "feed-file: somebody else serves it"; exit 1; }
token=$(tide get fed colour --max-staleness any --json | sed -n 's/.*"token": *"\(rev:[0-9]*\)".*/\1/p')
[ "$(tide get fed colour --max-staleness any --token "$token")" = red ] || { echo "feed-file: a token of a revision: '$token'"; exit 1; }
cp "${TIDE_SHM_DIR:-/dev/shm}/tidemark.fed.r0" "$tmp/table" # as of a dead domain
tide diff "$tmp/table" fed.r0 >"$tmp/log" 2>&1 && grep -q '^1 the same, 0 differ' "$tmp/log" || { cat "$tmp/log"; echo "feed-file: tide diff does not read the nodes of a fed domain"; exit 1; }
tide stat fed --json | grep -q '"kind": *"file"' || { echo "feed-file: tide stat does not know the source"; exit 1; }
kill "$feed"
wait "$feed" 2>/dev/null || true
trap 'rm -rf "$tmp"' EXIT
tide rm fed >/dev/null
example cxx example '^1000 bytes, fresh'
example plugin host '^round 2: loaded'
example inspect inspect '^.*dead'
[ -z "$(ls "$TIDE_SHM_DIR")" ] || { echo "left behind:"; ls "$TIDE_SHM_DIR"; exit 1; }
if [ "$(id -u)" = 0 ] && unshare --mount --pid --ipc --fork true 2>/dev/null && mount -t tmpfs tmpfs "$tmp/shm" 2>/dev/null; then
    umount "$tmp/shm"
    timeout 60 sh "$tmp/examples/containers/try.sh" >"$tmp/log" 2>&1 || { cat "$tmp/log"; echo "containers: it failed"; exit 1; }
    grep -q '"value": *"hello"' "$tmp/log" || { cat "$tmp/log"; echo "containers: no value"; exit 1; }
else
    echo "no namespaces here: containers was not tried"
fi
