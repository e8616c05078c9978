#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tidemark.h by itself is C11 to 23 and C++11 to 23 without a warning, and each initializer sets the size that functions ask for.
set -eu
build=${TIDE_BUILD:-build}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cat >"$tmp/program.c" <<'END'
#include "engine/tidemark.h"
#include "engine/tidemark.h" /* twice is once */

static int visit(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    (void)ctx, (void)key, (void)key_len, (void)value, (void)value_size, (void)version;
    return 0;
}

static void log_line(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx, (void)level, (void)text;
}

int main(void) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_replica_opts replica_opts = TIDE_REPLICA_OPTS_INIT;
    struct tide_replica_info replica_info = TIDE_REPLICA_INFO_INIT;
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer answer = TIDE_ANSWER_INIT;
    struct tide_reader_opts reader_opts = TIDE_READER_OPTS_INIT;
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    struct tide_verify verify = TIDE_VERIFY_INIT;
    tide_scan_fn *scan = visit;
    opts.log = log_line;
    if (tide_reason_name(answer.reason) == 0 || tide_reason_name(TIDE_REASON_FRESH) == 0) return 1;
    return !(scan == visit && opts.size == sizeof(opts) && opts.flags == TIDE_CREATE && opts.log == log_line &&
             info.size == sizeof(info) && replica_opts.size == sizeof(replica_opts) && replica_opts.id == -1 &&
             replica_opts.cpu == -1 && replica_info.size == sizeof(replica_info) && bound.size == sizeof(bound) &&
             bound.max_staleness_ns == 0 && bound.max_lag == TIDE_UNBOUNDED && answer.size == sizeof(answer) &&
             reader_opts.size == sizeof(reader_opts) && reader_opts.home == -1 && verify.size == sizeof(verify) && counts.size == sizeof(counts) &&
             tide_version() == TIDE_VERSION && tide_strerror(TIDE_ERR_FULL) != 0 && tide_open(0, 0, &opts) == TIDE_ERR_INVALID);
}
END
cp "$tmp/program.c" "$tmp/program.cc"

tried=0
try() { # compiler flags... source
    command -v "$1" >/dev/null 2>&1 || return 0
    tried=$((tried + 1))
    compiler=$1
    shift
    "$compiler" -I. -fsyntax-only -Wall -Wextra -Wpedantic -Werror "$@"
}
for cc in gcc clang; do
    for std in c11 c2x; do
        try "$cc" -std=$std "$tmp/program.c"
    done
done
for cxx in g++ clang++; do
    for std in c++11 c++14 c++17 c++20 c++2b; do # c++2b: 23, as compilers of Debian 12 spell it
        try "$cxx" -std=$std "$tmp/program.cc"
    done
done
[ "$tried" -gt 0 ] || { echo "skipped: no compiler"; exit 77; }

# The symbols have C names: a C++ program links with the library and runs.
[ -z "${TIDE_SANITIZED:-}" ] || exit 0
command -v g++ >/dev/null 2>&1 || exit 0
g++ -I. -o "$tmp/program" "$tmp/program.cc" "$build/libtidemark.a" -lurcu-memb -lurcu-common -lm -pthread
"$tmp/program"
