/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide incr`: add to a number. */
#include <errno.h>
#include <stdlib.h>

#include "tools/lib/args.h"
#include "tools/lib/kv_write.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide incr NAME KEY [DELTA] [OPTION]...\n"
    "Add DELTA (default 1) to the value of KEY, which is a decimal number of 64 bits, and print the sum. A key that "
    "does\n"
    "not exist counts as 0. A negative DELTA goes behind '--': tide incr NAME -- KEY -5.\n\n"
    "  --ttl TIME            how long the sum lives: 1.5s, 10m; never; default: a key keeps what it "
    "has\n" KV_KEEP_HELP KV_WRITE_HELP_OF("value, index, token") KV_CODES_HELP
    "7 anything else (the value is no number, say).\n";

static int incr_take_delta(struct kv_write *w, const char *arg) {
    char *end;
    errno = 0;
    long long delta = strtoll(arg, &end, 10);
    if (errno != 0 || end == arg || *end != 0 || (arg[0] != '-' && (arg[0] < '0' || arg[0] > '9'))) {
        return args_error(w->cli.tool, "DELTA must be a whole number of 64 bits with its sign: %s", arg);
    }
    w->delta = delta;
    return 0;
}

static int incr_do_it(struct kv_write *w, struct tide_token *token, uint64_t *found) {
    (void)found;
    struct tide_put_opts opts = TIDE_PUT_OPTS_INIT;
    opts.ttl_ns = w->ttl_ns;
    opts.flags = w->flags;
    return tide_add(w->cli.domain, NULL, w->key, w->key_size, w->delta, &opts, token, &w->result);
}

int tool_incr(int argc, char **argv) {
    struct kv_write w = { .help = HELP,
                          .may_expire = 1,
                          .has_result = 1,
                          .delta = 1,
                          .extra = "DELTA",
                          .extra_optional = 1,
                          .take_extra = incr_take_delta };
    return kv_write_run(&w, incr_do_it, argc, argv);
}
