/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Colours of what a command prints, and text in a limited width. A colour only repeats what a word says already: they are left out where
 * standard output is no terminal, where $NO_COLOR is set, and where $TERM is dumb. One thread.
 */
#ifndef TIDE_TOOLS_COLOUR_H
#define TIDE_TOOLS_COLOUR_H

#include "tools/lib/buf.h"

enum colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_WARN, COLOUR_BAD, COLOUR_HEAD };

/* Print text in a colour, in a field of |width| columns (below 0: at its left end). The text is ASCII, or has been escaped and is its
 * own width. */
void colour_print(enum colour c, int width, const char *text);

/*
 * Print "NAME      text" with the name in a column of ten. Where `width` is not 0 the text goes on in further lines, indented, so that
 * none is wider where a blank allows it. Frees the text.
 */
void colour_paragraph(const char *name, struct buf *text, int width);

#define COLOUR_NARROW 80

#endif
