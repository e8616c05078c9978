/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Base64 (RFC 4648, with padding). Any thread; nothing here waits. */
#ifndef TIDE_TOOLS_BASE64_H
#define TIDE_TOOLS_BASE64_H

#include <stddef.h>

#include "tools/lib/buf.h"

/* Append the text of these bytes. */
void base64_encode(struct buf *out, const void *bytes, size_t size);

/* Append the bytes of this text. 0, or -1 where it is no base64: nothing is appended then. */
int base64_decode(struct buf *out, const char *text, size_t size);

#endif
