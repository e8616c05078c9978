#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A package that comes after the first build brings its peer into build/bench/peers: what was compiled without its header is compiled
# again, and what does not depend on it is not. The compiler is a script that finds the header of ck_ht once it is told so; no package
# is needed or touched.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cat >"$tmp/cc" <<'END'
#!/bin/sh
# Preprocessing: ck_ht.h is there once $here/installed is. Compiling: the name of the source, and an empty object.
here=$(dirname "$0")
last=
for word in "$@"; do
    case $word in
    -E) ! grep -q '^#include <ck_ht\.h>' || [ -e "$here/installed" ]; exit ;;
    *.c) echo "$word" >>"$here/compiled" ;;
    esac
    [ "$last" != -o ] || : >"$word"
    last=$word
done
END
chmod +x "$tmp/cc"

build() { # what is compiled is then in $tmp/compiled
    rm -f "$tmp/compiled"
    : >"$tmp/compiled"
    # Not the flags and the job server of the make that runs this test.
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s CONFIG=release BUILD="$tmp/build" CC="$tmp/cc" \
        "$tmp/build/obj/release/bench/peers/ckht.o" "$tmp/build/obj/release/bench/lib/stats.o"
}

die() {
    echo "$*" >&2
    exit 1
}

build
grep -q 'peers/ckht\.c' "$tmp/compiled" || die "the first build does not compile ckht.c"
grep -q -- '-lck' "$tmp/build/obj/release/bench/peers/found" && die "ck is linked where its header is missing"
build
[ ! -s "$tmp/compiled" ] || die "nothing has changed, and yet it compiles $(cat "$tmp/compiled")"
touch "$tmp/installed"
build
[ "$(cat "$tmp/compiled")" = bench/peers/ckht.c ] || die "the header came, and it compiles: $(cat "$tmp/compiled")"
grep -q -- '-lck' "$tmp/build/obj/release/bench/peers/found" || die "the header came, and ck is not linked"
