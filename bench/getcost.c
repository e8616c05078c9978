/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does one tide_get cost beside an unsynchronised table? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/cost.h"
#include "bench/lib/grid.h"
#include "bench/lib/machine.h"
#include "bench/lib/options.h"
#include "bench/lib/result.h"
#include "bench/lib/stop.h"

#define BAR 2.0
#define BAR_OTHER 1.3 /* of a get from another process, to one in process; told, not enforced */
#define COUNTS_MAX 8u

struct settings {
    uint64_t keys[COUNTS_MAX];
    uint32_t counts;
    uint32_t repetitions;
    int check;
    const char *json_path;
};

static void help(void) {
    printf("Usage: getcost [options]\n\n"
           "Measures tide_get (bound check, session, copy) against an unsynchronised open-addressing\n"
           "table: 16-byte keys, 64-byte values, uniform over existing keys, one thread, slices in turn.\n\n"
           "  --keys LIST         key counts, such as 10k,1M. Default 10k,1M\n"
           "  --repetitions N     1 to 1000. Default 7\n"
           "  --json FILE         write the result as JSON (docs/bench.md); - is stdout, without the table\n"
           "  --check             exit with 3 when the first count's get, bound 0, is above %.1fx the plain table\n"
           "  --help              this text\n\n"
           "Exit codes: 0 measured; 1 the engine or a file failed; 2 bad arguments; 3 see --check;\n"
           "130 interrupted.\n",
           BAR);
}

static int parse_counts(struct settings *s, const char *text) {
    char copy[256];
    if (strlen(text) >= sizeof(copy)) {
        return -1;
    }
    strcpy(copy, text);
    s->counts = 0;
    char *save = NULL;
    for (char *word = strtok_r(copy, ",", &save); word != NULL; word = strtok_r(NULL, ",", &save)) {
        uint64_t n = 0;
        if (s->counts == COUNTS_MAX || bench_parse_count(word, &n) != 0 || n < 1 || n > 1000000000) {
            return -1;
        }
        s->keys[s->counts++] = n;
    }
    return s->counts > 0 ? 0 : -1;
}

static int usage(const char *text, const char *arg) {
    fprintf(stderr, "getcost: %s '%.100s'; --help lists all arguments\n", text, arg);
    return BENCH_EXIT_USAGE;
}

/* 0: go on; -1: help was shown; else an exit code. */
static int parse(struct settings *s, int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            help();
            return -1;
        }
        if (strcmp(arg, "--check") == 0) {
            s->check = 1;
            continue;
        }
        if (strcmp(arg, "--keys") != 0 && strcmp(arg, "--repetitions") != 0 && strcmp(arg, "--json") != 0) {
            return usage("unknown argument", arg);
        }
        if (i + 1 == argc) {
            return usage("a value is missing after", arg);
        }
        const char *value = argv[++i];
        uint64_t n = 0;
        if (strcmp(arg, "--keys") == 0) {
            if (parse_counts(s, value) != 0) {
                return usage("--keys wants up to 8 counts such as 10k,1M, not", value);
            }
        } else if (strcmp(arg, "--json") == 0) {
            s->json_path = value;
        } else if (bench_parse_count(value, &n) != 0 || n < 1 || n > BENCH_REPETITIONS_MAX) {
            return usage("--repetitions wants a number from 1 to 1000, not", value);
        } else {
            s->repetitions = (uint32_t)n;
        }
    }
    return 0;
}

static void show_progress(uint64_t keys, uint32_t done, uint32_t total) {
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    fputs("\r\033[K", stderr);
    if (done < total) {
        fprintf(stderr, "%llu keys: repetition %u of %u", (unsigned long long)keys, done + 1, total);
    }
    fflush(stderr);
}

static void print_one(const struct bench_cost *c) {
    static struct bench_grid g;
    memset(&g, 0, sizeof(g));
    snprintf(g.title, sizeof(g.title), "%llu keys of 16 bytes, values of 64: ns for one get",
             (unsigned long long)c->keys);
    static const char *const heads[] = { "what", "ns", "min..max", "to plain", "min..max", "net of loop" };
    for (unsigned i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        bench_grid_head(&g, heads[i]);
    }
    for (int row = 0; row < BENCH_COST_ROWS; row++) {
        const struct bench_cost_figure *f = &c->rows[row];
        bench_grid_cell(&g, 0, "%s", bench_cost_title((enum bench_cost_row)row));
        bench_grid_cell(&g, 1, "%.1f", f->ns.median);
        bench_grid_cell(&g, 2, "%.1f..%.1f", f->ns.min, f->ns.max);
        if (row != BENCH_COST_LOOP && (int)bench_cost_peer((enum bench_cost_row)row) != row) {
            bench_grid_cell(&g, 3, "%.2fx", f->to_plain.median);
            bench_grid_cell(&g, 4, "%.2f..%.2f", f->to_plain.min, f->to_plain.max);
            bench_grid_cell(&g, 5, "%.2fx", f->net_to_plain);
        }
        g.rows++;
    }
    snprintf(
        g.note, sizeof(g.note),
        "to plain: against the plain table with sizes compiled in (mget: 32 prefetched; another process: tide_get, "
        "bound 0), in the same repetition.\n"
        "Loads of the plain table: %.2f and %.2f. behind: %.1f %% of those reads found the follower behind and "
        "read the clock.",
        c->plain_load, c->dense_load, 100.0 * c->within_bound_share);
    bench_grid_print(stdout, &g);
}

