/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/key_text.h"

#include <stdint.h>
#include <stdio.h>

#define KEY_TEXT_LONGEST 4u /* of one byte: \xNN */

const char *key_text(char out[KEY_TEXT_BYTES], const void *key, size_t key_len) {
    const uint8_t *bytes = key;
    size_t at = 0, i = 0;
    for (; i < key_len && at + KEY_TEXT_LONGEST + sizeof("...") <= KEY_TEXT_BYTES; i++) {
        const char *format = bytes[i] == '\\' ? "\\\\" : bytes[i] > 0x20 && bytes[i] < 0x7f ? "%c" : "\\x%02x";
        at += (size_t)snprintf(out + at, KEY_TEXT_BYTES - at, format, bytes[i]);
    }
    snprintf(out + at, KEY_TEXT_BYTES - at, "%s", i < key_len ? "..." : "");
    return out;
}
