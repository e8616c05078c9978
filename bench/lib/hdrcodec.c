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
#define COOKIE_WIDTH_MASK UINT32_C(0xf0)

#define HEADER_BYTES 40u           /* of the V2 encoding */
#define COMPRESSED_HEADER_BYTES 8u /* cookie, length */
#define COUNT_BYTES_MAX 9u

static int fail(int code) {
    errno = code;
    return -1;
}

/* ---- the V2 encoding
 * ----------------------------------------------------------------------------------------------- */

static void put_be(uint8_t *at, uint64_t value, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static uint64_t get_be(const uint8_t *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
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

/* Returns the bytes read; 0: they end too early. */
static size_t get_count(const uint8_t *at, size_t room, int64_t *value) {
    uint64_t bits = 0;
    for (size_t n = 0; n < room && n < COUNT_BYTES_MAX; n++) {
        int last = n == COUNT_BYTES_MAX - 1;
        bits |= (uint64_t)(last ? at[n] : at[n] & 0x7f) << (7 * n);
        if (last || !(at[n] & 0x80)) {
            *value = (int64_t)((bits >> 1) ^ (0 - (bits & 1)));
            return n + 1;
        }
    }
    return 0;
}

static int64_t count_of(const struct hdr *h, int32_t index) {
    return atomic_load_explicit(&h->counts[index], memory_order_relaxed); /* MO(stats): private, nobody else writes */
}

/* The counts up to the last that is not 0 (at least one), runs of zeros as their negative length. */
static size_t put_counts(uint8_t *at, const struct hdr *h) {
    int32_t end = h->counts_len;
    while (end > 1 && count_of(h, end - 1) == 0)
        end--;
    size_t n = 0;
    for (int32_t i = 0; i < end;) {
        int64_t count = count_of(h, i++);
        int64_t zeros = count == 0;
        while (zeros && i < end && count_of(h, i) == 0) {
            zeros++;
            i++;
        }
        n += put_count(at + n, zeros > 1 ? -zeros : count);
    }
    return n;
}

int hdrlog_encode(const struct hdr *h, uint8_t **bytes, size_t *length) {
    uint8_t *out = malloc(HEADER_BYTES + (size_t)h->counts_len * COUNT_BYTES_MAX);
    if (!out)
        return fail(ENOMEM);
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
    if (hdrlog_encode(h, &plain, &plain_length) != 0)
        return -1;
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

/* What the 40 bytes of header tell. Allocates nothing: a few bytes must not cost much before they are found good. */
static int decode_header(const uint8_t *header, struct hdr_shape *shape, size_t *payload) {
    double ratio;
    uint64_t ratio_bits = get_be(header + 32, 8);
    memcpy(&ratio, &ratio_bits, sizeof(ratio));
    int64_t lowest = (int64_t)get_be(header + 16, 8);
    int64_t highest = (int64_t)get_be(header + 24, 8);
    int32_t digits = (int32_t)(uint32_t)get_be(header + 12, 4);
    size_t size_bytes = hdr_size_bytes(lowest, highest, digits);
    *payload = get_be(header + 4, 4);
    if ((get_be(header, 4) & ~COOKIE_WIDTH_MASK) != COOKIE_V2 || get_be(header + 8, 4) != 0 || ratio != 1)
        return fail(EINVAL);
    if (size_bytes == 0 || size_bytes > HDRLOG_BYTES_MAX || hdr_shape(lowest, highest, digits, shape) != 0 ||
        *payload > (size_t)shape->counts_len * COUNT_BYTES_MAX)
        return fail(EINVAL);
    return 0;
}

static int decode_counts(struct hdr *h, const uint8_t *at, size_t length) {
    int32_t index = 0;
    for (size_t used; length > 0; at += used, length -= used) {
        int64_t count;
        used = get_count(at, length, &count);
        int32_t left = h->counts_len - index;
        if (!used || left == 0 || count < -(int64_t)left || (count > 0 && count > INT64_MAX - hdr_total(h)))
            return fail(EINVAL);
        if (count >= 0)
            (void)hdr_add_at_index(h, index++, count);
        else
            index += (int32_t)-count;
    }
    return 0;
}

static int decode_plain(const uint8_t *bytes, size_t length, struct hdr **out) {
    struct hdr_shape shape;
    size_t payload;
    if (length < HEADER_BYTES || decode_header(bytes, &shape, &payload) != 0 || payload != length - HEADER_BYTES)
        return fail(EINVAL);
    struct hdr *h = hdr_new(shape.lowest, shape.highest, shape.digits);
    if (!h)
        return fail(ENOMEM);
    if (decode_counts(h, bytes + HEADER_BYTES, payload) != 0) {
        hdr_free(h);
        return -1;
    }
    *out = h;
    return 0;
}

/* Inflates `want` bytes; -1 where the stream has fewer. */
static int inflate_some(z_stream *z, uint8_t *to, size_t want) {
    z->next_out = to;
    z->avail_out = (uInt)want;
    while (z->avail_out > 0)
        if (inflate(z, Z_NO_FLUSH) != Z_OK)
            break;
    return z->avail_out == 0 ? 0 : fail(EINVAL);
}

/* The header is inflated first: it bounds the rest, so that a small bomb inflates to no more than the shape can hold.
 * */
static int inflate_all(z_stream *z, uint8_t **bytes, size_t *length) {
    uint8_t header[HEADER_BYTES];
    struct hdr_shape shape;
    size_t payload;
    if (inflate_some(z, header, sizeof(header)) != 0 || decode_header(header, &shape, &payload) != 0)
        return -1;
    uint8_t *plain = malloc(HEADER_BYTES + payload);
    if (!plain)
        return fail(ENOMEM);
    memcpy(plain, header, sizeof(header));
    uint8_t beyond;
    if (inflate_some(z, plain + HEADER_BYTES, payload) != 0) {
        free(plain);
        return -1;
    }
    z->next_out = &beyond;
    z->avail_out = 1;
    if (inflate(z, Z_FINISH) != Z_STREAM_END || z->avail_out != 1 || z->avail_in != 0) {
        free(plain);
        return fail(EINVAL);
    }
    *bytes = plain;
    *length = HEADER_BYTES + payload;
    return 0;
}

int hdrlog_decode(const uint8_t *bytes, size_t length, struct hdr **out) {
    if (length < COMPRESSED_HEADER_BYTES)
        return fail(EINVAL);
    if ((get_be(bytes, 4) & ~COOKIE_WIDTH_MASK) != COOKIE_V2_COMPRESSED)
        return decode_plain(bytes, length, out);
    if (get_be(bytes + 4, 4) != length - COMPRESSED_HEADER_BYTES)
        return fail(EINVAL);
    z_stream z = { .next_in = (Bytef *)(uintptr_t)(bytes + COMPRESSED_HEADER_BYTES),
                   .avail_in = (uInt)(length - COMPRESSED_HEADER_BYTES) };
    if (inflateInit(&z) != Z_OK)
        return fail(ENOMEM);
    uint8_t *plain;
    size_t plain_length;
    int rc = inflate_all(&z, &plain, &plain_length);
    (void)inflateEnd(&z);
    if (rc != 0)
        return -1;
    rc = decode_plain(plain, plain_length, out);
    int code = errno;
    free(plain);
    errno = code;
    return rc;
}

/* ---- base64
 * -------------------------------------------------------------------------------------------------------- */

static const char base64_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int hdrlog_base64_encode(const uint8_t *bytes, size_t length, char **text) {
    char *out = malloc((length + 2) / 3 * 4 + 1);
    if (!out)
        return fail(ENOMEM);
    size_t n = 0;
    for (size_t i = 0; i < length; i += 3) {
        size_t have = length - i < 3 ? length - i : 3;
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= have > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= have > 2 ? bytes[i + 2] : 0;
        out[n++] = base64_letters[word >> 18];
        out[n++] = base64_letters[word >> 12 & 63];
        out[n++] = have > 1 ? base64_letters[word >> 6 & 63] : '=';
        out[n++] = have > 2 ? base64_letters[word & 63] : '=';
    }
    out[n] = 0;
    *text = out;
    return 0;
}

static int base64_value(char letter) {
    const char *at = letter ? strchr(base64_letters, letter) : NULL;
    return at ? (int)(at - base64_letters) : -1;
}

int hdrlog_base64_decode(const char *text, size_t length, uint8_t **bytes, size_t *out_length) {
    if (length % 4 != 0)
        return fail(EINVAL);
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    uint8_t *out = malloc(length / 4 * 3 + 1);
    if (!out)
        return fail(ENOMEM);
    uint32_t word = 0;
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        int value = i < length - padding ? base64_value(text[i]) : 0;
        if (value < 0) {
            free(out);
            return fail(EINVAL);
        }
        word = word << 6 | (uint32_t)value;
        if (i % 4 == 3)
            for (int shift = 16; shift >= 0; shift -= 8)
                out[n++] = (uint8_t)(word >> shift);
    }
    *bytes = out;
    *out_length = n - padding;
    return 0;
}
