/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/key_text.h"

#include <stdio.h>

#include "shm/escaped.h"

const char *key_text(char out[KEY_TEXT_BYTES], const void *key, size_t key_len) {
    const uint8_t *bytes = key;
    size_t at = 0, i = 0;
    for (; i < key_len && at + ESCAPED_MOST + sizeof("...") <= KEY_TEXT_BYTES; i++) {
        at += escaped_byte(out + at, bytes[i]);
    }
    snprintf(out + at, KEY_TEXT_BYTES - at, "%s", i < key_len ? "..." : "");
    return out;
}
