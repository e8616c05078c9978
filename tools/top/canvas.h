/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A grid of characters with colours. `tide top` draws on it, and then it goes to a terminal or comes out as text, so that both show the
 * same. What does not fit is cut. Text that others chose has to be escaped by the caller (tools/lib/escape.h); on top of that a
 * character that is not one column or two wide becomes '?'. One thread.
 */
#ifndef TIDE_TOP_CANVAS_H
#define TIDE_TOP_CANVAS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/lib/buf.h"

enum canvas_ink { INK_PLAIN, INK_GOOD, INK_WARN, INK_BAD, INK_ACCENT, INK_DIM, INK_COLOURS };
/* To be or-ed. */
#define INK_BOLD 0x10
#define INK_REVERSE 0x20
#define INK_UNDERLINE 0x40
#define INK_COLOUR(ink) ((ink)&0xf)

struct canvas_cell {
    char text[5]; /* a character in UTF-8; empty: the right half of the one before */
    uint8_t ink;
};

struct canvas {
    int width, height;
    bool unicode; /* the terminal shows UTF-8 */
    struct canvas_cell *cells;
};

/* Make it of this size and blank; it may have had another. False: no memory. Zero-initialise first; free by canvas_free(). */
bool canvas_reset(struct canvas *c, int width, int height);
void canvas_free(struct canvas *c);

/* Write text; returns the column behind it. What lies outside is not written. */
int canvas_put(struct canvas *c, int row, int column, int ink, const char *text);
int canvas_printf(struct canvas *c, int row, int column, int ink, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The same in a field of so many columns, cut or filled up; right: at its right end. Returns the column behind the field. */
int canvas_field(struct canvas *c, int row, int column, int width, bool right, int ink, const char *text);

/* A bar of `width` columns of which `share` (0 to 1) is full. */
void canvas_bar(struct canvas *c, int row, int column, int width, double share, int ink);
/* A column of a sparkline: level 0 to 8, below 0: nothing there. */
void canvas_spark(struct canvas *c, int row, int column, int level, int ink);
/* Give a row another ink, from a column on. */
void canvas_ink(struct canvas *c, int row, int column, int width, int ink);

/* A row as text, without blanks at its end. */
void canvas_row_text(const struct canvas *c, int row, struct buf *out);

#endif
