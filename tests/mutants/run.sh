#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run.sh [--check] [NAME...]: put each fault of tests/mutants/list into a copy of the tree (the last commit), and run the tests that have to
# notice it, one after another until one fails. One line for each fault, which says what failed; what was done is kept in
# build/mutants/results, and is not done again until the fault or its tests change. A test that fails without the fault proves nothing:
# each is run once without any.
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

# The copy gets what differs and nothing else: a time stamp of the archive is older than the objects that were made of what it replaces.
# A run that was broken off may have left its fault there.
rm -rf "$work/next"
mkdir -p "$work/next" "$work/tree"
git archive HEAD | tar -x -C "$work/next" || exit 1
(cd "$work/next" && find . -type f) | while IFS= read -r file; do
    cmp -s "$work/next/$file" "$work/tree/$file" && continue
    mkdir -p "$work/tree/${file%/*}"
    cp -p "$work/next/$file" "$work/tree/$file" && touch "$work/tree/$file"
done
for list_of in 'shm/*' 'engine/*/*' 'tests/*' 'tests/*/*' 'tools/*' 'tools/*/*'; do
    for file in "$work"/tree/$list_of; do
        name=${file#"$work"/tree/}
        if [ -f "$file" ] && [ ! -f "$work/next/$name" ]; then rm "$file"; fi
    done
done
rm -rf "$work/next"
if [ "$(cat "$work/commit" 2>/dev/null)" != "$(git rev-parse HEAD)" ]; then
    rm -f "$work/clean"
    git rev-parse HEAD >"$work/commit"
fi
touch "$work/clean"

flags='-std=gnu11 -O1 -w -fvisibility=hidden'
in_copy() { # what make does
    (cd "$work/tree" && TIDE_TEST_LIMIT=${TIDE_TEST_LIMIT:-120} TIDE_NO_INSTALL=1 timeout 900 make CFLAGS="$flags" OPT=-O1 BENCH_MAINS= "$@") </dev/null
}

# The programs that a test of C needs are few; scripts use whatever there is.
build_for() { # test
    if [ -f "$work/tree/tests/$1.test.sh" ]; then
        in_copy -s T="$1" test-programs
    else
        in_copy -s -j2 build/tide "build/tests/test_$1"
    fi
}

run_for() { # test
    if [ -f "$work/tree/tests/$1.test.sh" ]; then
        in_copy T="$1" test
    else
        (cd "$work/tree" && TIDE_TEST_LIMIT=${TIDE_TEST_LIMIT:-120} TIDE_BUILD=build sh tests/run.sh "build/tests/test_$1") </dev/null
    fi
}

# The first case that failed, or how the program ended.
reason() { # log
    sed -n -e 's/.*not ok [0-9]* - \(.*\)/\1/p' -e 's/^FAILED .* s) (\(.*\))$/\1/p' -e 's/^FAILED .*/failed/p' "$1" | awk '
        /failed$/ && !/^[a-z_]*__/ { if (any == "") any = $0; next } { if (first == "") first = $0 } END { print first != "" ? first : any }'
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
        log=$work/$name.log
        : >"$log"
        for t in $tests; do
            grep -qx "$t" "$work/clean" && continue
            if build_for "$t" >"$work/$t.clean.log" 2>&1 && run_for "$t" >>"$work/$t.clean.log" 2>&1; then
                echo "$t" >>"$work/clean"
            else
                echo "$t fails without a fault: $work/$t.clean.log" >&2
                tests=" $tests "
                tests="${tests%% "$t" *} ${tests#* "$t" }"
            fi
        done
        git show "HEAD:$file" >"$work/was" || exit 1
        change "$work/tree/$file" "$was" "$now"
        said="SURVIVED $tests"
        for t in $tests; do
            if ! build_for "$t" >>"$log" 2>&1; then
                said="does not build"
                break
            elif ! run_for "$t" >"$log.$t" 2>&1; then
                said="caught by $t: $(reason "$log.$t")"
                break
            fi
        done
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
