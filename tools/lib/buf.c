/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/lib/codes.h"

static void buf_out_of_memory(void) {
    fputs("tide: out of memory\n", stderr);
    exit(TOOL_FAILED);
}

char *buf_reserve(struct buf *b, size_t more) {
    if (more > b->room - b->size) {
        size_t room = b->room ? b->room : 256;
        while (room - b->size < more) {
            if (__builtin_mul_overflow(room, 2u, &room)) {
                buf_out_of_memory();
            }
        }
        char *data = realloc(b->data, room);
        if (!data) {
            buf_out_of_memory();
        }
        b->data = data;
        b->room = room;
    }
    return b->data + b->size;
}

void buf_free(struct buf *b) {
    free(b->data);
    *b = (struct buf){ 0 };
}

void buf_printf(struct buf *b, const char *format, ...) {
    va_list args;
    char *at = buf_reserve(b, 512);
    va_start(args, format);
    int len = vsnprintf(at, 512, format, args);
    va_end(args);
    if (len > 0) {
        b->size += len < 512 ? (size_t)len : 511;
    }
}
