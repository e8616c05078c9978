/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file that appears whole or not at all, and that everybody may read. One thread. */
#ifndef TIDE_TOOLS_TEXTFILE_H
#define TIDE_TOOLS_TEXTFILE_H

#include <stddef.h>

/* Write the text beside `path` and rename it into place, readable by all. 0, or -1 with `why`. */
int textfile_write(const char *path, const char *text, size_t size, char *why, size_t why_size);

#endif
