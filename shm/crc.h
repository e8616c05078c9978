/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C (Castagnoli polynomial 0x1edc6f41, reflected, RFC 3720 section 12.1), because x86 and aarch64 have
 * instructions for it. It finds accidents (torn copies, stray writes); it is no defence against a member that forges
 * frames.
 */
#ifndef SHM_CRC_H
#define SHM_CRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/bytes.h"

/*
 * Continue a checksum over `bytes` bytes at `data`, which may have any alignment. Start with crc 0.
 * crc32c(0, "123456789", 9) == 0xe3069283 and crc32c(crc32c(0, a), b) == crc32c(0, a followed by b).
 * The bytes may be racing with a writer; the result is then good for nothing, but no harm is done.
 * Any thread, wait-free. Not before this file's constructor has run (priority 101).
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

#if defined(__x86_64__)

/* Has the CPU the instruction? Written by this file's constructor alone: a plain flag that is always predicted costs less than a
 * call through a pointer. */
extern bool crc_hardware;

/* crc32c() over `count` words of 8 bytes, at most CRC_WORDS_MAX, as they lie in memory. Inline, for a few words that are in
 * registers: the call and the way through memory cost more than they do. */
#define CRC_WORDS_MAX 8u
static inline uint32_t crc32c_words(uint32_t crc, const uint64_t *words, size_t count) {
    if (!__builtin_expect(crc_hardware, 1)) {
        uint64_t copy[CRC_WORDS_MAX]; /* or the caller's words would have to be in memory whether it comes to this or not */
        for (size_t i = 0; i < count; i++) {
            copy[i] = words[i];
        }
        return crc32c(crc, copy, 8 * count);
    }
    uint64_t c = (uint32_t)~crc;
    BYTES_UNROLL
    for (size_t i = 0; i < count; i++) {
        __asm__("crc32q %1, %0" : "+r"(c) : "r"(words[i]));
    }
    return ~(uint32_t)c;
}

#else

static inline uint32_t crc32c_words(uint32_t crc, const uint64_t *words, size_t count) {
    return crc32c(crc, words, 8 * count);
}

#endif

/* The same without special instructions, for CPUs that have none, and for tests that compare the two. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif
