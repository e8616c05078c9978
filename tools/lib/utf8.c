/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/utf8.h"

size_t utf8_length(const void *text, size_t size) {
    const unsigned char *s = text;
    if (s[0] < 0x80) {
        return 1;
    }
    if (s[0] < 0xc2 || s[0] > 0xf4) {
        return 0;
    }
    size_t len = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len > size) {
        return 0;
    }
    /* The second byte rules out overlong forms, surrogates and what lies above U+10FFFF. */
    unsigned char low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : 0xbf;
    if (s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if (s[i] < 0x80 || s[i] > 0xbf) {
            return 0;
        }
    }
    return len;
}

int utf8_is_valid(const void *text, size_t size) {
    const unsigned char *s = text;
    for (size_t at = 0, len; at < size; at += len) {
        if ((len = utf8_length(s + at, size - at)) == 0) {
            return 0;
        }
    }
    return 1;
}
