/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide del`: delete a key. */
#include "tools/lib/kv_write.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide del NAME KEY [OPTION]...\n"
    "Delete KEY. That it was not there is no error: it is gone. Prints the token of the write.\n\n" KV_WRITE_HELP
        KV_CODES_HELP "7 anything else.\n";

static int do_it(struct kv_write *w, struct tide_token *token, uint64_t *found) {
    (void)found;
    return tide_delete(w->cli.domain, NULL, w->key, w->key_size, token);
}

int tool_del(int argc, char **argv) {
    struct kv_write w = { .help = HELP };
    return kv_write_run(&w, do_it, argc, argv);
}
