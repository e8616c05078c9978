/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * CRC-32C: three interleaved chains of the CRC instruction, joined by carry-less multiplication, or slicing by eight
 * tables.
 *
 * Polynomials here are bit-reflected: bit 31 of a 32-bit value is x^0. The CRC instruction on a register C and a word
 * W gives (C x^64 + W x^32) mod P. It takes three cycles and one can start in each, so that three chains cost as much
 * as one. Two chains that ran over the parts before must then be moved over the words that follow them: C x^(64k) mod
 * P. Idea: V. Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction", Intel, 2011.
 * Tables: M. Kounavis and F. Berry, "A Systematic Approach to Building High Performance Software-based CRC
 * Generators", 2005.
 */
#include "shm/crc.h"

#include <string.h>

#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#define CRC_TARGET __attribute__((target("sse4.2,pclmul")))
#elif defined(__aarch64__) && defined(__linux__)
#include <arm_acle.h>
#include <sys/auxv.h>
#if defined(__clang__)
#define CRC_TARGET __attribute__((target("crc")))
#else
#define CRC_TARGET __attribute__((target("+crc")))
#endif
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

#define CRC_POLYNOMIAL 0x82f63b78u /* reflected */

/* crc_tables[k][b]: the register b moved over k + 1 zero bytes. */
static uint32_t crc_tables[8][256];

static uint64_t crc_load(const uint8_t *from) {
    uint64_t word;
    memcpy(&word, from, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static void crc_fill_tables(void) {
    for (uint32_t b = 0; b < 256; b++) {
        uint32_t crc = b;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) ? CRC_POLYNOMIAL : 0);
        }
        crc_tables[0][b] = crc;
    }
    for (int k = 1; k < 8; k++) {
        for (uint32_t b = 0; b < 256; b++) {
            uint32_t crc = crc_tables[k - 1][b];
            crc_tables[k][b] = (crc >> 8) ^ crc_tables[0][crc & 0xff];
        }
    }
}

uint32_t crc32c_portable(uint32_t crc, const void *data, size_t bytes) {
    const uint8_t *at = data;
    crc = ~crc;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        uint64_t w = crc_load(at) ^ crc;
        crc = crc_tables[7][w & 0xff] ^ crc_tables[6][(w >> 8) & 0xff] ^ crc_tables[5][(w >> 16) & 0xff] ^
              crc_tables[4][(w >> 24) & 0xff] ^ crc_tables[3][(w >> 32) & 0xff] ^ crc_tables[2][(w >> 40) & 0xff] ^
              crc_tables[1][(w >> 48) & 0xff] ^ crc_tables[0][w >> 56];
    }
    for (; bytes > 0; bytes--, at++) {
        crc = (crc >> 8) ^ crc_tables[0][(crc ^ *at) & 0xff];
    }
    return ~crc;
}

#ifdef CRC_TARGET

/* Written by the constructor alone: a plain flag that is always predicted costs less than a call through a pointer. */
bool crc_hardware;

#if defined(__x86_64__)

#define CRC_CHAIN_MAX 128   /* words in a chain: the joins cost nothing against that, and the table stays at 1 KiB */
#define CRC_CHAINED_MIN 192 /* below, one chain is done before three are joined */

/* crc_moves[k]: x^(64k - 33) mod P. The product of two reflected values comes out one bit low (x^1), and the
 * instruction that takes it in as a word multiplies by x^32: together the 33. */
static uint32_t crc_moves[2 * CRC_CHAIN_MAX + 1];

static CRC_TARGET bool crc_prepare_hardware(void) {
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("pclmul")) {
        return false;
    }
    crc_moves[1] = 1; /* x^31 */
    for (int k = 1; k < 2 * CRC_CHAIN_MAX; k++) {
        crc_moves[k + 1] = (uint32_t)_mm_crc32_u64(crc_moves[k], 0);
    }
    return true;
}

static inline CRC_TARGET uint64_t crc_product(uint64_t a, uint32_t b) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)a), _mm_cvtsi64_si128((long long)b), 0);
    return (uint64_t)_mm_cvtsi128_si64(product);
}

