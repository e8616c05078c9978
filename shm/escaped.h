/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that somebody else chose (a key, a name), for a log line or a terminal: they must not command it. `tide --escaped` takes them back. */
#ifndef TIDE_SHM_ESCAPED_H
#define TIDE_SHM_ESCAPED_H

#include <stddef.h>
#include <stdint.h>

#define ESCAPED_MOST 4u /* characters of one byte */

static inline size_t escaped_hex(char out[ESCAPED_MOST], uint8_t byte) {
    const char *digits = "0123456789abcdef";
    out[0] = '\\';
    out[1] = 'x';
    out[2] = digits[byte >> 4];
    out[3] = digits[byte & 15];
    return ESCAPED_MOST;
}

/* Printable ASCII as it is, a backslash twice, all else as \xNN, quotes too. Returns how many characters it wrote. */
static inline size_t escaped_byte(char out[ESCAPED_MOST], uint8_t byte) {
    if (byte < 0x20 || byte >= 0x7f || byte == '"') {
        return escaped_hex(out, byte);
    }
    out[0] = out[1] = (char)byte;
    return byte == '\\' ? 2 : 1;
}

#endif
