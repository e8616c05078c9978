#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Commands with few descriptors. What cannot be looked at is an error that says so: never a domain that is gone, nobody who serves, a
# replica that is good, or a file that is not there. Exit codes: 0 good, 1 not.
cd "$(dirname "$0")/.."
. tests/lib/commands.sh

begin serve serve d --followers 1 --ring 64K --table 256K
ready serve
expect 0 "put" put d k v
expect 0 "save" snapshot save d "$work/d.snap"

few() { # how many descriptors, what arguments...
    most=$1
    shift
    what="$* with $most descriptors"
    (
        exec >"$work/out" 2>"$work/err" </dev/null
        ulimit -n "$most"
        # LeakSanitizer looks into /proc when the process ends, and has no descriptor for that.
        [ -z "${TIDE_SANITIZED:-}" ] || export ASAN_OPTIONS="${ASAN_OPTIONS:-}:detect_leaks=0"
        exec timeout -k 5 30 "$tide" "$@"
    )
    got=$?
}

# A sanitizer and another libc need their own: so many that the simplest command works.
least=3
while few "$least" version && [ $got != 0 ]; do
    least=$((least + 1))
done
for more in 1 2 3; do
    for c in "get d k" "get d k none" "ttl d k" "scan d" "put d k v --timeout 10s" "touch d k never --timeout 10s" "incr d n --timeout 10s" \
        "cas d x v --expect 0 --timeout 10s" "del d x --timeout 10s" "del d --prefix x" "clear d --prefix x" "watch d --initial --count 1" \
        "verify d" "stat d" "stat d --json" "top d --once --interval 100ms" "diff d.r0 d.r1" "diff d d.r0" "dump d --summary" "dump d --html $work/d.html" "ls" "gc" "gc d" "metrics d" "dump d" "dump d.r0" "snapshot save d $work/x.snap" \
        "snapshot load d $work/d.snap --timeout 10s" "rm d"; do
        # shellcheck disable=SC2086
        few $((least - 1 + more)) $c
        case $got in
        0) ;;
        1) [ "$c" = "get d k none" ] || bad "$what: exit code 1" ;;
        4) [ "$c" = "rm d" ] || bad "$what: exit code 4" ;;
        7) warns 'Too many open files' ;;
        *) bad "$what: exit code $got" ;;
        esac
        case $c in verify*) [ $got != 0 ] || says '^2 replicas, [1-9][0-9]* nodes checked' ;; esac
    done
done
few $((least - 1 + 1)) verify d
[ $got = 7 ] || bad "$what: exit code $got, not 7: a test with too many descriptors shows nothing"
expect 0 "the domain is there after all that" get d k
says '^v$'
exit "$failed"
