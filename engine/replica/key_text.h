/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A key in a line of the log callback: keys have any bytes, and a line may reach a terminal. */
#ifndef TIDE_REPLICA_KEY_TEXT_H
#define TIDE_REPLICA_KEY_TEXT_H

#include <stddef.h>

#define KEY_TEXT_BYTES 176u

/* As escaped_byte() writes each byte; "..." behind a key that is cut. Returns out. */
const char *key_text(char out[KEY_TEXT_BYTES], const void *key, size_t key_len);

#endif
