/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide stat`: how a domain is doing. */
#include "tools/stat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/lib/stdio.h"
#include "tools/tools.h"

#define HOUR_NS (3600ull * 1000000000)

static const char HELP[] =
    "Usage: tide stat NAME [OPTION]...\n"
    "Show the leader; each replica's role, state, process, applied index, lag and staleness; how long replication "
    "took\n"
    "in the last 10 seconds; and how many reads were served, by reason.\n\n"
    "  --watch TIME          look again every TIME, until SIGINT or until the domain is removed\n"
    "  --count N             with --watch: look N times\n"
    "  --wide                all columns: role, applied index, delay, p99.9, joins, laps. Else 80 columns\n"
    "  --json                print one JSON object for each look; docs/operations.md lists the names\n"
    "  --help                print this text\n\n"
    "STATE: leads (it serves, too); serving; joining (copies another replica and catches up); lapped (the log\n"
    "overtook it; it joins anew by itself); orphan (dead processes left it for a warm start); diverged, failed\n"
    "(serves nothing: restart its process);\n"
    "dead (its process is gone; 'tide gc' frees the slot); claimed (about to join). Only --json shows stopped "
    "replicas.\n"
    "LAG: entries that it lacks. STALE: how old its data is. P50, P99: how long entries of the last 10 s took to be\n"
    "applied. FULL: of its table. READS: that it served; with --watch READS/S. JOINS: how often it copied another.\n"
    "TABLE: the budget of its table, which is LIVE (keys and values), FREE (what puts may take yet), WAITING "
    "(replaced\n"
    "or deleted; free once no reader can have it any more) and OVERHEAD (buckets, headers, rounding, what is kept for\n"
    "moving). USED: of it, what is given out. KEYS AT MOST: so many keys the buckets have room for.\n"
    "sizes: keys by the bytes of key and value together, and the bytes of all of them.\n"
    "Exit codes: 0 shown; 2 usage; 3 no such domain; 7 anything else.\n";

struct options {
    struct cli cli;
    uint64_t watch_ns, count;
    bool wide;
};

static int stat_set_option(void *ctx, int option, char *arg) {
    struct options *o = ctx;
    switch (option) {
    case 'c':
        return args_u64(arg, 1, UINT64_MAX, &o->count) == 0
                   ? 0
                   : args_error(o->cli.tool, "--count must be a number from 1 on: %s", arg);
    case 'w':
        return args_take_duration(o->cli.tool, arg, 1000000, HOUR_NS, &o->watch_ns,
                                  "--watch must be a time from 1ms to 1h");
    case 'W':
        o->wide = true;
        return 0;
    default:
        o->cli.json = 1;
        return 0;
    }
}

static int stat_read_options(int argc, char **argv, struct options *o) {
    static const struct option LIST[] = {
        { "watch", required_argument, NULL, 'w' },
        { "count", required_argument, NULL, 'c' },
        { "wide", no_argument, NULL, 'W' },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, stat_set_option };
    int code = args_options(&options, argc, argv, o);
    if (code != 0) {
        return code;
    }
    if (o->count != 0 && o->watch_ns == 0) {
        return args_error(argv[0], "--count goes with --watch");
    }
    return cli_arguments(&o->cli, argc, argv, 0, 0, "");
}

static void stat_sum_reads(struct stat_look *s) {
    uint64_t all = 0, fell_back = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        for (uint32_t r = 0; r < TIDE_REASONS; r++) {
            s->by_reason[r] += s->peek.reads[i][r];
        }
    }
    for (uint32_t r = 0; r < TIDE_REASONS; r++) {
        all += s->by_reason[r];
        fell_back += r >= TIDE_REASON_REDIRECTED ? s->by_reason[r] : 0;
    }
    s->fallback_ratio = all ? (double)fell_back / (double)all : 0;
}

/* The library attaches only to replicas that serve. An orphan's table tells what it holds all the same. */
static void stat_add_orphan(const struct cli *c, const struct tide_info *info, struct tide_replica_info *r) {
    struct peek_table table;
    if (r->state != TIDE_STATE_ORPHAN || peek_table(c->name, r->id, info->incarnation, &table) != 0) {
        return;
    }
    r->keys = table.keys;
    r->table_bytes = table.table_bytes;
    r->table_used_bytes = table.used_bytes;
    r->table_live_bytes = table.usage.live;
    r->table_free_bytes = table.usage.free;
    r->table_waiting_bytes = table.usage.waiting;
    r->table_overhead_bytes = table.usage.overhead;
    r->table_keys_most = table.keys_most;
    memcpy(r->sizes, table.sizes, sizeof(r->sizes));
}

static uint64_t stat_served(const struct stat_look *s) {
    uint64_t n = 0;
    for (uint32_t r = 0; r < TIDE_REASON_REFUSED; r++) {
        n += s->by_reason[r];
    }
    return n;
}

/* What a look needs of the one before. */
struct before {
    uint64_t at_ns, writes, reads, hits, misses, expired, evicted; /* at_ns 0: there was none */
    uint64_t of_replica[TIDE_REPLICAS];                            /* reads that it served */
};

static double stat_rate(uint64_t now, uint64_t before, double seconds) {
    return now > before ? (double)(now - before) / seconds : 0;
}

static void stat_look_at_rates(struct cli *c, struct stat_look *s, struct before *b) {
    struct before now = { tide_now(c->domain), s->info.commit_index,  stat_served(s),        s->counts.hits,
                          s->counts.misses,    s->info.expired_total, s->info.evicted_total, { 0 } };
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        for (uint32_t r = 0; r < TIDE_REASON_REFUSED; r++) {
            now.of_replica[i] += s->peek.reads[i][r];
        }
    }
    if (b->at_ns != 0 && now.at_ns > b->at_ns) {
        s->seconds = (double)(now.at_ns - b->at_ns) / 1e9;
        s->writes_s = stat_rate(now.writes, b->writes, s->seconds);
        s->reads_s = stat_rate(now.reads, b->reads, s->seconds);
        s->hits_s = stat_rate(now.hits, b->hits, s->seconds);
        s->misses_s = stat_rate(now.misses, b->misses, s->seconds);
        s->expired_s = stat_rate(now.expired, b->expired, s->seconds);
        s->evicted_s = stat_rate(now.evicted, b->evicted, s->seconds);
        for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
            s->replica_reads_s[i] = stat_rate(now.of_replica[i], b->of_replica[i], s->seconds);
        }
        double looked_up = s->hits_s + s->misses_s;
        s->hit_ratio_now = looked_up > 0 ? s->hits_s / looked_up : -1;
    }
    *b = now;
}

/* Who lives. That the file cannot be looked at does not say that it is another one. */
static int stat_look_from_outside(const struct cli *c, struct stat_look *s) {
    int there = peek_domain(c->name, &s->peek) == 0;
    if (there && (s->peek.state == PEEK_CLOSED || s->peek.state == PEEK_DAMAGED)) {
        return cli_complain(c, TOOL_FAILED, "unreadable", "who uses %s cannot be seen: its log segment: %s", c->name,
                            s->peek.why);
    }
    if (!there || s->peek.incarnation != s->info.incarnation) {
        return cli_fail(c, TIDE_ERR_GONE, "%s", c->name);
    }
    return 0;
}

static int stat_look_here(struct cli *c, struct stat_look *s, struct before *before) {
    *s = (struct stat_look){ .info = TIDE_INFO_INIT, .counts = TIDE_READ_COUNTS_INIT };
    int rc = tide_info(c->domain, &s->info);
    if (rc != 0) {
        return cli_fail(c, rc, "%s", c->name);
    }
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        s->replicas[s->n] = (struct tide_replica_info)TIDE_REPLICA_INFO_INIT;
        if (tide_replica_info(c->domain, i, &s->replicas[s->n]) == 0) {
            stat_add_orphan(c, &s->info, &s->replicas[s->n++]);
        }
    }
    rc = stat_look_from_outside(c, s);
    if (rc != 0) {
        return rc;
    }
    stat_sum_reads(s);
    rc = tide_read_counts(c->domain, &s->counts);
    if (rc != 0) {
        return cli_fail(c, rc, "%s", c->name);
    }
    uint64_t keys = s->counts.hits + s->counts.misses;
    s->hit_ratio = keys != 0 ? (double)s->counts.hits / (double)keys : 0;
    stat_look_at_rates(c, s, before);
    if (s->info.ring_bytes != 0) {
        s->ring_used_ratio = (double)s->info.ring_used_bytes / (double)s->info.ring_bytes;
    }
    return 0;
}

static int stat_show(struct options *o, struct stat_look *s) {
    int clears = o->watch_ns != 0 && !o->cli.json && isatty(STDOUT_FILENO);
    struct before before = { 0 };
    for (uint64_t n = 1;; n++) {
        int code = stat_look_here(&o->cli, s, &before);
        if (code != 0) {
            return code;
        }
        s->wide = o->wide;
        if (clears) {
            fputs("\033[H\033[J", stdout);
        } else if (n > 1 && !o->cli.json) {
            putchar('\n');
        }
        if (o->cli.json) {
            stat_print_json(s);
        } else {
            stat_print_text(s);
        }
        if (stdio_flush() != 0 || o->watch_ns == 0 || n == o->count || cli_sleep(o->watch_ns)) {
            return TOOL_OK;
        }
    }
}

int tool_stat(int argc, char **argv) {
    struct options o = { .cli = { .tool = argv[0] } };
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct stat_look *s;
    int code = stat_read_options(argc, argv, &o);
    opts.flags = 0;
    if (code != 0) {
        return code;
    }
    if (o.watch_ns != 0) {
        cli_catch_signals();
    }
    if ((code = cli_open(&o.cli, &opts)) != 0) {
        return code;
    }
    s = malloc(sizeof(*s));
    code = s ? stat_show(&o, s) : cli_fail(&o.cli, TIDE_ERR_NOMEM, "%s", o.cli.name);
    free(s);
    return cli_end(&o.cli, code);
}
