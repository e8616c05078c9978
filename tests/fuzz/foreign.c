/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of a table are wrong, and become so between the reads of a process that has mapped it: get, mget, sections, peeks, scans. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/world.h"

static struct tide *d;
static struct tide_reader *reader;
static const struct tide_bound any = {
    .size = sizeof(any), .max_staleness_ns = TIDE_UNBOUNDED, .max_lag = TIDE_UNBOUNDED, .fallback = TIDE_FALLBACK_STALE
};

/* In a block of its own, so that a sanitizer sees a write beyond it. */
static void get(uint64_t n, size_t room) {
    struct tide_answer a = TIDE_ANSWER_INIT;
    char key[WORLD_KEY_BYTES + 1];
    uint8_t *value = malloc(room > 0 ? room : 1);
    world_key(n, key);
    if (tide_get(reader, key, WORLD_KEY_BYTES, &any, value, room, &a) == 0) {
        FUZZ_EXPECT(a.value_size <= room);
        fuzz_read(value, a.value_size);
    }
    free(value);
}

static void mget(uint64_t n) {
    static uint8_t values[8][256];
    static char keys[8][WORLD_KEY_BYTES + 1];
    struct tide_mget_item items[8];
    struct tide_answer a = TIDE_ANSWER_INIT;
    memset(items, 0, sizeof(items));
    for (uint64_t i = 0; i < 8; i++) {
        world_key(n + 3 * i, keys[i]);
        items[i].key = keys[i];
        items[i].key_len = WORLD_KEY_BYTES;
        items[i].buf = values[i];
        items[i].buf_size = sizeof(values[i]);
    }
    (void)tide_mget(reader, items, 8, &any, &a);
}

static void section(uint64_t n) {
    struct tide_answer a = TIDE_ANSWER_INIT;
    char key[WORLD_KEY_BYTES + 1];
    const void *value;
    size_t bytes;
    if (tide_section_begin(reader, &any, &a) != 0) {
        return;
    }
    world_key(n, key);
    if (tide_section_peek(reader, key, WORLD_KEY_BYTES, &value, &bytes, NULL) == 0) {
        fuzz_read(value, bytes);
    }
    if (n % 4 == 0) {
        (void)tide_section_scan(reader, fuzz_see, NULL);
    }
    (void)tide_section_end(reader);
}

static void leave(void) {
    (void)tide_reader_close(reader);
    (void)tide_close(d);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    (void)world();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    struct fuzz_input in = { bytes, size };
    if (d == NULL) {
        d = world_open();
        FUZZ_EXPECT(d != NULL && tide_reader_open(d, NULL, &reader) == 0);
        atexit(leave);
    }
    while (in.left > 0) {
        uint64_t what = fuzz_take(&in, 1), n = fuzz_take(&in, 1);
        switch (what % 8) {
        case 0:
        case 1:
        case 2:
            world_change(&in, 1 + (unsigned)what / 64);
            break;
        case 3:
            mget(n);
            break;
        case 4:
            section(n);
            break;
        default:
            get(n, (size_t)(what / 8) * 13);
        }
    }
    for (uint64_t n = 0; n < 6; n++) {
        get(n * 31, 4096);
    }
    world_mend();
    return 0;
}
