/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide put`: set a key. */
#include "tools/lib/kv_write.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide put NAME KEY VALUE|- [OPTION]...\n"
    "       tide put NAME KEY --file FILE [OPTION]...\n"
    "Set KEY to VALUE, or to what standard input holds ('-'). Prints the token of the write, a fence for later reads:\n"
    "'tide get --token'.\n\n" KV_VALUE_HELP KV_TTL_HELP KV_WRITE_HELP KV_CODES_HELP
    "7 anything else (the table is full, say).\n";

static int put_do_it(struct kv_write *w, struct tide_token *token, uint64_t *found) {
    (void)found;
    struct tide_put_opts opts = TIDE_PUT_OPTS_INIT;
    opts.ttl_ns = w->ttl_ns;
    opts.flags = w->flags;
    return tide_put_with(w->cli.domain, NULL, w->key, w->key_size, w->value, w->value_size, &opts, token);
}

int tool_put(int argc, char **argv) {
    struct kv_write w = { .help = HELP, .has_value = 1, .may_expire = 1 };
    return kv_write_run(&w, put_do_it, argc, argv);
}
