/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A growing byte buffer for output. Zero-initialise it; buf_free() lets go. Not for several threads at once.
 * When memory runs out the process ends with a message and TOOL_FAILED: half an answer is worse than none.
 */
#ifndef TIDE_TOOLS_BUF_H
#define TIDE_TOOLS_BUF_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct buf {
    char *data;
    size_t size;
    size_t room;
};

/* Room for at least `more` bytes behind the content; returns where they start. */
char *buf_reserve(struct buf *b, size_t more);

void buf_free(struct buf *b);

/* Append at most a few hundred formatted bytes (numbers, fixed words); longer output is an error of the program. */
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline void buf_add(struct buf *b, const void *bytes, size_t size) {
    if (size == 0) {
        return;
    }
    memcpy(buf_reserve(b, size), bytes, size);
    b->size += size;
}

static inline void buf_add_text(struct buf *b, const char *text) {
    buf_add(b, text, strlen(text));
}

static inline void buf_add_char(struct buf *b, char c) {
    *buf_reserve(b, 1) = c;
    b->size++;
}

#endif
