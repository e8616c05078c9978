#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What `make install` puts elsewhere is enough to build with: header, library, command, tidemark.pc. Of the library only
# tide_* can be seen, so that a program may have a ring_append() of its own. The header is C++, too, where there is a
# C++ compiler.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: the installed library is the plain one"; exit 77; }
cc=${CC:-gcc}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
build=${TIDE_BUILD:-build}

# MAKEFLAGS hands on what the caller set (OPT=, CFLAGS=), or everything would be built anew with other flags.
make -s install CC="$cc" BUILD="$build" DESTDIR="$tmp" PREFIX=/usr >"$tmp/log" 2>&1 ||
    { cat "$tmp/log"; exit 1; }
for file in include/tidemark.h lib/libtidemark.a lib/pkgconfig/tidemark.pc bin/tide; do
    [ -s "$tmp/usr/$file" ] || { echo "$file is not installed"; exit 1; }
done
others=$(nm -g --defined-only "$tmp/usr/lib/libtidemark.a" | awk 'NF == 3 && $3 !~ /^tide_/')
[ -z "$others" ] || { echo "global, but not tide_*:"; echo "$others"; exit 1; }

cat >"$tmp/program.c" <<'END'
#include <tidemark.h>
int ring_append(void);
int ring_append(void) { return (int)tide_version() - TIDE_VERSION; }
int main(void) {
    struct tide *d;
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = 0;
    return ring_append() != 0 || tide_open(&d, "install-test-no-such-domain", &o) != TIDE_ERR_NO_DOMAIN;
}
END
libs=$(sed -n 's/^Libs: -L[^ ]* //p' "$tmp/usr/lib/pkgconfig/tidemark.pc")
grep -q '^Requires: liburcu-memb$' "$tmp/usr/lib/pkgconfig/tidemark.pc"
$cc -Wall -Werror -I"$tmp/usr/include" -L"$tmp/usr/lib" -o "$tmp/program" "$tmp/program.c" $libs -lurcu-memb -lurcu-common
"$tmp/program" || { echo "the program failed"; exit 1; }
"$tmp/usr/bin/tide" --help >/dev/null

if command -v "${CXX:-g++}" >/dev/null 2>&1; then
    "${CXX:-g++}" -Wall -Werror -I"$tmp/usr/include" -c -x c++ -o "$tmp/program.o" "$tmp/program.c"
else
    echo "no C++ compiler: the header was not tried with one"
fi
