/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void fuzz_wrong(const char *what, const char *file, int line) {
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    abort();
}

void fuzz_read(const void *bytes, size_t size) {
    static volatile uint8_t sum;
    uint8_t all = 0;
    for (size_t i = 0; i < size; i++) {
        all ^= ((const uint8_t *)bytes)[i];
    }
    sum = sum ^ all;
}

int fuzz_see(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    (void)ctx, (void)version;
    fuzz_read(key, key_len);
    fuzz_read(value, value_size);
    return 0;
}
