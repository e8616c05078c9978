#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run.sh PROGRAM...: run test programs, one more at a time than there are cores, and close with "N passed, N failed[, N skipped]".
#
# A program is a cmocka binary, whose cases are counted from its TAP output, or a script tests/NAME.test.sh or
# tests/env/NAME.test.sh, which is one case: exit status 0 passed, 77 skipped with a reason on stdout, else failed. A program that dies, hangs or reports fewer cases than it
# announced counts as one more failure. Each program has a time limit, and all together have another, so the run always ends.
#
# TIDE_BUILD             where the programs lie (build); tests find `tide` and the logs there
# TIDE_STRESS_SECONDS=N  pass `--seconds N` to each, one after another, with N seconds more of time
# TIDE_STRESS_COUNTED=1  but stress_history and stress_kill make 10,000 histories and 1,000 kills, with half an hour of time
# TIDE_SANITIZED=1       everything is slower: longer limits
# TIDE_TEST_LIMIT=S        seconds for each program (240)
# TIDE_TEST_JOBS=N       how many at a time
# TIDE_TEST_RUNNER=CMD   what starts a binary: an emulator
set -u
TIDE_BUILD=${TIDE_BUILD:-build}
export TIDE_BUILD
logs=${TIDE_TEST_LOGS:-$TIDE_BUILD/test-logs}

# ---- one program: started by xargs below -----------------------------------------------------------------------------

# A case may print text without a line end before its verdict, so the verdict need not begin the line.
count_tap() { # log -> "passed failed skipped announced"
    awk '
        /^1\.\.[0-9]+/ { split($1, plan, "[.][.]"); announced += plan[2]; next }
        /^#/ { next }
        /ok [0-9]+ # [Ss][Kk][Ii][Pp]/ { skipped++; next }
        /not ok [0-9]+ - / { failed++; next }
        /ok [0-9]+ - / { passed++ }
        END { print passed + 0, failed + 0, skipped + 0, announced + 0 }' "$1"
}

# What a stress test is told to do.
stress_work() { # name
    case $1${TIDE_STRESS_COUNTED:+,counted} in
    stress_history,counted) echo "--histories 10000" ;;
    stress_kill,counted) echo "--kills 1000" ;;
    *) echo "--seconds $TIDE_STRESS_SECONDS" ;;
    esac
}

