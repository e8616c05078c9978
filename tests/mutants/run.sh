#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run.sh [--check] [NAME...]: put each fault of tests/mutants/list into a copy of the tree (the last commit), and run the tests that have to
# notice it. One line for each; what was done is kept in build/mutants/results, and is not done again until the fault or its tests change.
# --check: only look whether each fault fits the sources, in the form of `make check`. Status 1: a fault was not noticed, or does not fit.
# TIDE_BUILD: where the copy lies. Run it at the top of the tree.
set -u
list=tests/mutants/list
work=${TIDE_BUILD:-build}/mutants
tab=$(printf '\t')

# name TAB file TAB was TAB now TAB tests
records() {
    awk -v OFS='\t' '
        /^name: / { name = substr($0, 7) }
        /^file: / { file = substr($0, 7) }
        /^was: / { was = substr($0, 6) }
        /^now: / { now = substr($0, 6) }
        /^tests: / { print name, file, was, now, substr($0, 8) }' "$list"
}

# How often does the text occur? It is looked up as it stands, and not as a pattern.
count() { # file text
    WAS=$2 awk 'BEGIN { was = ENVIRON["WAS"] } { rest = $0; while ((at = index(rest, was)) > 0) { n++; rest = substr(rest, at + length(was)) } } END { print n + 0 }' "$1"
}

change() { # file was now
    WAS=$2 NOW=$3 awk 'BEGIN { was = ENVIRON["WAS"]; now = ENVIRON["NOW"] }
        (at = index($0, was)) > 0 { $0 = substr($0, 1, at - 1) now substr($0, at + length(was)) } { print }' "$1" >"$1.new" &&
        cat "$1.new" >"$1" && rm "$1.new"
}

if [ "${1:-}" = --check ]; then
    records | while IFS=$tab read -r name file was now tests; do
        if [ ! -f "$file" ]; then
            echo "$list: $name: $file is not there"
        elif [ "$(count "$file" "$was")" != 1 ]; then
            echo "$list: $name: its text occurs $(count "$file" "$was") times in $file, not once"
        fi
        for t in $tests; do
            [ -f "tests/test_$t.c" ] || [ -f "tests/$t.test.sh" ] || echo "$list: $name: there is no test $t"
        done
    done
    exit 0
fi

mkdir -p "$work"
results=$work/results
touch "$results"
if [ ! -f "$work/commit" ] || [ "$(cat "$work/commit")" != "$(git rev-parse HEAD)" ]; then
    mkdir -p "$work/tree"
    git archive HEAD | tar -x -C "$work/tree" || exit 1
    git rev-parse HEAD >"$work/commit"
fi
flags='-std=gnu11 -O2 -g -w -fvisibility=hidden'
make -s -C "$work/tree" CFLAGS="$flags" OPT=-O2 test-programs >"$work/build.log" 2>&1 || {
    echo "the copy does not build: $work/build.log" >&2
    exit 1
}
survived=0
records >"$work/records"
while IFS=$tab read -r name file was now tests; do
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    fi
    key=$(printf '%s' "$file$was$now$tests" | cksum | cut -d' ' -f1)
    said=$(sed -n "s/^$name $key //p" "$results" | tail -1)
    if [ -z "$said" ]; then
        cp "$file" "$work/was"
        git show "HEAD:$file" >"$work/was" || exit 1
        change "$work/tree/$file" "$was" "$now"
        log=$work/$name.log
        if ! (cd "$work/tree" && timeout 300 make -s T="$tests" CFLAGS="$flags" OPT=-O2 test-programs) >"$log" 2>&1; then
            said="does not build"
        elif (cd "$work/tree" && TIDE_TEST_LIMIT=${TIDE_TEST_LIMIT:-60} timeout 900 make T="$tests" CFLAGS="$flags" OPT=-O2 test) >>"$log" 2>&1 </dev/null; then
            said="SURVIVED $tests"
        else
            said="caught by $(sed -n 's/^FAILED \([a-zA-Z0-9_.]*\):.*/\1/p' "$log" | sort -u | tr '\n' ' ')"
        fi
        cat "$work/was" >"$work/tree/$file"
        printf '%s %s %s\n' "$name" "$key" "$said" >>"$results"
    fi
    printf '%-26s %s\n' "$name" "$said"
    case $said in caught*) ;; *) survived=$((survived + 1)) ;; esac
done <"$work/records"
[ "$survived" = 0 ] || {
    echo "$survived were not noticed" >&2
    exit 1
}
