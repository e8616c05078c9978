/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of `tide snapshot`. The first byte says whether the checksum is made right, so that what stands behind it is reached. */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "tests/fuzz/fuzz.h"
#include "tools/lib/snapshot_file.h"

#define MOST (64u << 10)

static void check(const struct records *records) {
    for (size_t i = 0; i < records->n; i++) {
        const struct record *x = &records->list[i];
        FUZZ_EXPECT(x->at <= records->size && x->key_size <= records->size - x->at &&
                    x->value_size <= records->size - x->at - x->key_size);
        FUZZ_EXPECT(i == 0 || records_compare(records, &records->list[i - 1], x) < 0);
        FUZZ_EXPECT(records_find(records, records_key(records, x), x->key_size) == x);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static uint8_t file[MOST];
    struct fuzz_input in = { bytes, size };
    uint64_t seal = fuzz_take(&in, 1) & 1;
    if (in.left > MOST) {
        return -1;
    }
    size_t n = in.left;
    memcpy(file, in.at, n);
    if (seal != 0 && n >= SNAPSHOT_TRAILER_BYTES) {
        uint64_t sum = XXH3_64bits(file, n - SNAPSHOT_TRAILER_BYTES);
        memcpy(file + n - 16, &sum, 8);
        memcpy(file + n - 8, "TIDEDONE", 8);
    }
    struct snapshot_head head;
    struct records records;
    memset(&records, 0, sizeof(records));
    const char *why = snapshot_parse(file, n, &head, &records);
    FUZZ_EXPECT(why == NULL || records.n == 0);
    if (why == NULL) {
        FUZZ_EXPECT(head.count == records.n && memchr(head.name, 0, sizeof(head.name)) != NULL);
        check(&records);
    }
    records_free(&records);
    return 0;
}