run_one() { # program
    name=$(basename "$1")
    case $1 in */env/*) name=env_$name ;; esac
    log=$logs/$name.log
    now=$(date +%s)
    began_ms=$(date +%s%3N)
    limit=$TIDE_TEST_LIMIT
    case $1 in
    */env/*) # "# Limit: N s" in a test of environments that takes longer
        own=$(sed -n 's/^# Limit: \([0-9]*\) s$/\1/p' "$1")
        [ "${own:-0}" -gt "$limit" ] && limit=$own
        ;;
    esac
    [ $((TIDE_TEST_END - now)) -lt "$limit" ] && limit=$((TIDE_TEST_END - now))
    [ "$limit" -lt 1 ] && limit=1
    case $1 in
    *.test.sh) set -- sh "$1" ;;
    *)
        if [ -n "${TIDE_STRESS_SECONDS:-}" ]; then
            set -- "$1" $(stress_work "$name")
            [ "$2" = --seconds ] || limit=1800
        fi
        # shellcheck disable=SC2086 # the runner is words
        set -- ${TIDE_TEST_RUNNER:-} "$@"
        ;;
    esac
    CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 5 "$limit" "$@" >"$log" 2>&1 </dev/null
    rc=$?
    took_ms=$(($(date +%s%3N) - began_ms))
    took=$((took_ms / 1000)).$((took_ms / 100 % 10))
    what=
    if [ "$rc" = 124 ] || { [ "$rc" = 137 ] && [ $(($(date +%s) - now)) -ge "$limit" ]; }; then
        what="did not end within $limit s"
    elif [ "$rc" = 255 ]; then
        # cmocka catches SIGSEGV and its like, and in a thread that runs no case all it can do is exit(-1).
        what="ended with status 255: a signal in a thread, or exit(-1)"
    elif [ "$rc" -gt 128 ]; then
        what="died of signal $((rc - 128))"
    fi
    case $name in
    *.test.sh)
        passed=0 failed=0 skipped=0
        case $rc in
        0) passed=1 ;;
        77) skipped=1 ;;
        *) failed=1 ;;
        esac
        ;;
    *)
        set -- $(count_tap "$log")
        passed=$1 failed=$2 skipped=$3
        # A stress test need not have cases: then the program itself is one.
        [ -n "${TIDE_STRESS_SECONDS:-}" ] && [ "$4" = 0 ] && [ "$rc" = 0 ] && passed=1
        [ -z "$what" ] && [ $((passed + failed + skipped)) -lt "$4" ] && what="reported fewer cases than it announced"
        [ -z "$what" ] && [ "$rc" != 0 ] && [ "$failed" = 0 ] && what="ended with status $rc"
        [ -z "$what" ] && [ $((passed + failed + skipped)) = 0 ] && what="reported no cases"
        [ -n "$what" ] && failed=$((failed + 1))
        ;;
    esac
    echo "$passed $failed $skipped" >"$logs/$name.count"
    # One printf for each report, so that two programs do not mix their lines.
    if [ "$failed" != 0 ]; then
        printf 'FAILED %s: %s passed, %s failed (%s s) %s\n%s\n' "$name" "$passed" "$failed" "$took" "${what:+($what)}" \
            "$(grep -v '^ok ' "$log" | tail -n 60 | sed 's/^/    /')"
    elif [ "$skipped" != 0 ]; then
        printf '%-28s %3s passed, %s skipped (%s s)\n%s\n' "$name" "$passed" "$skipped" "$took" \
            "$(grep -i 'skip' "$log" | head -n 10 | sed 's/^/    /')"
    else
        printf '%-28s %3s passed (%s s)\n' "$name" "$passed" "$took"
    fi
    # A stress test's seed and counts are printed also where all went well.
    if [ -n "${TIDE_STRESS_SECONDS:-}" ] && [ "$failed" = 0 ]; then
        grep -v 'ok [0-9]* -\|^1\.\.\|^# ok' "$log" | tail -n 8 | sed 's/^/    /'
    fi
    # Status 0 always: xargs stops starting programs when one answers 255.
    return 0
}

if [ "${1:-}" = --one ]; then
    run_one "$2"
    exit 0
fi

# ---- all of them -----------------------------------------------------------------------------------------------------

if [ $# = 0 ]; then
    echo "no tests to run" >&2
    echo "0 passed, 0 failed"
    exit 1
fi
# Against hangs alone: what the tests may take on a machine of their own is two minutes, compiling included, and nothing here asserts it.
TIDE_TEST_LIMIT=${TIDE_TEST_LIMIT:-240}
total=900
# The tests of environments have limits, memory and waits of their own.
case " $* " in *tests/env/*) total=1800 ;; esac
# Most of them sleep for a part of their time.
jobs=${TIDE_TEST_JOBS:-$(($(nproc 2>/dev/null || echo 2) + 1))}
if [ -n "${TIDE_SANITIZED:-}" ]; then
    TIDE_TEST_LIMIT=600
    total=3000
    # No suppressions anywhere: what a sanitizer says is a failure.
    export ASAN_OPTIONS="use_sigaltstack=0:detect_leaks=1:halt_on_error=1:abort_on_error=1:${ASAN_OPTIONS:-}"
    export UBSAN_OPTIONS="halt_on_error=1:abort_on_error=1:print_stacktrace=1:${UBSAN_OPTIONS:-}"
    export TSAN_OPTIONS="halt_on_error=1:abort_on_error=1:second_deadlock_stack=1:${TSAN_OPTIONS:-}"
fi
if [ -n "${TIDE_STRESS_SECONDS:-}" ]; then
    TIDE_TEST_LIMIT=$((TIDE_TEST_LIMIT + TIDE_STRESS_SECONDS * 2))
    total=$((TIDE_TEST_LIMIT * $# + 2 * 1800))
    jobs=1
fi
TIDE_TEST_END=$(($(date +%s) + total))
export TIDE_TEST_LIMIT TIDE_TEST_END
# In a folder of this run alone, or two runs in one build would count each other's.
TIDE_TEST_LOGS=$TIDE_BUILD/test-logs.$$
logs=$TIDE_TEST_LOGS
export TIDE_TEST_LOGS
trap 'rm -rf "$TIDE_BUILD/test-logs"; mv "$logs" "$TIDE_BUILD/test-logs"' EXIT
trap 'exit 130' INT HUP TERM
mkdir -p "$logs" || exit 1

# The longest first, or the last one would run alone. One that is not named here is only later.
long='test_etcd upstream_input test_upstream crash test_gone bench_quick test_model check_self test_history test_bench_micro protocol_processes check_self_rooms hdr_reference test_stress
python node test_dump_live test_dump_fuzz commands protocol'
in_order() { # program...
    for name in $long; do
        for program in "$@"; do
            case ${program##*/} in "$name" | "$name.test.sh") echo "$program" ;; esac
        done
    done
    for program in "$@"; do
        name=${program##*/}
        case " $(echo $long) " in *" ${name%.test.sh} "*) ;; *) echo "$program" ;; esac
    done
}

in_order "$@" | xargs -n 1 -P "$jobs" sh "$0" --one

# A program without a count did not run to its end: that is a failure, too.
cat "$logs"/*.count 2>/dev/null | awk -v programs=$# '
    { passed += $1; failed += $2; skipped += $3; counted++ }
    END {
        failed += programs - counted
        printf "%d passed, %d failed%s\n", passed, failed, skipped ? ", " skipped " skipped" : ""
        exit failed != 0
    }'
