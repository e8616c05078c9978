/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/hdrdecode.h"

#include <errno.h>
#include <math.h>
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

static uint64_t get_be(const uint8_t *at, size_t bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        value = value << 8 | at[i];
    }
    return value;
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
    if ((get_be(header, 4) & ~COOKIE_WIDTH_MASK) != COOKIE_V2 || get_be(header + 8, 4) != 0 || ratio != 1) {
        return fail(EINVAL);
    }
    if (size_bytes == 0 || size_bytes > HDRLOG_BYTES_MAX || hdr_shape(lowest, highest, digits, shape) != 0 ||
        *payload > (size_t)shape->counts_len * COUNT_BYTES_MAX) {
        return fail(EINVAL);
    }
    return 0;
}

static int decode_counts(struct hdr *h, const uint8_t *at, size_t length) {
    int32_t index = 0;
    for (size_t used; length > 0; at += used, length -= used) {
        int64_t count;
        used = get_count(at, length, &count);
        int32_t left = h->counts_len - index;
        if (!used || left == 0 || count < -(int64_t)left || (count > 0 && count > INT64_MAX - hdr_total(h))) {
            return fail(EINVAL);
        }
        if (count >= 0) {
            (void)hdr_add_at_index(h, index++, count);
        } else {
            index += (int32_t)-count;
        }
    }
    return 0;
}

static int decode_plain(const uint8_t *bytes, size_t length, struct hdr **out) {
    struct hdr_shape shape;
    size_t payload;
    if (length < HEADER_BYTES || decode_header(bytes, &shape, &payload) != 0 || payload != length - HEADER_BYTES) {
        return fail(EINVAL);
    }
    struct hdr *h = hdr_new(shape.lowest, shape.highest, shape.digits);
    if (!h) {
        return fail(ENOMEM);
    }
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
    while (z->avail_out > 0) {
        if (inflate(z, Z_NO_FLUSH) != Z_OK) {
            break;
        }
    }
    return z->avail_out == 0 ? 0 : fail(EINVAL);
}

/* The header is inflated first: it bounds the rest, so that a small bomb inflates to no more than the shape can hold.
 * */
static int inflate_all(z_stream *z, uint8_t **bytes, size_t *length) {
    uint8_t header[HEADER_BYTES];
    struct hdr_shape shape;
    size_t payload;
    if (inflate_some(z, header, sizeof(header)) != 0 || decode_header(header, &shape, &payload) != 0) {
        return -1;
    }
    uint8_t *plain = malloc(HEADER_BYTES + payload);
    if (!plain) {
        return fail(ENOMEM);
    }
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
    if (length < COMPRESSED_HEADER_BYTES) {
        return fail(EINVAL);
    }
    if ((get_be(bytes, 4) & ~COOKIE_WIDTH_MASK) != COOKIE_V2_COMPRESSED) {
        return decode_plain(bytes, length, out);
    }
    if (get_be(bytes + 4, 4) != length - COMPRESSED_HEADER_BYTES) {
        return fail(EINVAL);
    }
    z_stream z = { .next_in = (Bytef *)(uintptr_t)(bytes + COMPRESSED_HEADER_BYTES),
                   .avail_in = (uInt)(length - COMPRESSED_HEADER_BYTES) };
    if (inflateInit(&z) != Z_OK) {
        return fail(ENOMEM);
    }
    uint8_t *plain;
    size_t plain_length;
    int rc = inflate_all(&z, &plain, &plain_length);
    (void)inflateEnd(&z);
    if (rc != 0) {
        return -1;
    }
    rc = decode_plain(plain, plain_length, out);
    int code = errno;
    free(plain);
    errno = code;
    return rc;
}

static const char base64_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int base64_value(char letter) {
    const char *at = letter ? strchr(base64_letters, letter) : NULL;
    return at ? (int)(at - base64_letters) : -1;
}

int hdrlog_base64_decode(const char *text, size_t length, uint8_t **bytes, size_t *out_length) {
    if (length % 4 != 0) {
        return fail(EINVAL);
    }
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=') {
        padding++;
    }
    uint8_t *out = malloc(length / 4 * 3 + 1);
    if (!out) {
        return fail(ENOMEM);
    }
    uint32_t word = 0;
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        int value = i < length - padding ? base64_value(text[i]) : 0;
        if (value < 0) {
            free(out);
            return fail(EINVAL);
        }
        word = word << 6 | (uint32_t)value;
        if (i % 4 == 3) {
            for (int shift = 16; shift >= 0; shift -= 8) {
                out[n++] = (uint8_t)(word >> shift);
            }
        }
    }
    *bytes = out;
    *out_length = n - padding;
    return 0;
}

/* Takes a number and the comma behind it. */
static int take_number(char **at, double *value) {
    char *end;
    *value = strtod(*at, &end);
    if (end == *at || *end != ',' || !isfinite(*value)) {
        return fail(EINVAL);
    }
    *at = end + 1;
    return 0;
}

static int parse_line(char *at, struct hdrlog_line *line) {
    struct hdrlog_line got = { .hdr = NULL };
    if (strncmp(at, "Tag=", 4) == 0) {
        at += 4;
        size_t length = strcspn(at, ", ");
        if (length == 0 || length >= sizeof(got.tag) || at[length] != ',') {
            return fail(EINVAL);
        }
        memcpy(got.tag, at, length);
        at += length + 1;
    }
    if (take_number(&at, &got.start_s) != 0 || take_number(&at, &got.length_s) != 0 ||
        take_number(&at, &got.max) != 0) {
        return -1;
    }
    uint8_t *bytes;
    size_t length;
    if (hdrlog_base64_decode(at, strlen(at), &bytes, &length) != 0) {
        return -1;
    }
    int rc = hdrlog_decode(bytes, length, &got.hdr);
    int code = errno;
    free(bytes);
    errno = code;
    if (rc == 0) {
        *line = got;
    }
    return rc;
}

int hdrlog_next(FILE *in, struct hdrlog_line *line) {
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    int rc = 0;
    while (rc == 0 && (length = getline(&text, &room, in)) >= 0) {
        while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r')) {
            text[--length] = 0;
        }
        if (length > 0 && text[0] != '#' && text[0] != '"') {
            rc = parse_line(text, line) == 0 ? 1 : -1;
        }
    }
    int code = errno;
    if (rc == 0 && !feof(in)) {
        rc = -1;
    }
    free(text);
    errno = code;
    return rc;
}
