/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/colour.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_COLUMNS 10

static bool colour_is_wanted(void) {
    const char *none = getenv("NO_COLOR"), *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && (!none || !*none) && term && *term && strcmp(term, "dumb") != 0;
}

void colour_print(enum colour c, int width, const char *text) {
    static const char *const STARTS[] = { "", "\033[32m", "\033[33m", "\033[31m", "\033[1m" };
    bool coloured = c != COLOUR_NONE && colour_is_wanted();
    printf("%s%*s%s", coloured ? STARTS[c] : "", width, text, coloured ? "\033[0m" : "");
}

void colour_paragraph(const char *name, struct buf *text, int width) {
    size_t room = width > NAME_COLUMNS ? (size_t)(width - NAME_COLUMNS) : SIZE_MAX;
    const char *at = text->data, *end = at + text->size;
    printf("%-*s", NAME_COLUMNS, name);
    while (at < end) {
        size_t n = (size_t)(end - at);
        if (n > room) {
            for (n = room; n > 0 && at[n] != ' '; n--) {
            }
            n = n > 0 ? n : room;
        }
        printf("%.*s\n", (int)n, at);
        at += n;
        at += at < end && *at == ' ';
        if (at < end) {
            printf("%*s", NAME_COLUMNS, "");
        }
    }
    if (text->size == 0) {
        putchar('\n');
    }
    buf_free(text);
}
