/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide watch`: what changes, a line for each event. */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "tools/lib/args.h"
#include "tools/lib/kv.h"
#include "tools/lib/signals.h"
#include "tools/lib/stdio.h"
#include "tools/tools.h"

#define SLICE_NS 100000000u /* a signal is noticed after so long at the latest */
#define EVENTS_BETWEEN_LOOKS 1024u

static const char HELP[] =
    "Usage: tide watch NAME [OPTION]...\n"
    "Print every change of the domain NAME as it is committed, in the order of the log, until SIGINT, SIGTERM or\n"
    "SIGHUP: one line with kind, index, key and value, separated by tabs. kind: put, delete, expire (its time was\n"
    "over), evict (its room was needed), synced. Keys and values as in 'tide scan'. Nobody waits\n"
    "for this command: if it is slower than the writers by more than the ring holds, it has lost changes and ends.\n\n"
    "  --prefix PREFIX       only keys that begin with it\n"
    "  --from TOKEN          changes after that write; default: after the command's start\n"
    "  --initial             first everything that is there, at one index, as put; then a line synced; then changes\n"
    "  --count N             end after N events\n"
    "  --escaped             in PREFIX \\xNN is the byte NN and \\\\ a backslash\n"
    "  --json                an object a line: {kind, index, time_ns, more, key, value, encoding, ttl_ns,\n"
    "                        revision (where a source feeds the domain), token}. "
    "more:\n"
    "                        the next event belongs to the same batch; token: for --from, to go on behind this event\n"
    "  --help                print this text\n\n"
    "Exit codes: 0 ended by a signal or --count; 2 usage; 3 no such domain, or it was removed; 4 changes are lost, "
    "the\n"
    "token is of another domain or from the future, or (--initial) nobody serves; 7 anything else.\n";

enum { OPT_PREFIX = 256, OPT_FROM, OPT_INITIAL, OPT_COUNT, OPT_ESCAPED };

struct watch {
    struct cli cli;
    struct tide_watch_opts opts;
    char *prefix;
    int escaped;
    uint64_t count;
    struct tide_watch *w;
};

static atomic_int stopped;

static void watch_on_signal(int number) {
    (void)number;
    atomic_store(&stopped, 1);
}

static int watch_set_option(void *ctx, int option, char *arg) {
    struct watch *w = ctx;
    switch (option) {
    case OPT_PREFIX:
        w->prefix = arg;
        return 0;
    case OPT_FROM:
        return cli_token(arg, &w->opts.from) == 0
                   ? 0
                   : args_error(w->cli.tool, "--from must be INCARNATION:INDEX or rev:N, as a write printed it: %s",
                                arg);
    case OPT_INITIAL:
        w->opts.flags |= TIDE_WATCH_INITIAL;
        return 0;
    case OPT_COUNT:
        return args_u64(arg, 1, UINT64_MAX, &w->count) == 0
                   ? 0
                   : args_error(w->cli.tool, "--count must be a number from 1 on: %s", arg);
    case OPT_ESCAPED:
        w->escaped = 1;
        return 0;
    case 'j':
        w->cli.json = 1;
        return 0;
    default:
        return 0;
    }
}

static int watch_read_options(int argc, char **argv, struct watch *w) {
    static const struct option LIST[] = {
        { "prefix", required_argument, NULL, OPT_PREFIX }, { "from", required_argument, NULL, OPT_FROM },
        { "initial", no_argument, NULL, OPT_INITIAL },     { "count", required_argument, NULL, OPT_COUNT },
        { "escaped", no_argument, NULL, OPT_ESCAPED },     ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, watch_set_option };
    int code = args_options(&options, argc, argv, w);
    if (code != 0) {
        return code;
    }
    bool both = (w->opts.flags & TIDE_WATCH_INITIAL) != 0 && (w->opts.from.incarnation | w->opts.from.index) != 0;
    if (both) {
        return args_error(w->cli.tool, "--initial begins with what is there now: leave --from out");
    }
    if (w->prefix && w->prefix[0] != '\0') {
        code = kv_key(w->cli.tool, w->prefix, w->escaped, &w->opts.prefix_len);
        w->opts.prefix = w->prefix;
    }
    return code != 0 ? code : cli_arguments(&w->cli, argc, argv, 0, 0, "");
}

static const char *watch_kind_name(uint32_t kind) {
    static const char *const NAMES[] = { "unknown", "put", "delete", "expire", "evict", "synced" };
    return NAMES[kind < sizeof(NAMES) / sizeof(NAMES[0]) ? kind : 0];
}

static void watch_print_text(const struct tide_event *e) {
    printf("%s\t%llu", watch_kind_name(e->kind), (unsigned long long)e->index);
    if (e->kind != TIDE_EVENT_SYNCED) {
        putchar('\t');
        kv_print_readable(e->key, e->key_len);
    }
    if (e->kind == TIDE_EVENT_PUT) {
        putchar('\t');
        kv_print_readable(e->value, e->value_size);
    }
    putchar('\n');
}

static void watch_print_json(const struct watch *w, struct json_out *j, const struct tide_event *e) {
    char text[CLI_TOKEN_BYTES];
    struct tide_token token;
    json_out_open(j, NULL, '{');
    json_out_text(j, "kind", watch_kind_name(e->kind));
    json_out_u64(j, "index", e->index);
    json_out_u64(j, "time_ns", e->time_ns);
    json_out_bool(j, "more", e->more != 0);
    if (e->kind != TIDE_EVENT_SYNCED) {
        json_out_bytes(j, "key", e->key, e->key_len, NULL);
    }
    if (e->kind == TIDE_EVENT_PUT) {
        json_out_bytes(j, "value", e->value, e->value_size, "encoding");
    }
    if (e->ttl_ns != UINT64_MAX) {
        json_out_u64(j, "ttl_ns", e->ttl_ns);
    }
    if (e->revision != 0) {
        json_out_u64(j, "revision", e->revision);
    }
    if (tide_watch_token(w->w, &token) == 0) {
        json_out_text(j, "token", cli_token_text(&token, text));
    }
    json_out_close(j, '}');
    json_out_end_line(j);
    json_out_flush(j, stdout);
}

/* The next event; what was printed before leaves while there is none. */
static int watch_next_event(const struct watch *w, struct tide_event *e) {
    int rc = tide_watch_next(w->w, e, 0);
    if (rc != TIDE_ERR_TIMEOUT || stdio_flush() != 0) {
        return rc;
    }
    while ((rc = tide_watch_next(w->w, e, SLICE_NS)) == TIDE_ERR_TIMEOUT && !atomic_load(&stopped)) {
    }
    return rc;
}

static int watch_lost(const struct watch *w) {
    struct tide_token oldest;
    struct json_out j = { 0 };
    char text[CLI_TOKEN_BYTES] = "";
    json_out_open(&j, NULL, '{');
    if (tide_watch_oldest(w->w, &oldest) == 0) {
        json_out_text(&j, "oldest", cli_token_text(&oldest, text));
    }
    int code =
        cli_fail_with(&w->cli, TIDE_ERR_LOST, &j, "the log of %s was overwritten there", w->cli.name);
    if (text[0] != '\0') {
        args_sayf(w->cli.tool, "begin anew with --initial, or with what is left: --from %s", text);
    }
    return code;
}

static int watch_run(struct watch *w) {
    struct tide_event e = TIDE_EVENT_INIT;
    struct json_out j = { 0 };
    int rc = 0;
    for (uint64_t n = 0; n < w->count && rc == 0 && !ferror(stdout); n++) {
        if (n % EVENTS_BETWEEN_LOOKS == 0 && atomic_load(&stopped)) {
            break;
        }
        rc = watch_next_event(w, &e);
        if (rc != 0) {
            break;
        }
        if (w->cli.json) {
            watch_print_json(w, &j, &e);
        } else {
            watch_print_text(&e);
        }
    }
    json_out_free(&j);
    bool ended = rc == 0 || (rc == TIDE_ERR_TIMEOUT && (atomic_load(&stopped) || ferror(stdout)));
    return ended                 ? TOOL_OK
           : rc == TIDE_ERR_LOST ? watch_lost(w)
                                 : cli_fail(&w->cli, rc, "cannot watch %s", w->cli.name);
}

int tool_watch(int argc, char **argv) {
    struct watch w = { .cli = { .tool = argv[0], .watches = 1 }, .opts = TIDE_WATCH_OPTS_INIT, .count = UINT64_MAX };
    struct tide_opts opts = TIDE_OPTS_INIT;
    int code = watch_read_options(argc, argv, &w);
    opts.flags = 0;
    if (code != 0 || (code = cli_open(&w.cli, &opts)) != 0) {
        return code;
    }
    signals_catch(watch_on_signal, 0);
    int rc = tide_watch_open(w.cli.domain, &w.opts, &w.w);
    code = rc == 0 ? watch_run(&w) : cli_fail(&w.cli, rc, "cannot watch %s", w.cli.name);
    if (rc == 0) {
        tide_watch_close(w.w);
    }
    return cli_end(&w.cli, code);
}
