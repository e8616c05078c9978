/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `tide put`, `tide del` and `tide cas` share: options, the value, the write and what is told of it. One thread. */
#ifndef TIDE_LIB_KV_WRITE_H
#define TIDE_LIB_KV_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/lib/kv.h"

#define KV_WRITE_HELP                                                                                                  \
    KV_BYTES_HELP                                                                                                      \
    "  --timeout TIME        how long to wait for a leader and its answer (default 1s)\n"                              \
    "  --json                {index, token}, or {error, text, exit_code}\n"                                            \
    "  --help                this text\n\n"                                                                            \
    "An argument that begins with '-' goes behind '--'.\n"
#define KV_VALUE_HELP "  --file FILE           the value is what FILE holds\n"
#define KV_CODES_HELP                                                                                                  \
    "Exit codes: 0 done; 2 usage; 3 no such domain; 4 nobody leads, or not in time: certainly not done;\n"             \
    "5 it may or may not have been done; "

struct kv_write {
    struct cli cli;
    const char *help, *file;
    int has_value; /* put and cas, but not del */
    int is_cas;
    int escaped, expect_given;
    uint64_t timeout_ns, expect;
    char *key;
    size_t key_size;
    uint8_t *value; /* on the heap, or an argument */
    size_t value_size;
    int value_owned;
};

/* The whole command. The caller fills in help, has_value, is_cas and do_it(). Returns the exit code. */
typedef int kv_write_fn(struct kv_write *w, struct tide_token *token, uint64_t *found);
int kv_write_run(struct kv_write *w, kv_write_fn *do_it, int argc, char **argv);

#endif
