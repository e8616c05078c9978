#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run.sh [--check] [NAME...]: put each fault of tests/mutants/list into a copy of the tree (the last commit), and run the tests that have to
# notice it, one after another until one fails. One line for each fault, which says what failed; what was done is kept in
# build/mutants/results, with its date, and is not done again until the fault or its tests change. A run that is broken off goes on at the
# test where it was. A test that fails without the fault proves nothing: each is run once without any, and how long that takes
# decides how long it may take with a fault.
# WIDE=1: where the tests that the fault names pass, some thirty more that use most of the engine.
# TIDE_MUTANTS_SECONDS: begin no test after that many, and end with status 3; the next run goes on.
# --check: only look whether each fault fits the sources, in the form of `make check`. Status 1: a fault was not noticed, or does not fit.
# TIDE_BUILD: where the copy lies. Run it at the top of the tree.
set -u
list=tests/mutants/list
work=${TIDE_BUILD:-build}/mutants
tab=$(printf '\t')
wide='api put table table_splits table_full arena sections model memory_model evict ttl lanes writes batches watch feed tokens reads
    read_claims delays replicas ring_room join newcomer snapshot make damage stuck imitate history crash_between crash fuzz'

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
    rm -f "$work/clean" "$work/passed"
    git rev-parse HEAD >"$work/commit"
fi
touch "$work/clean" "$work/passed"

flags='-std=gnu11 -O1 -w -fvisibility=hidden'
limit=60
in_copy() { # what make does
    (cd "$work/tree" && TIDE_TEST_LIMIT=$limit TIDE_NO_INSTALL=1 timeout 900 make CFLAGS="$flags" OPT=-O1 BENCH_MAINS= "$@") </dev/null
}

# The programs that a test of C needs are few; scripts use whatever there is.
build_for() { # test
    if [ -f "$work/tree/tests/$1.test.sh" ]; then
        in_copy -s -j2 T="$1" test-programs
    elif grep -q 'TIDE_BUILD\|scribble_tools' "$work/tree/tests/test_$1.c"; then
        in_copy -s -j2 build/tide "build/tests/test_$1"
    else
        in_copy -s -j2 "build/tests/test_$1"
    fi
}

run_for() { # test
    if [ -f "$work/tree/tests/$1.test.sh" ]; then
        in_copy T="$1" test
    else
        (cd "$work/tree" && TIDE_TEST_LIMIT=$limit TIDE_BUILD=build sh tests/run.sh "build/tests/test_$1") </dev/null
    fi
}

# Is there time for one more test?
started=$(date +%s)
in_time() {
    [ $(($(date +%s) - started)) -lt "${TIDE_MUTANTS_SECONDS:-1000000}" ] || exit 3
}

# Does the test pass without a fault? Once for each commit; $work/clean has its name and its seconds, or "fails".
is_clean() { # test
    case $(sed -n "s/^$1 //p" "$work/clean") in
    '') ;;
    fails) return 1 ;;
    *) return 0 ;;
    esac
    in_time
    limit=180
    build_for "$1" >"$work/$1.clean.log" 2>&1
    began=$(date +%s)
    if run_for "$1" >>"$work/$1.clean.log" 2>&1; then
        echo "$1 $(($(date +%s) - began))" >>"$work/clean"
    else
        echo "$1 fails" >>"$work/clean"
        echo "$1 fails without a fault: $work/$1.clean.log" >&2
        return 1
    fi
}

# The first case that failed, or else how the program ended.
reason() { # log
    cases=$(sed -n 's/.*not ok [0-9]* - \(.*\)/\1/p' "$1" | head -1)
    how=$(sed -n -e 's/^FAILED .* s) (\(.*\))$/\1/p' -e 's/^FAILED .*/failed/p' "$1" | head -1)
    echo "${cases:-$how}"
}

survived=0
records >"$work/records"
while IFS=$tab read -r name file was now tests; do
    if [ $# -gt 0 ]; then
        case " $* " in *" $name "*) ;; *) continue ;; esac
    fi
    key=$(printf '%s' "$file$was$now$tests${WIDE:+wide}" | cksum | cut -d' ' -f1)
    said=$(sed -n "s/^$name $key //p" "$results" | tail -1)
    if [ -z "$said" ]; then
        log=$work/$name.log
        : >"$log"
        git show "HEAD:$file" >"$work/was" || exit 1
        ran= late=
        for t in $tests ${WIDE:+$wide}; do
            case " $ran " in *" $t "*) continue ;; esac
            grep -q "^$t " "$work/clean" || cat "$work/was" >"$work/tree/$file"
            is_clean "$t" || continue
            ran="$ran $t"
            grep -qx "$name $key $t" "$work/passed" && continue
            in_time
            limit=$((30 + 4 * $(sed -n "s/^$t //p" "$work/clean")))
            ! cmp -s "$work/was" "$work/tree/$file" || change "$work/tree/$file" "$was" "$now"
            if ! build_for "$t" >>"$log" 2>&1; then
                said="does not build"
            elif ! run_for "$t" >"$log.$t" 2>&1; then
                said="caught by $t: $(reason "$log.$t")"
            fi
            case $said in
            '') echo "$name $key $t" >>"$work/passed" ;;
            *': did not end within '*) # the machine may have been slow: perhaps another test has more to say
                late=$said
                said=
                ;;
            *) break ;;
            esac
        done
        said=${said:-$late}
        cat "$work/was" >"$work/tree/$file"
        said="$(date +%F) ${said:-SURVIVED$ran}"
        printf '%s %s %s\n' "$name" "$key" "$said" >>"$results"
    fi
    printf '%-26s %s\n' "$name" "$said"
    case $said in *' caught by '*) ;; *) survived=$((survived + 1)) ;; esac
done <"$work/records"
[ "$survived" = 0 ] || {
    echo "$survived were not noticed" >&2
    exit 1
}
