/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const bench_modes[] = { "threads", "processes", NULL }, *const bench_reads[] = { "own", "foreign", NULL },
                  *const bench_dists[] = { "uniform", "zipfian", NULL },
                  *const bench_fallbacks[] = { "leader", "wait", "error", "stale", NULL },
                  *const bench_policies[] = { "sticky", "round-robin", "freshest", NULL },
                  *const bench_reaches[] = { "all", "home", NULL };

#define ARGS_MAX 32u
#define RATE_MOST 1000000000u

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
    const struct bench_arg args[] = {
        BENCH_ARG(COUNTS, "replicas", "LIST", &o->replicas,
                  "replica counts to measure; the leader is the first of them, the others\n"
                  "follow, and every one has readers. Default: 1, 2, 4, ... up to the CPUs\n"
                  "and one step beyond",
                  .wants = "rising numbers from 1 to 64, such as 1,2,4", .least = 1, .most = TIDE_REPLICAS),
        BENCH_ARG(COUNT32, "readers", "N", &o->readers, "reader threads for each replica. Default 1", .least = 1,
                  .most = 256),
        BENCH_ARG(WORD, "mode", "M", &o->processes,
                  "threads: all replicas and readers in one process (default); processes:\n"
                  "each replica in a process of its own",
                  .words = bench_modes),
        BENCH_ARG(WORD, "read", "R", &o->read_foreign,
                  "with --mode processes: own: the readers of a replica run in its process\n"
                  "(default); foreign: in a process without a replica, which maps it",
                  .words = bench_reads),
        BENCH_ARG(COUNT, "keys", "N", &o->keys, "keys in the domain. Default 10k",
                  .wants = "a number from 1 to 1G, such as 10k", .least = 1, .most = 1000000000),
        BENCH_ARG(COUNT32, "key-size", "BYTES", &o->key_size, "Default 16", .least = 1, .most = TIDE_KEY_MAX),
        BENCH_ARG(COUNT, "value-size", "BYTES", &o->value_size, "Default 64", .wants = "a number up to 1Gi",
                  .most = UINT64_C(1) << 30),
        BENCH_ARG(WORD, "distribution", "D", &o->dist, "which keys are read and written: uniform (default) or zipfian",
                  .words = bench_dists),
        BENCH_ARG(OWN, "theta", "T", o, "skew of zipfian, which it implies. Default 0.99",
                  .wants = "a number between 0 and 1, such as 0.99", .set = set_theta),
        BENCH_ARG(OWN, "write-rate", "RATE", &o->write_rate,
                  "writes per second, by one thread; 0: none; max. Default 1k",
                  .wants = "a number of writes per second, or max", .set = set_write_rate),
        BENCH_ARG(TIME, "bound", "TIME", &o->max_staleness_ns,
                  "maximum staleness; 0: linearizable; none: any. Default 200ms",
                  .wants = "a time with its unit, such as 50ms, or 0, or none", .most = UINT64_MAX),
        BENCH_ARG(OWN, "max-lag", "N", &o->max_lag, "maximum lag in entries. Default none",
                  .wants = "a number of entries, or none", .set = set_max_lag),
        BENCH_ARG(WORD, "fallback", "F", &o->fallback,
                  "when no replica keeps the bound: leader (default), wait, error, stale", .words = bench_fallbacks),
        BENCH_ARG(TIME, "wait", "TIME", &o->wait_ns,
                  "longest wait of fallbacks leader and wait. Default 0; with wait: 100ms",
                  .wants = "a time with its unit up to 10s, such as 5ms", .most = UINT64_C(10000000000)),
        BENCH_ARG(TIME, "delay", "TIME", &o->apply_delay_ns, "apply delay of the followers. Default 0",
                  .wants = "a time with its unit up to 60s, such as 18ms", .most = UINT64_C(60000000000)),
        BENCH_ARG(WORD, "policy", "P", &o->policy,
                  "how a reader picks: sticky on its home replica (default), round-robin,\nfreshest",
                  .words = bench_policies),
        BENCH_ARG(WORD, "reach", "R", &o->reach_home,
                  "all: a reader may turn to every replica (default); home: to its own only,\n"
                  "and to the leader by fallback",
                  .words = bench_reaches),
        BENCH_ARG(RATE, "open-loop", "RATE", &o->open_rate,
                  "all readers together start reads at this fixed rate, and latency counts\n"
                  "from the instant a read was due. Default: closed loop",
                  .wants = "a number of reads per second, such as 200k", .least = 1, .most = RATE_MOST),
        BENCH_ARG(TIME, "duration", "TIME", &o->duration_ns,
                  "reading time of one repetition. Default: a sweep of about a minute",
                  .wants = "a time with its unit from 10ms to 3600s, such as 2s", .least = 10000000,
                  .most = UINT64_C(3600000000000)),
        BENCH_ARG(COUNT32, "repetitions", "N", &o->repetitions, "Default 5", .least = 1, .most = BENCH_REPETITIONS_MAX),
        BENCH_ARG(COUNT32, "sample", "K", &o->sample, "closed loop: time every K-th read; 0: none. Default 64",
                  .most = 1000000),
        BENCH_ARG(NO, "no-pin", NULL, &o->pin, "do not pin reader threads to CPUs"),
        BENCH_ARG(COUNT, "seed", "N", &o->seed, "of the key sequences. Default 1", .wants = "a number",
                  .most = UINT64_MAX),
        BENCH_ARG(OWN, "ring", "BYTES", &o->ring_bytes, "size of the log ring. Default: the engine's",
                  .wants = "a power of two from 64Ki to 4Gi", .set = set_ring),
        BENCH_ARG(COUNT, "table", "BYTES", &o->table_bytes,
                  "budget of each replica's table. Default: from keys and sizes", .wants = "a number from 1Mi to 60Gi",
                  .least = UINT64_C(1) << 20, .most = UINT64_C(60) << 30),
        BENCH_ARG(OWN, "name", "NAME", &o->name, "of the domain, for tide dump. Default readscale-PID",
                  .wants = "1 to 48 of A-Z a-z 0-9 _ - and dots, no dot first", .set = set_name),
        BENCH_ARG(TEXT, "json", "FILE", &o->json_path,
                  "write the result as JSON (docs/bench.md); - is stdout, without the table", .wants = "a file name"),
        BENCH_ARG(TEXT, "out", "DIR", &o->out_dir, "write report.html, result.json, and .hgrm and .hlog files",
                  .wants = "a directory name"),
        BENCH_ARG(TEXT, "compare", "OLD.json", &o->compare_path,
                  "afterwards, compare with an older result: medians with the spread of both", .wants = "a file name"),
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
    o->replicas = bench_options_default_sweep(cpus);
}

