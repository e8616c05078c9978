/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the log callback is told, and options of a small domain that tells it here. */
#ifndef TIDE_TESTS_TOLD_H
#define TIDE_TESTS_TOLD_H

#include <stdio.h>

#include "tests/lib/help.h"

static char told[4096]; /* since told_opts(), one line after another */

static inline void told_note(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx, (void)level;
    size_t used = strlen(told);
    (void)snprintf(told + used, sizeof(told) - used, "%s\n", text);
}

static inline struct tide_opts told_opts(uint32_t flags) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = flags;
    o.ring_bytes = UINT64_C(1) << 20;
    o.table_bytes = UINT64_C(1) << 20;
    o.write_timeout_ns = UINT64_C(60000000000); /* a busy machine is no fault */
    o.log = told_note;
    told[0] = '\0';
    return o;
}

#endif
