/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is UTF-8 and what is not: RFC 3629, so no overlong forms, no surrogates, nothing above U+10FFFF. Any thread. */
#ifndef TIDE_LIB_UTF8_H
#define TIDE_LIB_UTF8_H

#include <stddef.h>

/* Bytes of the character that begins at `text`, where at least one byte is left; 0 where none begins there. */
size_t utf8_length(const void *text, size_t size);

/* Is all of it UTF-8? */
int utf8_is_valid(const void *text, size_t size);

#endif
