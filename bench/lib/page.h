/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HTML pages of one file, with their pictures inside. */
#ifndef TIDE_BENCH_PAGE_H
#define TIDE_BENCH_PAGE_H

#include <stdio.h>

#include "bench/lib/gnuplot.h"
#include "bench/lib/machine.h"

/* From the document type to the first heading, style included; and the end. */
void bench_page_begin(FILE *out, const char *title, const char *heading);
void bench_page_end(FILE *out);

/* The picture, with a caption ("": none) below it; or a line that says why there is none. Frees `svg`.
 * caption, nothing: HTML, as they stand. alt: text. */
void bench_page_picture(FILE *out, enum bench_drawn drawn, char *svg, const char *alt, const char *caption,
                        const char *nothing);

/* A row of a table of facts (class "facts"); and the rows that say what the machine is. */
void bench_page_row(FILE *out, const char *name, const char *value);
void bench_page_machine(FILE *out, const struct bench_machine *m);

#endif
