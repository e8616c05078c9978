/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of log and tables are wrong when a process opens the domain, reads, asks and closes. */
#include <string.h>

#include "tests/fuzz/world.h"

static void read_some(struct tide *d) {
    static uint8_t bytes[4096];
    struct tide_reader *r = NULL;
    struct tide_bound any = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    any.max_staleness_ns = TIDE_UNBOUNDED;
    any.fallback = TIDE_FALLBACK_STALE;
    if (tide_reader_open(d, NULL, &r) != 0) {
        return;
    }
    for (unsigned i = 0; i < 8; i++) {
        char key[WORLD_KEY_BYTES + 1];
        world_key(i * 29, key);
        (void)tide_get(r, key, WORLD_KEY_BYTES, &any, bytes, sizeof(bytes), &a);
    }
    if (tide_section_begin(r, &any, &a) == 0) {
        (void)tide_section_scan(r, fuzz_see, NULL);
        (void)tide_section_end(r);
    }
    (void)tide_reader_close(r);
}

static void ask_some(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_verify verify = TIDE_VERIFY_INIT;
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    (void)tide_info(d, &info);
    for (uint32_t i = 0; i < 3; i++) {
        struct tide_replica_info replica = TIDE_REPLICA_INFO_INIT;
        (void)tide_replica_info(d, i, &replica);
    }
    (void)tide_read_counts(d, &counts);
    (void)tide_verify(d, &verify);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    (void)world();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct fuzz_input in = { bytes, size };
    (void)world();
    world_change(&in, 32);
    struct tide *d = world_open();
    if (d != NULL) {
        read_some(d);
        ask_some(d);
        (void)tide_close(d);
    }
    world_mend();
    return 0;
}
