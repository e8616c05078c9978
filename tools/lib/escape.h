/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Escaping what is printed: a process that chooses a key or a label must not be able to send commands to the terminal of
 * the person who looks at it. One thread for each buffer.
 */
#ifndef TIDE_TOOLS_ESCAPE_H
#define TIDE_TOOLS_ESCAPE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/lib/buf.h"

#define ESCAPE_UNBOUNDED UINT64_MAX

/*
 * For keys and values, so that they can be given to --key or --escaped: each byte as escaped_byte() writes it. At most `room` characters;
 * no escape is cut. Returns how many of the n bytes were taken.
 */
size_t escape_bytes(struct buf *out, const void *bytes, size_t n, uint64_t room);

/* The same to a file, piece by piece: a value may be larger than what memory is there for its escapes. */
size_t escape_print(FILE *out, const void *bytes, size_t n, uint64_t room);

/* The opposite of escape_bytes(); in place. Returns the number of bytes, or -1 where an escape is none. */
long escape_undo(char *text);

/*
 * For text that people read: UTF-8 stays as it is; control characters (also those of U+0080 to U+009F, and DEL) and
 * bytes that are no UTF-8 become \xNN. `keep` names control characters that may pass ("\n\t", or "").
 */
void escape_text(struct buf *out, const void *text, size_t n, const char *keep);

/* The same to a file, piece by piece. */
void escape_text_print(FILE *out, const void *text, size_t n, const char *keep);

/* For keys and values that people read, and give to --escaped: as escape_text() without an exception, but a backslash comes out twice,
 * so that escape_undo() gives the bytes back. */
void escape_readable_print(FILE *out, const void *bytes, size_t n);

/* escape_text() for a short text that ends with a zero or after `room` bytes, cut to what fits `buf`. Returns buf. */
const char *escape_label(const char *label, size_t room, char *buf, size_t buf_size);
/* Enough for any label of a replica. */
#define ESCAPE_LABEL_BYTES 128

#endif
