/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide stat`: how a domain is doing. */
#include "tools/stat.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/tools.h"

#define HOUR_NS (3600ull * 1000000000)

static const char HELP[] =
    "Usage: tide stat NAME [OPTION]...\n"
    "Show who leads, every replica with its role, state, process, applied index, lag and staleness, how long\n"
    "replication took (of the last 10 seconds), and what reads were served by which reason.\n\n"
    "  --watch TIME          again every TIME, until SIGINT or the domain ends\n"
    "  --count N             with --watch: N times\n"
    "  --json                one JSON object (a line for each look); metrics have the names of docs/design.md\n"
    "  --help                this text\n\n"
    "STATE: serving; joining (copies and catches up); lapped (left behind by the log, joins anew by itself); orphan\n"
    "(left by the dead, for a warm start); diverged, failed (serves nothing: restart it); dead (its process is gone,\n"
    "nobody has cleared up yet: 'tide gc'); claimed. Stopped ones are in the JSON.\n"
    "JOINS: copies made of another replica. USED: of the table's budget, with the buckets.\n"
    "Exit codes: 0 shown; 2 usage; 3 no such domain; 7 anything else.\n";

struct options {
    struct cli cli;
    uint64_t watch_ns, count;
};

static int set_option(void *ctx, int option, char *arg) {
    struct options *o = ctx;
    switch (option) {
    case 'c':
        return args_u64(arg, 1, UINT64_MAX, &o->count) == 0
                   ? 0
                   : args_error(o->cli.tool, "--count must be a number from 1 on: %s", arg);
    case 'w':
        return args_duration(arg, &o->watch_ns) == 0 && o->watch_ns >= 1000000 && o->watch_ns <= HOUR_NS
                   ? 0
                   : args_error(o->cli.tool, "--watch must be a time from 1ms to 1h: %s", arg);
    default:
        o->cli.json = 1;
        return 0;
    }
}

static int read_options(int argc, char **argv, struct options *o) {
    static const struct option LIST[] = {
        { "watch", required_argument, NULL, 'w' },
        { "count", required_argument, NULL, 'c' },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, set_option };
    int code = args_options(&options, argc, argv, o);
    if (code != 0)
        return code;
    if (o->count != 0 && o->watch_ns == 0)
        return args_error(argv[0], "--count goes with --watch");
    return cli_arguments(&o->cli, argc, argv, 0, 0, "");
}

static void sum_reads(struct stat_look *s) {
    uint64_t all = 0, fell_back = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++)
        for (uint32_t r = 0; r < TIDE_REASONS; r++)
            s->by_reason[r] += s->peek.reads[i][r];
    for (uint32_t r = 0; r < TIDE_REASONS; r++) {
        all += s->by_reason[r];
        fell_back += r >= TIDE_REASON_REDIRECTED ? s->by_reason[r] : 0;
    }
    s->fallback_ratio = all ? (double)fell_back / (double)all : 0;
}

static int look(struct cli *c, struct stat_look *s) {
    *s = (struct stat_look){ .info = TIDE_INFO_INIT };
    int rc = tide_info(c->domain, &s->info);
    if (rc != 0)
        return cli_fail(c, rc, "%s", c->name);
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        s->replicas[s->n] = (struct tide_replica_info)TIDE_REPLICA_INFO_INIT;
        s->n += tide_replica_info(c->domain, i, &s->replicas[s->n]) == 0;
    }
    if (peek_domain(c->name, &s->peek) != 0 || s->peek.incarnation != s->info.incarnation)
        return cli_fail(c, TIDE_ERR_GONE, "%s", c->name);
    sum_reads(s);
    if (s->info.ring_bytes != 0)
        s->ring_used_ratio = (double)s->info.ring_used_bytes / (double)s->info.ring_bytes;
    return 0;
}

static int show(struct options *o, struct stat_look *s) {
    int clears = o->watch_ns != 0 && !o->cli.json && isatty(STDOUT_FILENO);
    for (uint64_t n = 1;; n++) {
        int code = look(&o->cli, s);
        if (code != 0)
            return code;
        if (clears)
            fputs("\033[H\033[J", stdout);
        else if (n > 1 && !o->cli.json)
            putchar('\n');
        if (o->cli.json)
            stat_print_json(s);
        else
            stat_print_text(s);
        if (fflush(stdout) != 0 || o->watch_ns == 0 || n == o->count || cli_sleep(o->watch_ns))
            return TOOL_OK;
    }
}

int tool_stat(int argc, char **argv) {
    struct options o = { .cli = { .tool = argv[0] } };
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct stat_look *s;
    int code = read_options(argc, argv, &o);
    opts.flags = 0;
    if (code != 0)
        return code;
    if (o.watch_ns != 0)
        cli_catch_signals();
    if ((code = cli_open(&o.cli, &opts)) != 0)
        return code;
    s = malloc(sizeof(*s));
    code = s ? show(&o, s) : cli_fail(&o.cli, TIDE_ERR_NOMEM, "%s", o.cli.name);
    free(s);
    return cli_end(&o.cli, code);
}
