/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The V2 encoding of histograms, plain and compressed, and base64: see hdrlog.h. */
#include "bench/lib/hdrlog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* The low byte's upper half says how wide a count is; 1 stands for "LEB128, up to nine bytes". */
#define COOKIE_V2 UINT32_C(0x1c849303)
#define COOKIE_V2_COMPRESSED UINT32_C(0x1c849304)
#define COOKIE_WIDTH UINT32_C(0x10)

#define HEADER_BYTES 40u           /* of the V2 encoding */
#define COMPRESSED_HEADER_BYTES 8u /* cookie, length */
#define COUNT_BYTES_MAX 9u

static int fail(int code) {
    errno = code;
    return -1;
}

/* ---- the V2 encoding --------------------------------------------------------------------------------------------- */

static void put_be(uint8_t *at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    }
}

/* ZigZag LEB128 as HdrHistogram has it: the ninth byte holds eight bits. Returns the bytes written. */
static size_t put_count(uint8_t *at, int64_t value) {
    uint64_t rest = ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0);
    size_t n = 0;
    while (rest > 0x7f && n < COUNT_BYTES_MAX - 1) {
        at[n++] = (uint8_t)(rest | 0x80);
        rest >>= 7;
    }
    at[n++] = (uint8_t)rest;
    return n;
}

/* The counts up to the last that is not 0 (at least one), runs of zeros as their negative length. */
static size_t put_counts(uint8_t *at, const struct hdr *h) {
    int32_t end = h->counts_len;
    while (end > 1 && hdr_count_at_index(h, end - 1) == 0) {
        end--;
    }
    size_t n = 0;
    for (int32_t i = 0; i < end;) {
        int64_t count = hdr_count_at_index(h, i++);
        int64_t zeros = count == 0;
        while (zeros && i < end && hdr_count_at_index(h, i) == 0) {
            zeros++;
            i++;
        }
        n += put_count(at + n, zeros > 1 ? -zeros : count);
    }
    return n;
}

int hdrlog_encode(const struct hdr *h, uint8_t **bytes, size_t *length) {
    uint8_t *out = malloc(HEADER_BYTES + (size_t)h->counts_len * COUNT_BYTES_MAX);
    if (!out) {
        return fail(ENOMEM);
    }
    size_t payload = put_counts(out + HEADER_BYTES, h);
    double ratio = 1; /* of stored integers to the values that they stand for: other than 1 for histograms of doubles */
    uint64_t ratio_bits;
    memcpy(&ratio_bits, &ratio, sizeof(ratio_bits));
    put_be(out, COOKIE_V2 | COOKIE_WIDTH, 4);
    put_be(out + 4, payload, 4);
    put_be(out + 8, 0, 4); /* normalizing offset */
    put_be(out + 12, (uint32_t)h->digits, 4);
    put_be(out + 16, (uint64_t)h->lowest, 8);
    put_be(out + 24, (uint64_t)h->highest, 8);
    put_be(out + 32, ratio_bits, 8);
    *bytes = out;
    *length = HEADER_BYTES + payload;
    return 0;
}

int hdrlog_encode_compressed(const struct hdr *h, uint8_t **bytes, size_t *length) {
    uint8_t *plain;
    size_t plain_length;
    if (hdrlog_encode(h, &plain, &plain_length) != 0) {
        return -1;
    }
    uLongf room = compressBound((uLong)plain_length);
    uint8_t *out = malloc(COMPRESSED_HEADER_BYTES + room);
    int ok = out && compress2(out + COMPRESSED_HEADER_BYTES, &room, plain, (uLong)plain_length, 9) == Z_OK;
    free(plain);
    if (!ok) {
        free(out);
        return fail(ENOMEM);
    }
    put_be(out, COOKIE_V2_COMPRESSED | COOKIE_WIDTH, 4);
    put_be(out + 4, room, 4);
    *bytes = out;
    *length = COMPRESSED_HEADER_BYTES + room;
    return 0;
}

/* ---- base64 ------------------------------------------------------------------------------------------------------ */

void hdrlog_base64(char *to, const void *bytes, size_t length) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *b = bytes;
    for (size_t at = 0; at < length; at += 3) {
        size_t n = length - at < 3 ? length - at : 3;
        uint32_t bits = (uint32_t)b[at] << 16 | (n > 1 ? (uint32_t)b[at + 1] << 8 : 0) | (n > 2 ? b[at + 2] : 0u);
        for (size_t i = 0; i < 4; i++) {
            *to++ = i <= n ? letters[bits >> (18 - 6 * i) & 63] : '=';
        }
    }
    *to = '\0';
}

int hdrlog_base64_encode(const uint8_t *bytes, size_t length, char **text) {
    *text = malloc((length + 2) / 3 * 4 + 1);
    if (!*text) {
        return fail(ENOMEM);
    }
    hdrlog_base64(*text, bytes, length);
    return 0;
}
