/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide clear`: delete many keys. */
#include "tools/lib/kv_write.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide clear NAME [OPTION]...\n"
    "Delete every key that is there when the command begins, in batches, and print how many. The domain goes on "
    "meanwhile:\n"
    "readers see some of the keys gone before others, a key that is put for the first time stays, and one that is put "
    "anew\n"
    "may stay or go. 'tide rm' removes a whole domain.\n\n"
    "  --prefix PREFIX       only keys that begin with it\n"
    "  --escaped             in PREFIX \\xNN is the byte NN and \\\\ a backslash\n" KV_CLEAR_HELP KV_CODES_HELP
    "7 anything else. If it ends early, it says how many keys\nare deleted; to go on, start it again.\n";

int tool_clear(int argc, char **argv) {
    struct kv_write w = { .help = HELP, .may_clear = 1, .no_key = 1 };
    return kv_write_run(&w, NULL, argc, argv);
}
