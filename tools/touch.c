/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide touch`: give a key another life. */
#include "tools/lib/kv_write.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide touch NAME KEY TTL [OPTION]...\n"
    "Let KEY live for TTL from now on (1.5s, 10m; never), with the value that it has. Prints the token of the "
    "write.\n\n" KV_WRITE_HELP KV_CODES_HELP "1 no such key; 7 anything else.\n";

static int touch_take_ttl(struct kv_write *w, const char *arg) {
    return kv_ttl(w->cli.tool, "TTL", arg, &w->ttl_ns);
}

static int touch_do_it(struct kv_write *w, struct tide_token *token, uint64_t *found) {
    (void)found;
    return tide_touch(w->cli.domain, NULL, w->key, w->key_size, w->ttl_ns, token);
}

int tool_touch(int argc, char **argv) {
    struct kv_write w = { .help = HELP, .extra = "TTL", .take_extra = touch_take_ttl };
    return kv_write_run(&w, touch_do_it, argc, argv);
}
