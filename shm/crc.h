/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C (Castagnoli polynomial 0x1edc6f41, reflected, RFC 3720 section 12.1), because x86 and aarch64 have
 * instructions for it. It finds accidents (torn copies, stray writes); it is no defence against a member that forges
 * frames.
 */
#ifndef TIDE_SHM_CRC_H
#define TIDE_SHM_CRC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Continue a checksum over `bytes` bytes at `data`, which may have any alignment. Start with crc 0.
 * crc32c(0, "123456789", 9) == 0xe3069283 and crc32c(crc32c(0, a), b) == crc32c(0, a followed by b).
 * The bytes may be racing with a writer; the result is then good for nothing, but no harm is done.
 * Any thread, wait-free. Not before this file's constructor has run (priority 101).
 */
uint32_t crc32c(uint32_t crc, const void *data, size_t bytes);

/*
 * The same, inline where the CPU has the instruction: for some dozens of bytes, where a call would be a good part of
 * the cost. The instruction is written as assembly. Compilers know it only in functions that are built for CPUs that
 * have it, and they do not inline those into others.
 */
#if defined(__x86_64__)
extern bool crc_hardware; /* written by the constructor alone */
static inline uint64_t crc32c_word(uint64_t crc, uint64_t word) {
    __asm__("crc32q %1, %0" : "+r"(crc) : "rm"(word));
    return crc;
}
static inline uint64_t crc32c_at(uint64_t crc, const uint8_t *word) {
    __asm__("crc32q %1, %0" : "+r"(crc) : "m"(*(const uint8_t(*)[8])word));
    return crc;
}
static inline uint32_t crc32c_short(uint32_t crc, const void *data, size_t bytes) {
    if (__builtin_expect(!crc_hardware || (bytes & 7) != 0, 0)) {
        return crc32c(crc, data, bytes);
    }
    uint64_t c = (uint32_t)~crc;
    const uint8_t *at = data;
    for (; bytes >= 64; bytes -= 64, at += 64) {
        c = crc32c_at(crc32c_at(crc32c_at(crc32c_at(c, at), at + 8), at + 16), at + 24);
        c = crc32c_at(crc32c_at(crc32c_at(crc32c_at(c, at + 32), at + 40), at + 48), at + 56);
    }
    if (bytes == 0) {
        return ~(uint32_t)c;
    }
    if (bytes & 32) {
        c = crc32c_at(crc32c_at(crc32c_at(crc32c_at(c, at), at + 8), at + 16), at + 24);
        at += 32;
    }
    if (bytes & 16) {
        c = crc32c_at(crc32c_at(c, at), at + 8);
        at += 16;
    }
    if (bytes & 8) {
        c = crc32c_at(c, at);
    }
    return ~(uint32_t)c;
}
#else
static inline uint32_t crc32c_short(uint32_t crc, const void *data, size_t bytes) {
    return crc32c(crc, data, bytes);
}
#endif

/* The same without special instructions, for CPUs that have none and for tests that compare the two. */
uint32_t crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif
