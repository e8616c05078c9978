/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/json_out.h"

#include "tools/lib/base64.h"
#include "tools/lib/utf8.h"

void json_out_inner_name(struct json_out *j, const char *inner, size_t size) {
    if (j->comma) {
        buf_add(&j->text, ", ", 2);
    }
    j->comma = 1;
    buf_add_char(&j->text, '"');
    buf_add(&j->text, inner, size);
    buf_add(&j->text, "\": ", 3);
}

void json_out_name(struct json_out *j, const char *name) {
    if (name) {
        json_out_inner_name(j, name, strlen(name));
        return;
    }
    if (j->comma) {
        buf_add(&j->text, ", ", 2);
    }
    j->comma = 1;
}

void json_out_open(struct json_out *j, const char *name, char bracket) {
    json_out_name(j, name);
    buf_add_char(&j->text, bracket);
    j->comma = 0;
}

void json_out_close(struct json_out *j, char bracket) {
    buf_add_char(&j->text, bracket);
    j->comma = 1;
}

static void json_out_add_u64(struct buf *out, uint64_t value) {
    char digits[20];
    size_t n = 0;
    do {
        digits[sizeof(digits) - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    buf_add(out, digits + sizeof(digits) - n, n);
}

void json_out_u64(struct json_out *j, const char *name, uint64_t value) {
    json_out_name(j, name);
    json_out_add_u64(&j->text, value);
}

void json_out_i64(struct json_out *j, const char *name, int64_t value) {
    json_out_name(j, name);
    buf_printf(&j->text, "%lld", (long long)value);
}

void json_out_real(struct json_out *j, const char *name, double value) {
    json_out_name(j, name);
    buf_printf(&j->text, "%.9g", value);
}

void json_out_bool(struct json_out *j, const char *name, int value) {
    json_out_name(j, name);
    buf_add_text(&j->text, value ? "true" : "false");
}

void json_out_null(struct json_out *j, const char *name) {
    json_out_name(j, name);
    buf_add_text(&j->text, "null");
}

void json_out_hex(struct json_out *j, const char *name, uint64_t value) {
    json_out_name(j, name);
    buf_printf(&j->text, "\"%016llx\"", (unsigned long long)value);
}

void json_out_raw(struct json_out *j, const char *name, const char *json, size_t size) {
    json_out_name(j, name);
    buf_add(&j->text, json, size);
}

void json_quote_byte(struct buf *out, char c) {
    static const char FROM[] = "\"\\\b\f\n\r\t", TO[] = "\"\\bfnrt";
    const char *known = c ? strchr(FROM, c) : NULL;
    if (known) {
        buf_add_char(out, '\\');
        buf_add_char(out, TO[known - FROM]);
    } else if ((unsigned char)c < 0x20) {
        buf_printf(out, "\\u%04x", (unsigned char)c);
    } else {
        buf_add_char(out, c);
    }
}

/* Does a terminal obey this character although JSON would let it stand: DEL, or U+0080 to U+009F? */
static int json_out_is_obeyed(const unsigned char *s, size_t len) {
    return (len == 1 && s[0] == 0x7f) || (len == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

static void json_out_add_quoted(struct buf *out, const char *bytes, size_t size, int for_terminals) {
    buf_add_char(out, '"');
    for (size_t at = 0; at < size;) {
        const unsigned char *s = (const unsigned char *)bytes + at;
        size_t len = utf8_length(s, size - at);
        if (for_terminals && json_out_is_obeyed(s, len)) {
            buf_printf(out, "\\u%04x", s[len - 1]);
        } else if (len == 1) {
            json_quote_byte(out, bytes[at]);
        } else if (len > 1) {
            buf_add(out, s, len);
        } else {
            buf_add_text(out, "\xef\xbf\xbd");
        }
        at += len ? len : 1;
    }
    buf_add_char(out, '"');
}

void json_quote(struct buf *out, const char *bytes, size_t size) {
    json_out_add_quoted(out, bytes, size, 0);
}

void json_out_text(struct json_out *j, const char *name, const char *value) {
    json_out_name(j, name);
    json_out_add_quoted(&j->text, value, strlen(value), 1);
}

void json_out_bytes(struct json_out *j, const char *name, const void *bytes, size_t size, const char *encoding) {
    int text = utf8_is_valid(bytes, size);
    json_out_name(j, name);
    if (text) {
        json_out_add_quoted(&j->text, bytes, size, 1);
    } else {
        buf_add_char(&j->text, '"');
        base64_encode(&j->text, bytes, size);
        buf_add_char(&j->text, '"');
    }
    if (encoding) {
        json_out_text(j, encoding, text ? "utf-8" : "base64");
    } else if (!text) {
        char behind[64];
        snprintf(behind, sizeof(behind), "%s_encoding", name);
        json_out_text(j, behind, "base64");
    }
}

void json_out_end_line(struct json_out *j) {
    buf_add_char(&j->text, '\n');
    j->comma = 0;
}

int json_out_flush(struct json_out *j, FILE *out) {
    size_t size = j->text.size;
    j->text.size = 0;
    return fwrite(j->text.data, 1, size, out) == size ? 0 : -1;
}

int json_out_print(struct json_out *j, FILE *out) {
    json_out_end_line(j);
    int rc = json_out_flush(j, out);
    json_out_free(j);
    return rc;
}

void json_out_free(struct json_out *j) {
    buf_free(&j->text);
    j->comma = 0;
}
