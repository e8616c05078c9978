/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide demo`: options, and the result as a table or as JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tidemark.h"
#include "tools/lib/args.h"
#include "tools/lib/json_out.h"
#include "tools/lib/stdio.h"
#include "tools/demo.h"
#include "tools/demo_upstream.h"
#include "tools/tools.h"

#define MS 1000000ull

#define TOOL "tide demo"

static const char HELP[] =
    "Usage: tide demo [OPTION]...\n"
    "Run a leader, a steady writer, readers with a bound on staleness, and followers that apply each entry some time\n"
    "after its commit, as if they were far away. Shows for each bound which share of the reads each follower serves,\n"
    "which share falls back to the leader, how stale the answers were, and the follower's own replication lag.\n\n"
    "  --seconds N           how long to measure (default 4)\n"
    "  --delay TIME,...      apply delays of the followers, up to 8 (default 18ms,78ms; the leader has none)\n"
    "  --bounds TIME,...     bounds, up to 16 (default 10ms,50ms,100ms,200ms)\n"
    "  --write-every TIME    time between two writes (default 5ms)\n"
    "  --upstream            instead: etcd and three hosts that take their log from it, on this machine; one of them "
    "loses\n"
    "                        its link for the middle third of the time: its staleness grows, bounds are refused, and "
    "it\n"
    "                        catches up. With --seconds (default 12) and --json (an object a line)\n"
    "  --json                the result as one JSON object\n"
    "  --help                print this text\n\n"
    "TIME: 18us, 200ms, 1.5s. Exit codes: 0 done; 2 a bad option; 7 anything else.\n";

/* A list of times, each from min to max. How many, or 0 where something is wrong. */
static size_t demo_read_times(const char *list, uint64_t min_ns, uint64_t max_ns, uint64_t *out, size_t room) {
    size_t n = 0;
    for (const char *at = list;; at++) {
        char text[32];
        size_t len = strcspn(at, ",");
        if (n == room || len >= sizeof(text)) {
            return 0;
        }
        memcpy(text, at, len);
        text[len] = '\0';
        if (args_duration(text, &out[n]) != 0 || out[n] < min_ns || out[n] > max_ns) {
            return 0;
        }
        n++;
        at += len;
        if (*at == '\0') {
            return n;
        }
    }
}

static int demo_read_seconds(const char *text, uint64_t *out_ns) {
    char with_unit[32];
    int len = snprintf(with_unit, sizeof(with_unit), "%ss", text);
    if (len >= (int)sizeof(with_unit) || args_duration(with_unit, out_ns) != 0) {
        return -1;
    }
    return *out_ns >= 10 * MS && *out_ns <= 3600 * 1000 * MS ? 0 : -1;
}

static int demo_set_option(void *ctx, int option, char *arg) {
    struct demo_opts *o = ctx;
    switch (option) {
    case 's':
        return demo_read_seconds(arg, &o->duration_ns) == 0
                   ? 0
                   : args_error(TOOL, "--seconds must be 0.01 to 3600: %s", arg);
    case 'd':
        o->n_followers = demo_read_times(arg, 0, 10000 * MS, o->delays_ns, DEMO_FOLLOWERS_MAX);
        return o->n_followers ? 0 : args_error(TOOL, "--delay must be 1 to 8 times up to 10s, like 18ms,78ms: %s", arg);
    case 'b':
        o->n_bounds = demo_read_times(arg, 1, 3600 * 1000 * MS, o->bounds_ns, DEMO_BOUNDS_MAX);
        return o->n_bounds ? 0 : args_error(TOOL, "--bounds must be 1 to 16 times above 0, like 10ms,50ms: %s", arg);
    case 'w':
        if (demo_read_times(arg, 1000, 60 * 1000 * MS, &o->write_every_ns, 1) == 1) {
            return 0;
        }
        return args_error(TOOL, "--write-every must be a time from 1us to 60s: %s", arg);
    case 'u':
        o->upstream = 1;
        return 0;
    case 'j':
        o->json = 1;
        return 0;
    default:
        return 0;
    }
}

static int demo_read_options(int argc, char **argv, struct demo_opts *o) {
    static const struct option LIST[] = {
        { "seconds", required_argument, NULL, 's' }, { "delay", required_argument, NULL, 'd' },
        { "bounds", required_argument, NULL, 'b' },  { "write-every", required_argument, NULL, 'w' },
        { "upstream", no_argument, NULL, 'u' },      ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, demo_set_option };
    int code = args_options(&options, argc, argv, o);
    return code == 0 && optind < argc ? args_error(argv[0], "unexpected argument: %s", argv[optind]) : code;
}

static double demo_share(uint64_t part, uint64_t whole) {
    return whole ? (double)part / (double)whole : 0;
}

static double demo_in_ms(uint64_t ns) {
    return (double)ns / (double)MS;
}

/* ---- table ---- */

static void demo_print_head(const struct demo_opts *o, const struct demo_result *r) {
    char text[32];
    printf("%zu replicas: r0 leads", o->n_followers + 1);
    for (size_t i = 0; i < o->n_followers; i++) {
        printf(", r%zu applies %s after the commit", i + 1, args_duration_text(o->delays_ns[i], text, sizeof(text)));
    }
    printf(".\nA write every %s, ", args_duration_text(o->write_every_ns, text, sizeof(text)));
    printf("%llu writes; every read is a client of its own.\n\n", (unsigned long long)r->writes);
    printf("%-8s  %-9s  %8s  %10s  %14s  %14s  %12s\n", "bound", "follower", "served", "fell back", "staleness p50",
           "staleness p99", "own lag p99");
}

static void demo_print_ms(uint64_t ns, int known, int width, const char *mark) {
    char text[32];
    if (known) {
        snprintf(text, sizeof(text), "%.2f ms%s", demo_in_ms(ns), mark);
    } else {
        snprintf(text, sizeof(text), "-%s", mark);
    }
    printf("  %*s", width, text);
}

static void demo_print_row(const struct demo_result *r, const struct demo_row *row) {
    char bound[32], name[16] = "any";
    uint64_t lag_ns = row->replica ? r->followers[row->replica - 1].lag_p99_ns : 0;
    if (row->replica) {
        snprintf(name, sizeof(name), "r%u", row->replica);
    }
    printf("%-8s  %-9s  %6.1f %%  %8.1f %%", args_duration_text(row->bound_ns, bound, sizeof(bound)), name,
           100 * demo_share(row->served, row->reads), 100 * demo_share(row->reads - row->served, row->reads));
    demo_print_ms(demo_staleness(row, 50), row->served > 0, 14, "");
    demo_print_ms(demo_staleness(row, 99), row->served > 0, 14, "");
    demo_print_ms(lag_ns, row->replica != 0, 12, row->bound_ns < lag_ns ? "*" : "");
    putchar('\n');
}

static void demo_print_table(const struct demo_opts *o, const struct demo_result *r) {
    demo_print_head(o, r);
    for (size_t i = 0; i < r->n_rows; i++) {
        if (i > 0 && r->rows[i].bound_ns != r->rows[i - 1].bound_ns) {
            putchar('\n');
        }
        demo_print_row(r, &r->rows[i]);
    }
    puts("\n* Tighter than the follower's own p99 lag: no bound worth having, reads go to the leader.");
}

/* ---- JSON ---- */

static void demo_row_json(struct json_out *j, const struct demo_row *row) {
    json_out_open(j, NULL, '{');
    json_out_real(j, "bound_ms", demo_in_ms(row->bound_ns));
    if (row->replica) {
        json_out_u64(j, "replica", row->replica);
    } else {
        json_out_text(j, "replica", "any");
    }
    json_out_u64(j, "reads", row->reads);
    json_out_u64(j, "served", row->served);
    json_out_real(j, "served_share", demo_share(row->served, row->reads));
    json_out_real(j, "fallback_share", demo_share(row->reads - row->served, row->reads));
    if (row->served > 0) {
        json_out_real(j, "staleness_p50_ms", demo_in_ms(demo_staleness(row, 50)));
        json_out_real(j, "staleness_p99_ms", demo_in_ms(demo_staleness(row, 99)));
    } else {
        json_out_null(j, "staleness_p50_ms");
        json_out_null(j, "staleness_p99_ms");
    }
    json_out_close(j, '}');
}

static void demo_follower_json(struct json_out *j, size_t replica, uint64_t delay_ns, const struct demo_follower *f) {
    json_out_open(j, NULL, '{');
    json_out_u64(j, "replica", replica);
    json_out_real(j, "apply_delay_ms", demo_in_ms(delay_ns));
    json_out_real(j, "lag_p50_ms", demo_in_ms(f->lag_p50_ns));
    json_out_real(j, "lag_p99_ms", demo_in_ms(f->lag_p99_ns));
    json_out_close(j, '}');
}

static void demo_print_json(const struct demo_opts *o, const struct demo_result *r) {
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_open(&j, "followers", '[');
    for (size_t i = 0; i < o->n_followers; i++) {
        demo_follower_json(&j, i + 1, o->delays_ns[i], &r->followers[i]);
    }
    json_out_close(&j, ']');
    json_out_real(&j, "write_every_ms", demo_in_ms(o->write_every_ns));
    json_out_real(&j, "seconds", (double)o->duration_ns / 1e9);
    json_out_u64(&j, "writes", r->writes);
    json_out_open(&j, "rows", '[');
    for (size_t i = 0; i < r->n_rows; i++) {
        demo_row_json(&j, &r->rows[i]);
    }
    json_out_close(&j, ']');
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

int tool_demo(int argc, char **argv) {
    struct demo_opts opts = {
        .delays_ns = { 18 * MS, 78 * MS },
        .n_followers = 2,
        .bounds_ns = { 10 * MS, 50 * MS, 100 * MS, 200 * MS },
        .n_bounds = 4,
        .write_every_ns = 5 * MS,
    };
    struct demo_result result;
    int code = demo_read_options(argc, argv, &opts);
    if (code != 0) {
        return code;
    }
    if (opts.upstream) {
        return stdio_finish(argv[0],
                            demo_upstream(argv[0], opts.duration_ns ? opts.duration_ns : 12000 * MS, opts.json));
    }
    opts.duration_ns = opts.duration_ns ? opts.duration_ns : 4000 * MS;
    int rc = demo_run(&opts, &result);
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", argv[0], tide_strerror(rc));
    } else if (!opts.json) {
        demo_print_table(&opts, &result);
    } else {
        demo_print_json(&opts, &result);
    }
    demo_result_free(&result);
    return stdio_finish(argv[0], rc == 0 ? TOOL_OK : TOOL_FAILED);
}
