/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 32u
#define RATE_MOST 1000000000u

static int set_replicas(void *out, const char *v) {
    struct bench_options *o = out;
    return bench_parse_list(v, o->replicas, &o->points);
}

static int set_theta(void *out, const char *v) {
    struct bench_options *o = out;
    char *end = NULL;
    double theta = strtod(v, &end);
    if (end == v || *end != '\0' || !(theta > 0.0 && theta < 1.0)) {
        return -1;
    }
    o->theta = theta;
    o->dist = BENCH_ZIPFIAN;
    return 0;
}

static int set_write_rate(void *out, const char *v) {
    uint64_t rate = 0;
    int max = strcmp(v, "max") == 0;
    if (!max && (bench_parse_count(v, &rate) != 0 || rate > RATE_MOST)) {
        return -1;
    }
    *(double *)out = max ? BENCH_RATE_MAX : (double)rate;
    return 0;
}

static int set_max_lag(void *out, const char *v) {
    if (strcmp(v, "none") == 0) {
        *(uint64_t *)out = TIDE_UNBOUNDED;
        return 0;
    }
    return bench_parse_count(v, out);
}

static int set_no_pin(void *out, const char *v) {
    (void)v;
    *(int *)out = 0;
    return 0;
}

static int set_ring(void *out, const char *v) {
    uint64_t n = 0;
    if (bench_parse_count(v, &n) != 0 || n < UINT64_C(64) << 10 || n > UINT64_C(4) << 30 || (n & (n - 1)) != 0) {
        return -1;
    }
    *(uint64_t *)out = n;
    return 0;
}

