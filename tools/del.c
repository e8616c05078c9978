/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide del`: delete a key, or all that begin with a prefix. */
#include "tools/lib/kv_write.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide del NAME KEY [OPTION]...\n"
    "       tide del NAME --prefix PREFIX [OPTION]...\n"
    "Delete KEY. It is no error if there is no such key. Prints the token of the write.\n"
    "With --prefix delete every key that begins with PREFIX, as 'tide clear --prefix' does, and print how many.\n\n"
    "  --prefix PREFIX       see above; with --json {deleted, index, token}\n" KV_WRITE_HELP KV_CODES_HELP
    "7 anything else.\n";

static int del_do_it(struct kv_write *w, struct tide_token *token, uint64_t *found) {
    (void)found;
    return tide_delete(w->cli.domain, NULL, w->key, w->key_size, token);
}

int tool_del(int argc, char **argv) {
    struct kv_write w = { .help = HELP, .may_clear = 1 };
    return kv_write_run(&w, del_do_it, argc, argv);
}
