/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide cas`: set a key if it is at the expected version. */
#include "tools/lib/kv_write.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide cas NAME KEY VALUE|- --expect VERSION [OPTION]...\n"
    "       tide cas NAME KEY --file FILE --expect VERSION [OPTION]...\n"
    "Set KEY to VALUE if its version is VERSION, which 'tide get --json' and 'tide scan --json' print; 0 means that "
    "KEY\n"
    "must not exist. Prints the token of the write; its index is the new version.\n\n"
    "  --expect VERSION      the version that KEY must have\n" KV_VALUE_HELP KV_TTL_HELP KV_WRITE_HELP KV_CODES_HELP
    "6 another version is there (with --json: found_version); 7 anything else.\n";

static int cas_do_it(struct kv_write *w, struct tide_token *token, uint64_t *found) {
    struct tide_put_opts opts = TIDE_PUT_OPTS_INIT;
    opts.ttl_ns = w->ttl_ns;
    opts.flags = w->flags;
    return tide_cas_with(w->cli.domain, NULL, w->key, w->key_size, w->expect, w->value, w->value_size, &opts, token,
                         found);
}

int tool_cas(int argc, char **argv) {
    struct kv_write w = { .help = HELP, .has_value = 1, .is_cas = 1, .may_expire = 1 };
    return kv_write_run(&w, cas_do_it, argc, argv);
}
