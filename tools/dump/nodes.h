/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The keys of a table segment that nobody writes any more, for `tide diff`. Believes nothing that it reads. One thread. */
#ifndef TIDE_DUMP_NODES_H
#define TIDE_DUMP_NODES_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/lib/codes.h"
#include "tools/lib/records.h"

struct nodes {
    uint64_t incarnation;
    uint32_t replica;
    char name[64];    /* of the domain; ended by a zero, and not escaped */
    uint64_t applied; /* as its log has it, or the newest node's index where there is no log of this incarnation */
    uint64_t damaged; /* nodes and links that cannot be: left out */
};

/*
 * Read the table that `what` names, as dump_file_open() takes it, into `out` (sorted by key). What has expired by now is left out, where the
 * segment's clock is this machine's. TOOL_OK, or a code with `why`: no such file, no table, another version, damaged as a whole.
 */
enum tool_code nodes_read(const char *what, struct nodes *n, struct records *out, char *why, size_t why_size);

#endif
