/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/escape.h"

#include "shm/escaped.h"
#include "tools/lib/utf8.h"

#define PIECE 4096u /* bytes that are escaped before they are written */

static void escape_add_hex(struct buf *out, unsigned char byte) {
    char escape[ESCAPED_MOST];
    buf_add(out, escape, escaped_hex(escape, byte));
}

size_t escape_bytes(struct buf *out, const void *bytes, size_t n, uint64_t room) {
    const unsigned char *b = bytes;
    size_t i = 0;
    for (; i < n; i++) {
        char escape[ESCAPED_MOST];
        size_t needs = escaped_byte(escape, b[i]);
        if (needs > room) {
            break;
        }
        room -= needs;
        buf_add(out, escape, needs);
    }
    return i;
}

size_t escape_print(FILE *out, const void *bytes, size_t n, uint64_t room) {
    struct buf text = { 0 };
    size_t done = 0;
    while (done < n) {
        size_t piece = n - done < PIECE ? n - done : PIECE;
        text.size = 0;
        size_t taken = escape_bytes(&text, (const char *)bytes + done, piece, room);
        fwrite(text.data, 1, text.size, out);
        done += taken;
        room -= room == ESCAPE_UNBOUNDED ? 0 : text.size;
        if (taken < piece || ferror(out)) {
            break;
        }
    }
    buf_free(&text);
    return done;
}

static int escape_hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long escape_undo(char *text) {
    char *to = text;
    for (const char *at = text; *at;) {
        if (*at != '\\') {
            *to++ = *at++;
        } else if (at[1] == '\\') {
            *to++ = '\\';
            at += 2;
        } else if (at[1] == 'x' && escape_hex_digit(at[2]) >= 0 && escape_hex_digit(at[3]) >= 0) {
            *to++ = (char)(escape_hex_digit(at[2]) * 16 + escape_hex_digit(at[3]));
            at += 4;
        } else {
            return -1;
        }
    }
    return to - text;
}

/* Is the character of `len` bytes at s a control character? */
static int escape_is_control(const unsigned char *s, size_t len) {
    return (len == 1 && (s[0] < 0x20 || s[0] == 0x7f)) || (len == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

static void escape_add_text(struct buf *out, const void *text, size_t n, const char *keep, int doubles_backslash) {
    const unsigned char *s = text;
    for (size_t at = 0; at < n;) {
        size_t len = utf8_length(s + at, n - at);
        int plain = len > 0 && (!escape_is_control(s + at, len) || (len == 1 && s[at] != 0 && strchr(keep, s[at])));
        len += len == 0;
        if (s[at] == '\\' && doubles_backslash) {
            buf_add(out, "\\\\", 2);
        } else if (plain) {
            buf_add(out, s + at, len);
        } else {
            for (size_t i = 0; i < len; i++) {
                escape_add_hex(out, s[at + i]);
            }
        }
        at += len;
    }
}

static void escape_print_text(FILE *out, const void *text, size_t n, const char *keep, int doubles_backslash) {
    struct buf escaped = { 0 };
    const char *s = text;
    for (size_t at = 0; at < n && !ferror(out);) {
        size_t piece = n - at < PIECE ? n - at : PIECE;
        /* A piece ends between two characters. */
        while (piece < n - at && piece > PIECE - 4 && ((unsigned char)s[at + piece] & 0xc0) == 0x80) {
            piece--;
        }
        escaped.size = 0;
        escape_add_text(&escaped, s + at, piece, keep, doubles_backslash);
        fwrite(escaped.data, 1, escaped.size, out);
        at += piece;
    }
    buf_free(&escaped);
}

void escape_text(struct buf *out, const void *text, size_t n, const char *keep) {
    escape_add_text(out, text, n, keep, 0);
}

void escape_text_print(FILE *out, const void *text, size_t n, const char *keep) {
    escape_print_text(out, text, n, keep, 0);
}

void escape_readable_print(FILE *out, const void *bytes, size_t n) {
    escape_print_text(out, bytes, n, "", 1);
}

const char *escape_label(const char *label, size_t room, char *buf, size_t buf_size) {
    struct buf text = { 0 };
    escape_text(&text, label, strnlen(label, room), "");
    size_t n = text.size < buf_size ? text.size : buf_size - 1;
    if (n > 0) {
        memcpy(buf, text.data, n);
    }
    buf[n] = '\0';
    buf_free(&text);
    return buf;
}
