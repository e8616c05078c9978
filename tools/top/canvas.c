/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/top/canvas.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "tools/lib/utf8.h"

bool canvas_reset(struct canvas *c, int width, int height) {
    size_t n = (size_t)width * (size_t)height;
    if (!c->cells || width != c->width || height != c->height) {
        struct canvas_cell *cells = realloc(c->cells, (n + 1) * sizeof(*cells));
        if (!cells) {
            return false;
        }
        c->cells = cells;
        c->width = width;
        c->height = height;
    }
    for (size_t i = 0; i < n; i++) {
        c->cells[i] = (struct canvas_cell){ " ", INK_PLAIN };
    }
    return true;
}

void canvas_free(struct canvas *c) {
    free(c->cells);
    c->cells = NULL;
    c->width = c->height = 0;
}

static bool canvas_is_inside(const struct canvas *c, int row, int column) {
    return row >= 0 && row < c->height && column >= 0 && column < c->width;
}

static struct canvas_cell *canvas_cell_at(struct canvas *c, int row, int column) {
    return &c->cells[(size_t)row * (size_t)c->width + (size_t)column];
}

static uint32_t canvas_code_point(const char *text, size_t length) {
    const unsigned char *s = (const unsigned char *)text;
    uint32_t code = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        code = code << 6 | (s[i] & 0x3fu);
    }
    return code;
}

/* One character at `text`, which does not end here: its bytes, or "?" for what cannot be shown. Columns: 1 or 2. */
static int canvas_next_character(const struct canvas *c, const char **text, char out[5]) {
    size_t length = utf8_length(*text, strnlen(*text, 4));
    int columns = 1;
    if (length == 1 && (unsigned char)**text >= 0x20 && **text != 0x7f) {
        snprintf(out, 5, "%c", **text);
    } else {
        columns = length > 1 && c->unicode ? wcwidth((wchar_t)canvas_code_point(*text, length)) : -1;
        snprintf(out, 5, "%.*s", (int)length, *text);
    }
    if (columns < 1 || columns > 2) {
        snprintf(out, 5, "?");
        columns = 1;
    }
    *text += length == 0 ? 1 : length;
    return columns;
}

/* Up to column `end`. */
static int canvas_put_until(struct canvas *c, int row, int column, int end, int ink, const char *text) {
    char character[5];
    end = end < c->width ? end : c->width;
    while (*text != '\0') {
        int columns = canvas_next_character(c, &text, character);
        if (column + columns > end) {
            break;
        }
        if (canvas_is_inside(c, row, column)) {
            struct canvas_cell *cell = canvas_cell_at(c, row, column);
            memcpy(cell->text, character, sizeof(character));
            cell->ink = (uint8_t)ink;
            if (columns == 2) {
                cell[1] = (struct canvas_cell){ "", (uint8_t)ink };
            }
        }
        column += columns;
    }
    return column;
}

int canvas_put(struct canvas *c, int row, int column, int ink, const char *text) {
    return canvas_put_until(c, row, column, c->width, ink, text);
}

int canvas_printf(struct canvas *c, int row, int column, int ink, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return canvas_put(c, row, column, ink, text);
}

static int canvas_columns_of(const struct canvas *c, const char *text) {
    char character[5];
    int columns = 0;
    while (*text != '\0') {
        columns += canvas_next_character(c, &text, character);
    }
    return columns;
}

int canvas_field(struct canvas *c, int row, int column, int width, bool right, int ink, const char *text) {
    int columns = right ? canvas_columns_of(c, text) : 0;
    int start = right && columns < width ? column + width - columns : column;
    canvas_put_until(c, row, start, column + width, ink, text);
    return column + width;
}

void canvas_bar(struct canvas *c, int row, int column, int width, double share, int ink) {
    int full = share > 0 ? (int)(share * width + 0.5) : 0;
    full = share > 0 && full == 0 ? 1 : full;
    for (int i = 0; i < width; i++) {
        bool is_full = i < full;
        canvas_put(c, row, column + i, is_full ? ink : INK_DIM, c->unicode ? is_full ? "█" : "·" : is_full ? "#" : ".");
    }
}

void canvas_spark(struct canvas *c, int row, int column, int level, int ink) {
    static const char *const BLOCKS[] = { "▁", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    static const char *const PLAIN[] = { "_", ".", ":", "-", "=", "+", "*", "#", "@" };
    if (level >= 0) {
        level = level > 8 ? 8 : level;
        canvas_put(c, row, column, ink, c->unicode ? BLOCKS[level] : PLAIN[level]);
    }
}

void canvas_ink(struct canvas *c, int row, int column, int width, int ink) {
    for (int i = column; i < column + width; i++) {
        if (canvas_is_inside(c, row, i)) {
            canvas_cell_at(c, row, i)->ink = (uint8_t)ink;
        }
    }
}

void canvas_row_text(const struct canvas *c, int row, struct buf *out) {
    const struct canvas_cell *cells = &c->cells[(size_t)row * (size_t)c->width];
    int end = c->width;
    while (end > 0 && strcmp(cells[end - 1].text, " ") == 0) {
        end--;
    }
    for (int i = 0; i < end; i++) {
        buf_add_text(out, cells[i].text);
    }
}
