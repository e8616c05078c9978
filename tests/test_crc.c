/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/crc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 3720, section B.4, and the check value of the catalogue of CRCs. */
static void crc__known_vectors__match(void **state) {
    (void)state;
    uint8_t bytes[48];
    uint32_t (*both[2])(uint32_t, const void *, size_t) = { crc32c, crc32c_portable };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(both[i](0, "123456789", 9), 0xe3069283u);
        assert_int_equal(both[i](0, "", 0), 0);
        memset(bytes, 0, sizeof(bytes));
        assert_int_equal(both[i](0, bytes, 32), 0x8a9136aau);
        memset(bytes, 0xff, sizeof(bytes));
        assert_int_equal(both[i](0, bytes, 32), 0x62a8ab43u);
        for (uint8_t b = 0; b < 32; b++) {
            bytes[b] = b;
        }
        assert_int_equal(both[i](0, bytes, 32), 0x46dd794eu);
        for (uint8_t b = 0; b < 32; b++) {
            bytes[b] = (uint8_t)(31 - b);
        }
        assert_int_equal(both[i](0, bytes, 32), 0x113fdb5cu);
    }
}

/* Bit by bit, from the definition: both fast forms against a third one that shares nothing with them. */
static uint32_t crc_by_bits(uint32_t crc, const uint8_t *at, size_t bytes) {
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= at[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ ((crc & 1) ? 0x82f63b78u : 0);
        }
    }
    return ~crc;
}

static void fill(uint8_t *bytes, size_t count) {
    uint64_t x = 0x1234567887654321u;
    for (size_t i = 0; i < count; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (uint8_t)x;
    }
}

/* The buffer is of exactly the size, so that AddressSanitizer sees a read beyond it. */
static void crc__all_lengths_and_alignments__hardware_and_portable_agree(void **state) {
    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        for (size_t bytes = 0; bytes <= 300; bytes++) {
            uint8_t *buffer = malloc(shift + bytes + (shift + bytes == 0));
            assert_non_null(buffer);
            fill(buffer, shift + bytes);
            uint32_t start = (uint32_t)(bytes * 2654435761u);
            uint32_t want = crc_by_bits(start, buffer + shift, bytes);
            assert_int_equal(crc32c(start, buffer + shift, bytes), want);
            assert_int_equal(crc32c_portable(start, buffer + shift, bytes), want);
            free(buffer);
        }
    }
}

static void crc__blocks_around_the_longest_chain__agree(void **state) {
    (void)state;
    const size_t most = 3 * 3072 + 100;
    uint8_t *buffer = malloc(most);
    assert_non_null(buffer);
    fill(buffer, most);
    for (size_t chains = 1; chains <= 3; chains++) {
        for (size_t bytes = chains * 3072 - 80; bytes <= chains * 3072 + 80; bytes++) {
            assert_int_equal(crc32c(7, buffer, bytes), crc32c_portable(7, buffer, bytes));
        }
    }
    assert_int_equal(crc32c(7, buffer, most), crc_by_bits(7, buffer, most));
    free(buffer);
}

static void crc__continued_over_two_parts__equals_the_whole(void **state) {
    (void)state;
    uint8_t buffer[300];
    fill(buffer, sizeof(buffer));
    uint32_t whole = crc32c(0, buffer, sizeof(buffer));
    for (size_t cut = 0; cut <= sizeof(buffer); cut++) {
        assert_int_equal(crc32c(crc32c(0, buffer, cut), buffer + cut, sizeof(buffer) - cut), whole);
    }
}

static void crc_short__with_the_instruction_and_without__agree(void **state) {
    (void)state;
    uint8_t bytes[64];
    fill(bytes, sizeof(bytes));
    for (size_t count = 0; count <= sizeof(bytes); count++) {
        uint32_t want = crc_by_bits(0x12345678u, bytes, count);
        assert_int_equal(crc32c_short(0x12345678u, bytes, count), want);
#if defined(__x86_64__)
        bool had = crc_hardware;
        crc_hardware = false;
        uint32_t portable = crc32c_short(0x12345678u, bytes, count);
        crc_hardware = had;
        assert_int_equal(portable, want);
#endif
    }
}

static void crc__one_bit_flipped__differs(void **state) {
    (void)state;
    uint8_t buffer[160];
    fill(buffer, sizeof(buffer));
    uint32_t whole = crc32c(0, buffer, sizeof(buffer));
    for (size_t bit = 0; bit < 8 * sizeof(buffer); bit++) {
        buffer[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(crc32c(0, buffer, sizeof(buffer)), whole);
        buffer[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc__known_vectors__match),
        cmocka_unit_test(crc__all_lengths_and_alignments__hardware_and_portable_agree),
        cmocka_unit_test(crc__blocks_around_the_longest_chain__agree),
        cmocka_unit_test(crc__continued_over_two_parts__equals_the_whole),
        cmocka_unit_test(crc_short__with_the_instruction_and_without__agree),
        cmocka_unit_test(crc__one_bit_flipped__differs),
    };
    return cmocka_run_group_tests_name("crc", tests, NULL, NULL);
}
