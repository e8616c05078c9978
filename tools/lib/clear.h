/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Deleting many keys, for `tide clear` and `tide del --prefix`. One thread. */
#ifndef TIDE_TOOLS_CLEAR_H
#define TIDE_TOOLS_CLEAR_H

#include <stddef.h>

#include "tools/lib/client.h"

/* Delete every key of c->domain that begins with the prefix (size 0: every key) and tell how many. Returns the exit code. */
int clear_keys(const struct cli *c, const void *prefix, size_t prefix_size);

#endif