/* Three chains over 3 * words words. The last word of the third takes the two other chains' results in, so that
 * joining needs no instruction of its own for the reduction. */
static inline CRC_TARGET uint64_t crc_chains(uint64_t a, const uint8_t *at, size_t words) {
    const uint8_t *second = at + 8 * words;
    const uint8_t *third = second + 8 * words;
    uint64_t b = 0;
    uint64_t c = 0;
    size_t last = 8 * (words - 1);
    for (size_t i = 0; i < last; i += 8) {
        a = _mm_crc32_u64(a, crc_load(at + i));
        b = _mm_crc32_u64(b, crc_load(second + i));
        c = _mm_crc32_u64(c, crc_load(third + i));
    }
    a = _mm_crc32_u64(a, crc_load(at + last));
    b = _mm_crc32_u64(b, crc_load(second + last));
    uint64_t joined = crc_product(a, crc_moves[2 * words]) ^ crc_product(b, crc_moves[words]);
    return _mm_crc32_u64(c, crc_load(third + last) ^ joined);
}

static CRC_TARGET uint32_t crc_by_hardware(uint32_t start, const uint8_t *at, size_t bytes) {
    uint64_t crc = (uint32_t)~start;
    while (bytes >= CRC_CHAINED_MIN) {
        size_t words = bytes / 24 < CRC_CHAIN_MAX ? bytes / 24 : CRC_CHAIN_MAX;
        crc = crc_chains(crc, at, words);
        at += 24 * words;
        bytes -= 24 * words;
    }
    for (; bytes >= 32; bytes -= 32, at += 32) {
        crc = _mm_crc32_u64(crc, crc_load(at));
        crc = _mm_crc32_u64(crc, crc_load(at + 8));
        crc = _mm_crc32_u64(crc, crc_load(at + 16));
        crc = _mm_crc32_u64(crc, crc_load(at + 24));
    }
    if (bytes & 16) {
        crc = _mm_crc32_u64(crc, crc_load(at));
        crc = _mm_crc32_u64(crc, crc_load(at + 8));
        at += 16;
    }
    if (bytes & 8) {
        crc = _mm_crc32_u64(crc, crc_load(at));
        at += 8;
    }
    uint32_t rest = (uint32_t)crc;
    if ((bytes & 7) == 0) {
        return ~rest;
    }
    if (bytes & 4) {
        uint32_t word;
        memcpy(&word, at, sizeof(word));
        rest = _mm_crc32_u32(rest, word);
        at += 4;
    }
    if (bytes & 2) {
        uint16_t word;
        memcpy(&word, at, sizeof(word));
        rest = _mm_crc32_u16(rest, word);
        at += 2;
    }
    if (bytes & 1) {
        rest = _mm_crc32_u8(rest, *at);
    }
    return ~rest;
}

#else /* aarch64 */

static bool crc_prepare_hardware(void) {
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

static CRC_TARGET uint32_t crc_by_hardware(uint32_t crc, const uint8_t *at, size_t bytes) {
    crc = ~crc;
    for (; bytes >= 8; bytes -= 8, at += 8) {
        crc = __crc32cd(crc, crc_load(at));
    }
    for (; bytes > 0; bytes--, at++) {
        crc = __crc32cb(crc, *at);
    }
    return ~crc;
}

#endif

/* Priority 101, the first that programs may use: other constructors may already want checksums. */
__attribute__((constructor(101))) static void crc_prepare(void) {
    crc_fill_tables();
    crc_hardware = crc_prepare_hardware();
}

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes) {
    if (__builtin_expect(crc_hardware, 1)) {
        return crc_by_hardware(crc, data, bytes);
    }
    return crc32c_portable(crc, data, bytes);
}

#else

__attribute__((constructor(101))) static void crc_prepare(void) {
    crc_fill_tables();
}

uint32_t crc32c(uint32_t crc, const void *data, size_t bytes) {
    return crc32c_portable(crc, data, bytes);
}

#endif
