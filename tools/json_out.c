/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/json_out.h"

#include "tools/json_string.h"

static void add_name(struct json_out *j, const char *name) {
    if (j->comma)
        buf_add_text(&j->text, ", ");
    j->comma = 1;
    if (name) {
        json_quote(&j->text, name, strlen(name));
        buf_add_text(&j->text, ": ");
    }
}

void json_out_open(struct json_out *j, const char *name, char bracket) {
    add_name(j, name);
    buf_add_char(&j->text, bracket);
    j->comma = 0;
}

void json_out_close(struct json_out *j, char bracket) {
    buf_add_char(&j->text, bracket);
    j->comma = 1;
}

void json_out_u64(struct json_out *j, const char *name, uint64_t value) {
    add_name(j, name);
    buf_printf(&j->text, "%llu", (unsigned long long)value);
}

void json_out_i64(struct json_out *j, const char *name, int64_t value) {
    add_name(j, name);
    buf_printf(&j->text, "%lld", (long long)value);
}

void json_out_real(struct json_out *j, const char *name, double value) {
    add_name(j, name);
    buf_printf(&j->text, "%.9g", value);
}

void json_out_bool(struct json_out *j, const char *name, int value) {
    add_name(j, name);
    buf_add_text(&j->text, value ? "true" : "false");
}

void json_out_null(struct json_out *j, const char *name) {
    add_name(j, name);
    buf_add_text(&j->text, "null");
}

void json_out_text(struct json_out *j, const char *name, const char *value) {
    add_name(j, name);
    json_quote(&j->text, value, strlen(value));
}

void json_out_hex(struct json_out *j, const char *name, uint64_t value) {
    add_name(j, name);
    buf_printf(&j->text, "\"%016llx\"", (unsigned long long)value);
}

/* Well-formed UTF-8, by table 3-7 of the Unicode standard: no overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t utf8_step(const unsigned char *b, size_t size) {
    unsigned char least = 0x80, most = 0xbf;
    size_t length;
    if (b[0] < 0x80)
        return 1;
    if (b[0] >= 0xc2 && b[0] <= 0xdf)
        length = 2;
    else if (b[0] >= 0xe0 && b[0] <= 0xef)
        length = 3;
    else if (b[0] >= 0xf0 && b[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (b[0] == 0xe0)
        least = 0xa0;
    else if (b[0] == 0xed)
        most = 0x9f;
    else if (b[0] == 0xf0)
        least = 0x90;
    else if (b[0] == 0xf4)
        most = 0x8f;
    if (length > size || b[1] < least || b[1] > most)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((b[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

static int is_utf8(const unsigned char *b, size_t size) {
    for (size_t at = 0, step; at < size; at += step)
        if ((step = utf8_step(b + at, size - at)) == 0)
            return 0;
    return 1;
}

static void add_base64(struct buf *out, const unsigned char *b, size_t size) {
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    buf_reserve(out, size / 3 * 4 + 6);
    buf_add_char(out, '"');
    for (size_t at = 0; at < size; at += 3) {
        size_t n = size - at < 3 ? size - at : 3;
        uint32_t bits = (uint32_t)b[at] << 16 | (n > 1 ? (uint32_t)b[at + 1] << 8 : 0) | (n > 2 ? b[at + 2] : 0);
        for (size_t i = 0; i < 4; i++)
            buf_add_char(out, i <= n ? DIGITS[bits >> (18 - 6 * i) & 63] : '=');
    }
    buf_add_char(out, '"');
}

void json_out_bytes(struct json_out *j, const char *name, const void *bytes, size_t size, const char *encoding) {
    int text = is_utf8(bytes, size);
    add_name(j, name);
    if (text)
        json_quote(&j->text, bytes, size);
    else
        add_base64(&j->text, bytes, size);
    if (encoding) {
        json_out_text(j, encoding, text ? "utf-8" : "base64");
    } else if (!text) {
        char behind[64];
        snprintf(behind, sizeof(behind), "%s_encoding", name);
        json_out_text(j, behind, "base64");
    }
}

int json_out_print(struct json_out *j, FILE *out) {
    buf_add_char(&j->text, '\n');
    int failed = fwrite(j->text.data, 1, j->text.size, out) != j->text.size;
    json_out_free(j);
    return failed ? -1 : 0;
}

void json_out_free(struct json_out *j) {
    buf_free(&j->text);
    j->comma = 0;
}
