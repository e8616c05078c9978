/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the fuzzers share. Each NAME.c has one function that takes an input of any bytes. `make fuzz` links it with libFuzzer; everywhere
 * else replay.c gives it the files of tests/fuzz/corpus/NAME/ and a fixed number of changes of them.
 */
#ifndef TIDE_FUZZ_FUZZ_H
#define TIDE_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* 0: the input may join the corpus; -1: not. It ends the process (abort) where something is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* libFuzzer calls it, where there is one, before it has threads. A fuzzer that forks does so here: a thread may hold a lock of the
 * sanitizer's allocator at the moment of the fork, and the child would wait for it for ever. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* ---- an input as numbers: taken from the front; 0 once there is nothing left ---- */

struct fuzz_input {
    const uint8_t *at;
    size_t left;
};

static inline uint64_t fuzz_take(struct fuzz_input *in, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes && in->left > 0; i++, in->left--) {
        value |= (uint64_t)*in->at++ << 8 * i;
    }
    return value;
}

static inline uint64_t fuzz_below(struct fuzz_input *in, uint64_t n) {
    return fuzz_take(in, n > 256 ? 4 : 1) % n;
}

/* Read all of it, so that a sanitizer looks at every byte. */
void fuzz_read(const void *bytes, size_t size);

/* For tide_section_scan(): read all of it. */
int fuzz_see(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version);

/* Print what was expected, and abort. */
#define FUZZ_EXPECT(ok)                                                                                                \
    do {                                                                                                               \
        if (!(ok)) {                                                                                                   \
            fuzz_wrong(#ok, __FILE__, __LINE__);                                                                       \
        }                                                                                                              \
    } while (0)
_Noreturn void fuzz_wrong(const char *what, const char *file, int line);

#endif
