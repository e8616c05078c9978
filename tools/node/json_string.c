/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/node/json_string.h"

#include <stdint.h>
#include <string.h>

#include "tools/lib/json_out.h"
#include "tools/lib/utf8.h"

const char *json_fault_text(enum json_fault fault) {
    switch (fault) {
    case JSON_OK:
        return "nothing";
    case JSON_SYNTAX:
        return "something else was expected here";
    case JSON_END:
        return "it ends too early";
    case JSON_UTF8:
        return "a string is not UTF-8";
    case JSON_CONTROL:
        return "a control character in a string (write it as \\u00XX)";
    case JSON_ESCAPE:
        return "an unknown escape in a string";
    case JSON_SURROGATE:
        return "half a surrogate pair in a string";
    case JSON_NUMBER:
        return "not a number by the rules of JSON";
    case JSON_DEPTH:
        return "nested deeper than 64";
    case JSON_DUPLICATE:
        return "a name stands twice in one object";
    }
    return "?";
}

/* Four hex digits at text, or -1. */
static int32_t json_read_hex4(const char *text, size_t size) {
    int32_t value = 0;
    if (size < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        int digit = c >= '0' && c <= '9'                     ? c - '0'
                    : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                             : -1;
        if (digit < 0) {
            return -1;
        }
        value = value * 16 + digit;
    }
    return value;
}

/* The escape at text, which starts behind the backslash: its length, and its character in *out; 0 and a fault
 * otherwise. */
static size_t json_read_escape(const char *text, size_t size, uint32_t *out, enum json_fault *fault) {
    static const char FROM[] = "\"\\/bfnrt", TO[] = "\"\\/\b\f\n\r\t";
    *fault = JSON_ESCAPE;
    if (size == 0) {
        return 0;
    }
    const char *known = text[0] ? strchr(FROM, text[0]) : NULL;
    if (known) {
        *out = (unsigned char)TO[known - FROM];
        return 1;
    }
    int32_t unit = text[0] == 'u' ? json_read_hex4(text + 1, size - 1) : -1;
    if (unit < 0) {
        return 0;
    }
    *out = (uint32_t)unit;
    if (unit < 0xd800 || unit > 0xdfff) {
        return 5;
    }
    *fault = JSON_SURROGATE;
    if (unit > 0xdbff || size < 11 || text[5] != '\\' || text[6] != 'u') {
        return 0;
    }
    int32_t low = json_read_hex4(text + 7, size - 7);
    if (low < 0xdc00 || low > 0xdfff) {
        return 0;
    }
    *out = 0x10000 + (((uint32_t)unit - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    return 11;
}

static void json_note_fault(enum json_fault *fault, size_t *fault_at, enum json_fault what, size_t at) {
    if (*fault == JSON_OK) {
        *fault = what;
        *fault_at = at;
    }
}

size_t json_string_scan(const char *text, size_t size, enum json_fault *fault, size_t *fault_at) {
    size_t at = 0;
    while (at < size && text[at] != '"') {
        unsigned char c = (unsigned char)text[at];
        size_t step = 1;
        if (c == '\\') {
            uint32_t ignored;
            enum json_fault what;
            size_t len = json_read_escape(text + at + 1, size - at - 1, &ignored, &what);
            if (len == 0) {
                json_note_fault(fault, fault_at, what, at);
            }
            /* A bad escape takes its second byte along: that may be a quote, which then does not end the string. */
            step = 1 + (len ? len : 1);
        } else if (c < 0x20) {
            json_note_fault(fault, fault_at, JSON_CONTROL, at);
        } else if (c >= 0x80) {
            step = utf8_length(text + at, size - at);
            if (step == 0) {
                json_note_fault(fault, fault_at, JSON_UTF8, at);
            }
            step += step == 0;
        }
        at += step;
    }
    return at < size ? at : size;
}

static size_t json_encode_utf8(uint32_t c, char out[4]) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6) {
        out[i] = (char)(0x80 | (c & 0x3f));
    }
    out[0] = (char)((len == 2 ? 0xc0 : len == 3 ? 0xe0 : 0xf0) | c);
    return len;
}

/* One character of a valid string, or a run of one byte of it, into out; moves *at. Returns its bytes. */
static size_t json_next_bytes(const char *inner, size_t size, size_t *at, char out[4]) {
    if (inner[*at] != '\\') {
        out[0] = inner[(*at)++];
        return 1;
    }
    uint32_t c;
    enum json_fault ignored;
    size_t len = json_read_escape(inner + *at + 1, size - *at - 1, &c, &ignored);
    *at += 1 + len;
    return len ? json_encode_utf8(c, out) : 0;
}

void json_string_decode(struct buf *out, const char *inner, size_t size) {
    size_t at = 0;
    if (!memchr(inner, '\\', size)) {
        buf_add(out, inner, size);
        return;
    }
    while (at < size) {
        char bytes[4];
        buf_add(out, bytes, json_next_bytes(inner, size, &at, bytes));
    }
}

void json_string_append(struct buf *out, const char *inner, size_t size) {
    buf_add_char(out, '"');
    if (!memchr(inner, '\\', size)) {
        buf_add(out, inner, size);
    } else {
        for (size_t at = 0; at < size;) {
            char bytes[4];
            size_t n = json_next_bytes(inner, size, &at, bytes);
            for (size_t i = 0; i < n; i++) {
                json_quote_byte(out, bytes[i]);
            }
        }
    }
    buf_add_char(out, '"');
}

/* A valid string, byte by byte of what it stands for. */
struct byte_stream {
    const char *inner;
    size_t size, at;
    char bytes[4];
    size_t n, used;
};

/* The next byte, or -1 at the end. */
static int json_stream_next(struct byte_stream *s) {
    while (s->used == s->n) {
        if (s->at >= s->size) {
            return -1;
        }
        s->n = json_next_bytes(s->inner, s->size, &s->at, s->bytes);
        s->used = 0;
    }
    return (unsigned char)s->bytes[s->used++];
}

int json_string_compare(const char *a, size_t a_size, const char *b, size_t b_size) {
    if (!memchr(a, '\\', a_size) && !memchr(b, '\\', b_size)) {
        int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
        return order ? order : (a_size > b_size) - (a_size < b_size);
    }
    struct byte_stream x = { .inner = a, .size = a_size }, y = { .inner = b, .size = b_size };
    for (;;) {
        int p = json_stream_next(&x), q = json_stream_next(&y);
        if (p != q) {
            return p < q ? -1 : 1;
        }
        if (p < 0) {
            return 0;
        }
    }
}