static void print_all(const struct bench_cost *costs, uint32_t n, const struct bench_machine *m) {
    char line[512];
    bench_machine_line(line, sizeof(line), m);
    printf("%s\n", line);
    for (uint32_t i = 0; i < n; i++) {
        print_one(&costs[i]);
    }
    double ratio = costs[0].rows[BENCH_COST_GET].to_plain.median;
    printf("\n%llu keys: a get with bound check, session and copy costs %.1f ns, the plain table %.1f: %.2fx; the bar "
           "is %.1fx: "
           "%s\n",
           (unsigned long long)costs[0].keys, costs[0].rows[BENCH_COST_GET].ns.median,
           costs[0].rows[BENCH_COST_PLAIN_FIXED].ns.median, ratio, BAR, ratio <= BAR ? "kept" : "MISSED");
    for (uint32_t i = 0; i < n; i++) {
        const struct bench_cost_figure *other = &costs[i].rows[BENCH_COST_GET_OTHER];
        printf("%llu keys: a get from another process costs %.1f ns, %.2fx the get in process; the bar is %.1fx: %s\n",
               (unsigned long long)costs[i].keys, other->ns.median, other->to_plain.median, BAR_OTHER,
               other->to_plain.median <= BAR_OTHER ? "kept" : "missed");
    }
}

static cJSON *cost_json(const struct bench_cost *c) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "keys", (double)c->keys);
    cJSON_AddNumberToObject(o, "plain_load", c->plain_load);
    cJSON_AddNumberToObject(o, "dense_load", c->dense_load);
    cJSON_AddNumberToObject(o, "behind_share", c->within_bound_share);
    cJSON *rows = cJSON_AddObjectToObject(o, "rows");
    for (int row = 0; row < BENCH_COST_ROWS; row++) {
        cJSON *r = cJSON_AddObjectToObject(rows, bench_cost_name((enum bench_cost_row)row));
        cJSON_AddItemToObject(r, "ns", bench_spread_json(&c->rows[row].ns));
        cJSON_AddStringToObject(r, "peer", bench_cost_name(bench_cost_peer((enum bench_cost_row)row)));
        cJSON_AddItemToObject(r, "to_peer", bench_spread_json(&c->rows[row].to_plain));
        cJSON_AddNumberToObject(r, "net_to_peer", c->rows[row].net_to_plain);
    }
    return o;
}

static int write_json(const struct bench_cost *costs, const struct settings *s, uint32_t n,
                      const struct bench_machine *m) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "schema", "tidemark.getcost");
    cJSON_AddNumberToObject(o, "schema_version", BENCH_SCHEMA_VERSION);
    cJSON_AddItemToObject(o, "machine", bench_machine_json(m));
    cJSON_AddNumberToObject(o, "repetitions", s->repetitions);
    cJSON_AddNumberToObject(o, "bar", BAR);
    cJSON_AddBoolToObject(o, "kept", costs[0].rows[BENCH_COST_GET].to_plain.median <= BAR);
    cJSON_AddNumberToObject(o, "bar_other", BAR_OTHER);
    cJSON *counts = cJSON_AddArrayToObject(o, "counts");
    for (uint32_t i = 0; i < n; i++) {
        cJSON_AddItemToArray(counts, cost_json(&costs[i]));
    }
    int rc = bench_json_write(o, s->json_path);
    cJSON_Delete(o);
    if (rc != 0) {
        fprintf(stderr, "getcost: writing %s: %s\n", s->json_path, strerror(errno));
    }
    return rc;
}

int main(int argc, char **argv) {
    static struct bench_machine machine;
    static struct bench_cost costs[COUNTS_MAX];
    struct settings s = { .keys = { 10000, 1000000 }, .counts = 2, .repetitions = 7 };
    char error[BENCH_ERROR_BYTES] = "";
    int parsed = parse(&s, argc, argv);
    if (parsed != 0) {
        return parsed < 0 ? BENCH_EXIT_OK : parsed;
    }
    bench_machine_read(&machine);
    bench_stop_catch();
    for (uint32_t i = 0; i < s.counts; i++) {
        int rc = bench_cost_run(&costs[i], s.keys[i], s.repetitions, &machine, &bench_stop, show_progress, error);
        if (rc < 0) {
            fprintf(stderr, "getcost: %s\n", error);
            return BENCH_EXIT_FAILED;
        }
        if (rc > 0) {
            fprintf(stderr, "getcost: interrupted before the end; nothing to show\n");
            return BENCH_EXIT_INTERRUPTED;
        }
    }
    if (s.json_path == NULL || strcmp(s.json_path, "-") != 0) {
        print_all(costs, s.counts, &machine);
    }
    if (s.json_path != NULL && write_json(costs, &s, s.counts, &machine) != 0) {
        return BENCH_EXIT_FAILED;
    }
    return s.check && costs[0].rows[BENCH_COST_GET].to_plain.median > BAR ? BENCH_EXIT_BAR : BENCH_EXIT_OK;
}
