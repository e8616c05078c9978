/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Noreturn void fuzz_wrong(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    abort();
}

/* memcpy(), since a sanitizer looks at all of its bytes at once, and libFuzzer counts no branches in it. */
void fuzz_read(const void *bytes, size_t size) {
    static uint8_t seen[4096];
    static volatile uint8_t sum;
    for (size_t at = 0; at < size; at += sizeof(seen)) {
        size_t n = size - at < sizeof(seen) ? size - at : sizeof(seen);
        memcpy(seen, (const uint8_t *)bytes + at, n);
        sum = sum ^ seen[n - 1];
    }
}

int fuzz_see(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    (void)ctx, (void)version;
    fuzz_read(key, key_len);
    fuzz_read(value, value_size);
    return 0;
}
