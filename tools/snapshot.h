/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of `tide snapshot` share. */
#ifndef TIDE_TOOLS_SNAPSHOT_H
#define TIDE_TOOLS_SNAPSHOT_H

#include "tools/lib/kv.h"
#include "tools/lib/snapshot_file.h"

struct snapshot {
    struct cli cli;
    struct kv_read read;
    const char *file; /* "-": standard input or output */
    int replace;
    uint64_t timeout_ns;
    struct snapshot_head head;
    struct records records;
};

/* Scan the open domain and write the file. The exit code. */
int snapshot_save(struct snapshot *s);

/* Read and check the whole file. 0 or an exit code after a message. */
int snapshot_read(struct snapshot *s);

/* Put what was read into the open domain. The exit code. */
int snapshot_load(struct snapshot *s);

#endif