static int set_name(void *out, const char *v) {
    size_t n = strlen(v);
    *(const char **)out = v;
    size_t fine = strspn(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.");
    return n >= 1 && n <= TIDE_NAME_MAX && v[0] != '.' && fine == n ? 0 : -1;
}

/* The table for one set of options. Returns how many. */
static uint32_t list_args(struct bench_options *o, struct bench_arg out[ARGS_MAX]) {
    static const char *const modes[] = { "threads", "processes", NULL }, *const reads[] = { "own", "foreign", NULL };
    static const char *const dists[] = { "uniform", "zipfian", NULL }, *const reaches[] = { "all", "home", NULL };
    static const char *const fallbacks[] = { "leader", "wait", "error", "stale", NULL };
    static const char *const policies[] = { "sticky", "round-robin", "freshest", NULL };
    const struct bench_arg args[] = {
        { "replicas", "LIST", BENCH_ARG_OWN, o, "rising numbers from 1 to 64, such as 1,2,4",
          "replica counts to measure; the leader is the first of them, the others\n"
          "follow, and every one has readers. Default: 1, 2, 4, ... up to the CPUs\n"
          "and one step beyond",
          0, 0, NULL, set_replicas },
        { "readers", "N", BENCH_ARG_COUNT32, &o->readers, "a number from 1 to 256",
          "reader threads for each replica. Default 1", 1, 256, NULL, NULL },
        { "mode", "M", BENCH_ARG_WORD, &o->processes, "threads or processes",
          "threads: all replicas and readers in one process (default); processes:\neach replica in a process of its "
          "own",
          0, 0, modes, NULL },
        { "read", "R", BENCH_ARG_WORD, &o->read_foreign, "own or foreign",
          "with --mode processes: own: the readers of a replica run in its process\n"
          "(default); foreign: in a process without a replica, which maps it",
          0, 0, reads, NULL },
        { "keys", "N", BENCH_ARG_COUNT, &o->keys, "a number from 1 to 1G, such as 10k",
          "keys in the domain. Default 10k", 1, 1000000000, NULL, NULL },
        { "key-size", "BYTES", BENCH_ARG_COUNT32, &o->key_size, "a number from 1 to 65535", "Default 16", 1,
          TIDE_KEY_MAX, NULL, NULL },
        { "value-size", "BYTES", BENCH_ARG_COUNT, &o->value_size, "a number up to 1Gi", "Default 64", 0,
          UINT64_C(1) << 30, NULL, NULL },
        { "distribution", "D", BENCH_ARG_WORD, &o->dist, "uniform or zipfian",
          "which keys are read and written: uniform (default) or zipfian", 0, 0, dists, NULL },
        { "theta", "T", BENCH_ARG_OWN, o, "a number between 0 and 1, such as 0.99",
          "skew of zipfian, which it implies. Default 0.99", 0, 0, NULL, set_theta },
        { "write-rate", "RATE", BENCH_ARG_OWN, &o->write_rate, "a number of writes per second, or max",
          "writes per second, by one thread; 0: none; max. Default 1k", 0, 0, NULL, set_write_rate },
        { "bound", "TIME", BENCH_ARG_TIME, &o->max_staleness_ns, "a time with its unit, such as 50ms, or 0, or none",
          "maximum staleness; 0: linearizable; none: any. Default 200ms", 0, UINT64_MAX, NULL, NULL },
        { "max-lag", "N", BENCH_ARG_OWN, &o->max_lag, "a number of entries, or none",
          "maximum lag in entries. Default none", 0, 0, NULL, set_max_lag },
        { "fallback", "F", BENCH_ARG_WORD, &o->fallback, "leader, wait, error or stale",
          "when no replica keeps the bound: leader (default), wait, error, stale", 0, 0, fallbacks, NULL },
        { "wait", "TIME", BENCH_ARG_TIME, &o->wait_ns, "a time with its unit up to 10s, such as 5ms",
          "longest wait of fallbacks leader and wait. Default 0; with wait: 100ms", 0, UINT64_C(10000000000), NULL,
          NULL },
        { "delay", "TIME", BENCH_ARG_TIME, &o->apply_delay_ns, "a time with its unit up to 60s, such as 18ms",
          "apply delay of the followers. Default 0", 0, UINT64_C(60000000000), NULL, NULL },
        { "policy", "P", BENCH_ARG_WORD, &o->policy, "sticky, round-robin or freshest",
          "how a reader picks: sticky on its home replica (default), round-robin,\nfreshest", 0, 0, policies, NULL },
        { "reach", "R", BENCH_ARG_WORD, &o->reach_home, "all or home",
          "all: a reader may turn to every replica (default); home: to its own only,\n"
          "and to the leader by fallback",
          0, 0, reaches, NULL },
        { "open-loop", "RATE", BENCH_ARG_RATE, &o->open_rate, "a number of reads per second, such as 200k",
          "all readers together start reads at this fixed rate, and latency counts\n"
          "from the instant a read was due. Default: closed loop",
          1, RATE_MOST, NULL, NULL },
        { "duration", "TIME", BENCH_ARG_TIME, &o->duration_ns, "a time with its unit from 10ms to 3600s, such as 2s",
          "reading time of one repetition. Default: a sweep of about a minute", 10000000, UINT64_C(3600000000000), NULL,
          NULL },
        { "repetitions", "N", BENCH_ARG_COUNT32, &o->repetitions, "a number from 1 to 1000", "Default 5", 1,
          BENCH_REPETITIONS_MAX, NULL, NULL },
        { "sample", "K", BENCH_ARG_COUNT32, &o->sample, "a number up to 1000000",
          "closed loop: time every K-th read; 0: none. Default 64", 0, 1000000, NULL, NULL },
        { "no-pin", NULL, BENCH_ARG_OWN, &o->pin, "nothing", "do not pin reader threads to CPUs", 0, 0, NULL,
          set_no_pin },
        { "seed", "N", BENCH_ARG_COUNT, &o->seed, "a number", "of the key sequences. Default 1", 0, UINT64_MAX, NULL,
          NULL },
        { "ring", "BYTES", BENCH_ARG_OWN, &o->ring_bytes, "a power of two from 64Ki to 4Gi",
          "size of the log ring. Default: the engine's", 0, 0, NULL, set_ring },
        { "table", "BYTES", BENCH_ARG_COUNT, &o->table_bytes, "a number from 1Mi to 60Gi",
          "budget of each replica's table. Default: from keys and sizes", UINT64_C(1) << 20, UINT64_C(60) << 30, NULL,
          NULL },
        { "name", "NAME", BENCH_ARG_OWN, &o->name, "1 to 48 of A-Z a-z 0-9 _ - and dots, no dot first",
          "of the domain, for tide dump. Default readscale-PID", 0, 0, NULL, set_name },
        { "json", "FILE", BENCH_ARG_TEXT, &o->json_path, "a file name",
          "write the result as JSON (docs/bench.md); - is stdout, without the table", 0, 0, NULL, NULL },
        { "out", "DIR", BENCH_ARG_TEXT, &o->out_dir, "a directory name",
          "write report.html, result.json, and .hgrm and .hlog files", 0, 0, NULL, NULL },
    };
    _Static_assert(sizeof(args) / sizeof(args[0]) <= ARGS_MAX, "room for all");
    memcpy(out, args, sizeof(args));
    return sizeof(args) / sizeof(args[0]);
}

static struct bench_command command_of(const struct bench_arg *args, uint32_t n) {
    return (struct bench_command){
        .name = "readscale",
        .usage = "[options]",
        .about = "Measures read throughput against the number of replicas, in one process or in several.\n"
                 "N replicas are one leader and N - 1 followers; all N serve reads.\n",
        .after = "Times take ns, us, ms, s, m.\n"
                 "Exit codes: 0 measured; 1 the engine or a file failed; 2 bad arguments;\n"
                 "130 interrupted (repetitions that were complete are printed and written).\n"
                 "What every column means: docs/bench.md\n",
        .args = args,
        .args_n = n,
    };
}

static void defaults(struct bench_options *o, uint32_t cpus) {
    *o = (struct bench_options){
        .readers = 1,
        .keys = 10000,
        .key_size = 16,
        .value_size = 64,
        .theta = 0.99,
        .write_rate = 1000.0,
        .max_staleness_ns = 200000000,
        .max_lag = TIDE_UNBOUNDED,
        .wait_ns = TIDE_UNBOUNDED, /* not given: settled by finish() */
        .repetitions = 5,
        .sample = 64,
        .pin = 1,
        .seed = 1,
    };
    o->points = bench_options_default_sweep(cpus, o->replicas);
}

__attribute__((format(printf, 2, 3))) static enum bench_parsed fail(char *error, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(error, BENCH_ERROR_BYTES, format, args);
    va_end(args);
    return BENCH_PARSED_ERROR;
}

static enum bench_parsed finish(struct bench_options *o, char *error) {
    if (o->wait_ns == TIDE_UNBOUNDED) {
        o->wait_ns = o->fallback == TIDE_FALLBACK_WAIT ? 100000000 : 0;
    }
    if (o->key_size < 8 && o->keys > (UINT64_C(1) << (8 * o->key_size))) {
        return fail(error, "--keys %llu: so many do not differ in %u bytes; give a larger --key-size",
                    (unsigned long long)o->keys, o->key_size);
    }
    if (o->json_path != NULL && o->out_dir != NULL && strcmp(o->json_path, "-") == 0) {
        return fail(error, "--json - and --out both use stdout; give --json a file name");
    }
    if (o->read_foreign && !o->processes) {
        return fail(error,
                    "--read foreign: with threads all replicas are the readers' own; give --mode processes as well");
    }
    if (o->read_foreign && o->replicas[o->points - 1] > BENCH_FOREIGN_MAX) {
        return fail(error, "--replicas %u: with --read foreign up to %u, as a domain has room for 128 processes",
                    o->replicas[o->points - 1], BENCH_FOREIGN_MAX);
    }
    if (o->duration_ns == 0) {
        o->duration_ns = bench_options_auto_duration(o->points, o->repetitions);
    }
    return BENCH_PARSED_RUN;
}

enum bench_parsed bench_options_parse(struct bench_options *o, int argc, char **argv, uint32_t cpus, char *error) {
    struct bench_arg args[ARGS_MAX];
    defaults(o, cpus);
    struct bench_command c = command_of(args, list_args(o, args));
    enum bench_parsed parsed = bench_args_parse(&c, argc, argv, error);
    return parsed == BENCH_PARSED_RUN ? finish(o, error) : parsed;
}

void bench_options_help(void) {
    struct bench_options o;
    struct bench_arg args[ARGS_MAX];
    struct bench_command c = command_of(args, list_args(&o, args));
    bench_args_help(&c);
}

uint32_t bench_options_default_sweep(uint32_t cpus, uint32_t out[BENCH_POINTS_MAX]) {
    uint32_t n = 0;
    for (uint32_t r = 1; r <= TIDE_REPLICAS; r *= 2) {
        out[n++] = r;
        if (r > cpus) {
            break;
        }
    }
    return n;
}

uint64_t bench_options_auto_duration(uint32_t points, uint32_t repetitions) {
    /* 60 s less a tenth for set-up; of each repetition four fifths are reading, one fifth the control loop. */
    double ns = 60e9 * 0.9 * 0.8 / ((double)points * repetitions);
    return (uint64_t)(ns < 200e6 ? 200e6 : ns > 5e9 ? 5e9 : ns);
}
