#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The example of README.md compiles by the command that stands below it, without a warning, runs, and says what it should.
# The environment that `make test` gives: CC, TIDE_BUILD and, for a sanitized library, TIDE_SANITIZE.
set -eu
root=$(pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
lib=${TIDE_BUILD:-build}/libtidemark.a

block() { # language, number: that block of README.md
    awk -v start="\`\`\`$1" -v number="$2" '
        inside && /^```/ { inside = 0; next }
        inside && seen == number { print }
        !inside && $0 == start { inside = 1; seen++ }' README.md
}

block c 1 >"$tmp/example.c"
command=$(grep '^cc .*example\.c .*build/libtidemark\.a' README.md)
[ -s "$tmp/example.c" ] && [ -n "$command" ] || { echo "README.md has no example, or no command to compile it"; exit 1; }

command=$(printf '%s\n' "$command" | sed "s|^cc |${CC:-gcc} -Wall -Werror ${TIDE_SANITIZE:-} |; s|-I\.|-I$root|
    s|build/libtidemark\.a|$root/$lib|")
case $lib in /*) command=$(printf '%s\n' "$command" | sed "s|$root/$lib|$lib|") ;; esac
cd "$tmp"
echo "$command"
sh -c "$command"
lines=$(grep -c '[^ ]' example.c)
[ "$lines" -le 30 ] || { echo "the example has $lines lines"; exit 1; }
./example | tee out
grep -q '^event 1: config, 60 s left$' out
grep -q '^event 1: /cart, 15 s left$' out
grep -qE '^<p>/cart, served by replica [0-9]+ at index [1-9][0-9]*, [0-9]+ ns stale \([a-z_]+\)$' out

# As it stands it is C++ as well, of every standard that the compiler has.
for cxx in g++ clang++; do
    command -v "$cxx" >/dev/null 2>&1 || continue
    for std in c++11 c++17 c++2b; do
        "$cxx" -std=$std -fsyntax-only -Wall -Wextra -Werror "-I$root" -x c++ example.c
    done
done
