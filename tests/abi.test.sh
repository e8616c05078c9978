#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A program that was compiled with the oldest header works with today's libraries, shared and archive, and finds nothing beyond its own
# structs touched. The check of `make check` that keeps it so finds each kind of change, and lets structs grow.
set -eu
[ -z "${TIDE_SANITIZED:-}" ] || { echo "skipped: the libraries are looked at, not built anew"; exit 77; }
cc=${CC:-gcc}
build=$(cd "${TIDE_BUILD:-build}" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for header in "$here"/abi/*.h.txt; do
    mkdir -p "$tmp/old"
    cp "$header" "$tmp/old/tidemark.h"
    cat >"$tmp/program.c" <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tidemark.h>
/* Behind each struct lies something else of the program. */
#define GUARDED(type, name, init) struct { struct type s; unsigned char after[256]; } name = { init, { 0 } }; \
    memset(name.after, 0xa5, sizeof(name.after))
#define UNTOUCHED(name) for (size_t i = 0; i < sizeof(name.after); i++) CHECK(name.after[i] == 0xa5)
static void check(int ok, const char *what, int line) {
    if (!ok) {
        printf("line %d: not so: %s\n", line, what);
        exit(1);
    }
}
#define CHECK(ok) check((ok), #ok, __LINE__)
static int visit(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    (void)key, (void)value, (void)version;
    *(size_t *)ctx += key_len + value_size;
    return 0;
}
int main(int argc, char **argv) {
    GUARDED(tide_opts, opts, TIDE_OPTS_INIT);
    GUARDED(tide_replica_opts, leader, TIDE_REPLICA_OPTS_INIT);
    GUARDED(tide_replica_opts, follower, TIDE_REPLICA_OPTS_INIT);
    GUARDED(tide_reader_opts, reader, TIDE_READER_OPTS_INIT);
    GUARDED(tide_bound, bound, TIDE_BOUND_INIT);
    GUARDED(tide_answer, a, TIDE_ANSWER_INIT);
    GUARDED(tide_info, info, TIDE_INFO_INIT);
    GUARDED(tide_replica_info, replica, TIDE_REPLICA_INFO_INIT);
    GUARDED(tide_verify, verify, TIDE_VERIFY_INIT);
    GUARDED(tide_read_counts, counts, TIDE_READ_COUNTS_INIT);
    struct tide *d;
    struct tide_reader *r;
    struct tide_token token;
    char value[64];
    CHECK(argc == 2);
    opts.s.flags |= TIDE_EPHEMERAL;
    opts.s.ring_bytes = 1 << 16;
    opts.s.table_bytes = 1 << 20;
    leader.s.role = TIDE_LEADER;
    CHECK(tide_open(&d, argv[1], &opts.s) == 0 && tide_replica_start(d, &leader.s, NULL) == 0);
    CHECK(tide_replica_start(d, &follower.s, NULL) == 0 && tide_reader_open(d, &reader.s, &r) == 0);
    CHECK(tide_put(d, r, "key", 3, "value", 5, &token) == 0);
    CHECK(tide_put(d, r, "twelve bytes", 12, value, sizeof(value), &token) == 0);
    CHECK(tide_wait_applied(d, &token, 2, 10000000000u) == 0);
    CHECK(tide_get(r, "key", 3, &bound.s, value, sizeof(value), &a.s) == 0 && memcmp(value, "value", 5) == 0);
    CHECK(a.s.value_size == 5 && a.s.index == token.index && a.s.linearizable == 1 && a.s.reason == TIDE_REASON_FRESH);
    CHECK(tide_get(r, "twelve bytes", 12, &bound.s, value, sizeof(value), &a.s) == 0 && a.s.value_size == 64);
    CHECK(tide_get(r, "none", 4, &bound.s, value, sizeof(value), &a.s) == TIDE_ERR_NOT_FOUND);
    struct tide_mget_item items[2] = { { .key = "key", .key_len = 3, .buf = value, .buf_size = 8 }, { .key = "none", .key_len = 4 } };
    CHECK(tide_mget(r, items, 2, &bound.s, &a.s) == 0 && items[0].result == 0 && items[1].result == TIDE_ERR_NOT_FOUND);
    struct tide_op ops[2] = { { .kind = TIDE_OP_PUT, .key = "a", .key_len = 1, .value = "b", .value_size = 1 },
                              { .kind = TIDE_OP_DELETE, .key = "twelve bytes", .key_len = 12 } };
    CHECK(tide_batch(d, r, ops, 2, &token, NULL) == 0);
    size_t seen = 0;
    CHECK(tide_section_begin(r, &bound.s, &a.s) == 0 && tide_section_scan(r, visit, &seen) == 0 && tide_section_end(r) == 0);
    CHECK(seen == 3 + 5 + 1 + 1);
    CHECK(tide_info(d, &info.s) == 0 && info.s.commit_index == token.index && info.s.size == sizeof(info.s));
    CHECK(tide_replica_info(d, 0, &replica.s) == 0 && replica.s.keys == 2 && strcmp(replica.s.label, "r0") == 0);
    CHECK(tide_verify(d, &verify.s) == 0 && verify.s.damaged == 0 && verify.s.differing == 0);
    CHECK(tide_read_counts(d, &counts.s) == 0 && tide_reader_counts(r, &counts.s) == 0);
    CHECK(counts.s.by_reason[TIDE_REASON_FRESH] + counts.s.by_reason[TIDE_REASON_WAITED] > 0);
    UNTOUCHED(opts); UNTOUCHED(leader); UNTOUCHED(follower); UNTOUCHED(reader); UNTOUCHED(bound);
    UNTOUCHED(a); UNTOUCHED(info); UNTOUCHED(replica); UNTOUCHED(verify); UNTOUCHED(counts);
    return tide_reader_close(r) != 0 || tide_close(d) != 0;
}
END
    $cc -Wall -Werror -I"$tmp/old" -o "$tmp/shared" "$tmp/program.c" -L"$build" -ltidemark
    LD_LIBRARY_PATH=$build "$tmp/shared" "abi-test-$$" || { echo "$(basename "$header"), shared: the program failed"; exit 1; }
    $cc -Wall -Werror -I"$tmp/old" -o "$tmp/static" "$tmp/program.c" "$build/libtidemark.a" -lurcu-memb -lurcu-common -lm -pthread
    "$tmp/static" "abi-test-$$" || { echo "$(basename "$header"), archive: the program failed"; exit 1; }
done

if ! command -v abidiff >/dev/null 2>&1 || [ "$(uname -m)" != x86_64 ]; then
    echo "no abidiff, or no x86-64: the check was not tried"
    exit 0
fi
try() { # sed expression
    sed "$1" engine/tidemark.h >"$tmp/tidemark.h"
    if cmp -s engine/tidemark.h "$tmp/tidemark.h"; then
        echo "this changes nothing, and proves nothing: $1"
        exit 1
    fi
    sh "$here/abi/check.sh" "$tmp/tidemark.h" >"$tmp/out" 2>&1 || { cat "$tmp/out"; echo "not a header any more: $1"; exit 1; }
}
breaks() {
    try "$1"
    [ -s "$tmp/out" ] || { echo "not found: $1"; exit 1; }
}
keeps() {
    try "$1"
    [ ! -s "$tmp/out" ] || { cat "$tmp/out"; echo "not to be complained of: $1"; exit 1; }
}
breaks 's/uint64_t waited_ns;/uint32_t waited_ns;/'
breaks '/^struct tide_answer {/,/^};/s/^    uint64_t value_size;     /    uint64_t surplus;\n&/'
breaks 's/char label\[32\];/char label[64];/'
breaks 's/TIDE_NAME_MAX + 16\]/TIDE_NAME_MAX + 32]/'
breaks '/^struct tide_op {/,/^};/s/^    uint64_t expected; /    uint64_t surplus;\n&/'
breaks 's/TIDE_ERR_LOST = -29,/TIDE_ERR_LOST = -99,/'
breaks 's/^TIDE_API int tide_ping(.*//'
breaks 's/tide_ping(struct tide \*d, uint64_t/tide_ping(struct tide *d, uint32_t/'
breaks 's/TIDE_REASONS = [0-9]*/TIDE_REASONS = 30/'
keeps 's/^#define TIDE_ANSWER_INIT/struct tide_more;\n&/'
keeps '/^struct tide_answer {/,/^};/s/^};/    uint64_t surplus;\n};/'
keeps '/^struct tide_opts {/,/^};/s/^};/    uint64_t surplus;\n    uint32_t surplus2, surplus3;\n};/'
keeps 's/^TIDE_API int tide_ping(/TIDE_API int tide_pong(struct tide *d);\n&/'
keeps 's/TIDE_ERR_LOST = -29,/& TIDE_ERR_MORE = -99,/'
