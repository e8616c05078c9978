/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/base64.h"

#include <stdint.h>

static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *bytes, size_t size) {
    const unsigned char *b = bytes;
    char *to = buf_reserve(out, size / 3 * 4 + 4);
    for (size_t at = 0; at < size; at += 3) {
        size_t n = size - at < 3 ? size - at : 3;
        uint32_t bits = (uint32_t)b[at] << 16 | (n > 1 ? (uint32_t)b[at + 1] << 8 : 0) | (n > 2 ? b[at + 2] : 0);
        for (size_t i = 0; i < 4; i++) {
            *to++ = i <= n ? DIGITS[bits >> (18 - 6 * i) & 63] : '=';
        }
    }
    out->size += (size + 2) / 3 * 4;
}

/* The values of '+' to 'z'; 64 for what is no digit. */
static const unsigned char VALUES[] = {
    62, 64, 64, 64, 63, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, 64, 0,  1,  2,  3,  4,
    5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 64, 64,
    26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51,
};

static unsigned base64_value_of(unsigned char c) {
    unsigned at = c - 43u;
    return at < sizeof(VALUES) ? VALUES[at] : 64u;
}

int base64_decode(struct buf *out, const char *text, size_t size) {
    if (size % 4 != 0) {
        return -1;
    }
    size_t pad = size > 0 && text[size - 1] == '=' ? (text[size - 2] == '=' ? 2 : 1) : 0;
    const unsigned char *from = (const unsigned char *)text;
    char *to = buf_reserve(out, size / 4 * 3 + 1);
    unsigned bad = 0;
    for (size_t at = 0; at < size; at += 4) {
        size_t digits = at + 4 == size ? 4 - pad : 4;
        uint32_t bits = 0;
        for (size_t i = 0; i < 4; i++) {
            unsigned v = i < digits ? base64_value_of(from[at + i]) : 0;
            bad |= v;
            bits = bits << 6 | (v & 63);
        }
        *to++ = (char)(bits >> 16);
        *to++ = (char)(bits >> 8);
        *to++ = (char)bits;
    }
    if (bad & 64) {
        return -1;
    }
    out->size += size / 4 * 3 - pad;
    return 0;
}