static enum bench_parsed finish(struct bench_options *o, char *error) {
    for (uint32_t i = 1; i < o->replicas.n; i++) {
        if (o->replicas.items[i] <= o->replicas.items[i - 1]) {
            return bench_args_wrong(error, "--replicas: wants rising numbers, such as 1,2,4");
        }
    }
    if (o->wait_ns == TIDE_UNBOUNDED) {
        o->wait_ns = o->fallback == TIDE_FALLBACK_WAIT ? 100000000 : 0;
    }
    if (o->key_size < 8 && o->keys > (UINT64_C(1) << (8 * o->key_size))) {
        return bench_args_wrong(error, "--keys %llu: so many do not differ in %u bytes; give a larger --key-size",
                                (unsigned long long)o->keys, o->key_size);
    }
    if (o->json_path != NULL && o->out_dir != NULL && strcmp(o->json_path, "-") == 0) {
        return bench_args_wrong(error, "--json - and --out both use stdout; give --json a file name");
    }
    if (o->read_foreign && !o->processes) {
        return bench_args_wrong(
            error, "--read foreign: with threads all replicas are the readers' own; give --mode processes as well");
    }
    uint32_t most = (uint32_t)o->replicas.items[o->replicas.n - 1];
    if (o->read_foreign && most > BENCH_FOREIGN_MAX) {
        return bench_args_wrong(error,
                                "--replicas %u: with --read foreign up to %u, as there is room for so many processes",
                                most, BENCH_FOREIGN_MAX);
    }
    if (o->duration_ns == 0) {
        o->duration_ns = bench_options_auto_duration(o->replicas.n, o->repetitions);
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

struct bench_counts bench_options_default_sweep(uint32_t cpus) {
    struct bench_counts sweep = { .n = 0 };
    for (uint32_t r = 1; r <= TIDE_REPLICAS && (sweep.n == 0 || sweep.items[sweep.n - 1] <= cpus); r *= 2) {
        sweep.items[sweep.n++] = r;
    }
    return sweep;
}

uint64_t bench_options_auto_duration(uint32_t points, uint32_t repetitions) {
    /* 60 s less a tenth for set-up; of each repetition four fifths are reading, one fifth the control loop. */
    double ns = 60e9 * 0.9 * 0.8 / ((double)points * repetitions);
    return (uint64_t)(ns < 200e6 ? 200e6 : ns > 5e9 ? 5e9 : ns);
}
