/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `tide put`, del, cas, touch and incr share: options, the value, the write and what is told of it. One thread. */
#ifndef TIDE_TOOLS_KV_WRITE_H
#define TIDE_TOOLS_KV_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/lib/kv.h"

#define KV_WRITE_HELP KV_WRITE_HELP_OF("index, token")
#define KV_WRITE_HELP_OF(fields)                                                                                       \
    KV_BYTES_HELP                                                                                                      \
    "  --timeout TIME        how long to wait for a leader and its answer (default 1s)\n"                              \
    "  --json                {" fields "}, or {error, text, exit_code}\n"                                              \
    "  --help                print this text\n\n"                                                                      \
    "An argument that begins with '-' goes behind '--'.\n"
#define KV_CLEAR_HELP                                                                                                  \
    "  --timeout TIME        how long to wait for a leader and its answer, for each batch (default 1s)\n"              \
    "  --json                {deleted, index, token}, or {deleted, error, text, exit_code}\n"                          \
    "  --help                print this text\n\n"
#define KV_VALUE_HELP "  --file FILE           the value is what FILE holds\n"
#define KV_TTL_HELP                                                                                                    \
    "  --ttl TIME            how long the value lives: 1.5s, 10m; never; default: what the domain has for "            \
    "all\n" KV_KEEP_HELP
#define KV_KEEP_HELP "  --keep                a domain that evicts does not evict the key, until it is put without\n"
#define KV_CODES_HELP                                                                                                  \
    "Exit codes: 0 done; 2 usage; 3 no such domain; 4 nobody leads, or not in time: certainly not done;\n"             \
    "5 it may or may not have been done; "

struct kv_write {
    struct cli cli;
    const char *help, *file;
    int has_value; /* put and cas, but not del */
    int is_cas;
    int may_expire; /* put, cas and incr take --ttl and --keep */
    int may_clear;  /* del and clear take --prefix */
    int no_key;     /* clear */
    /* A further argument behind the key, and what takes it: 0, or an exit code after a message. */
    const char *extra;
    int extra_optional;
    int (*take_extra)(struct kv_write *w, const char *arg);
    int64_t delta;  /* incr */
    int64_t result; /* incr: the sum, to be told */
    int has_result;
    int escaped, expect_given;
    uint64_t timeout_ns, expect;
    uint64_t ttl_ns;
    uint32_t flags; /* enum tide_write_flags */
    char *key;
    size_t key_size;
    char *prefix;
    size_t prefix_size;
    uint8_t *value; /* on the heap, or an argument */
    size_t value_size;
    int value_owned;
};

/* A ttl of the command line: a time above 0, or "never". 0, or TOOL_USAGE after a message. */
int kv_ttl(const char *tool, const char *what, const char *arg, uint64_t *ttl_ns);

/* The whole command. The caller fills in help, has_value, is_cas and do_it(), which is not called where keys are cleared. Returns the exit code. */
typedef int kv_write_fn(struct kv_write *w, struct tide_token *token, uint64_t *found);
int kv_write_run(struct kv_write *w, kv_write_fn *do_it, int argc, char **argv);

#endif
