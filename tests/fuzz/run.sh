#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run.sh FUZZER...: run each with libFuzzer, from its corpus, and close with a line for each: executions, coverage, what was found.
# TIDE_BUILD: where the programs lie. TIDE_FUZZ_RUNS: executions of each; else TIDE_FUZZ_SECONDS. Status 1: one of them found a fault.
set -u
build=${TIDE_BUILD:-build/fuzz}
mkdir -p "$build/crashes" "$build/logs"
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:${ASAN_OPTIONS:-}"
failed=0
for name in "$@"; do
    mkdir -p "$build/found/$name"
    log=$build/logs/$name.log
    if [ -n "${TIDE_FUZZ_RUNS:-}" ]; then limit=-runs=$TIDE_FUZZ_RUNS; else limit=-max_total_time=${TIDE_FUZZ_SECONDS:-60}; fi
    TIDE_CORPUS=$name "$build/fuzzers/$name" "$limit" -timeout=30 -rss_limit_mb=2048 -max_len=4096 -close_fd_mask=1 -print_final_stats=1 \
        -artifact_prefix="$build/crashes/$name-" "$build/found/$name" "tests/fuzz/corpus/$name" >"$log" 2>&1
    rc=$?
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    covered=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -1)
    if [ "$rc" = 0 ]; then
        printf '%-10s %s executions, %s branches covered, nothing found\n' "$name" "${executions:-?}" "${covered:-?}"
    else
        printf '%-10s %s executions: FOUND (status %s), see %s and %s/crashes/%s-*\n' "$name" "${executions:-?}" "$rc" "$log" "$build" "$name"
        failed=1
    fi
done
exit $failed
