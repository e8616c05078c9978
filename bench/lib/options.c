/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int set_fn(struct bench_options *o, const char *value);

struct option_row {
    const char *name;
    const char *arg; /* NULL: a flag */
    set_fn *set;
    const char *wants; /* completes "wants ..." in the error */
    const char *help;
};

/* *out: which of the words. */
static int word_in(const char *value, const char *const *words, int n, int *out) {
    for (int i = 0; i < n; i++) {
        if (strcmp(value, words[i]) == 0) {
            *out = i;
            return 0;
        }
    }
    return -1;
}

static int count_in(const char *value, uint64_t least, uint64_t most, uint64_t *out) {
    uint64_t n = 0;
    if (bench_parse_count(value, &n) != 0 || n < least || n > most) {
        return -1;
    }
    *out = n;
    return 0;
}

static int count32_in(const char *value, uint64_t least, uint64_t most, uint32_t *out) {
    uint64_t n = 0;
    if (count_in(value, least, most, &n) != 0) {
        return -1;
    }
    *out = (uint32_t)n;
    return 0;
}

static int rate_in(const char *value, uint64_t least, double *out) {
    uint64_t rate = 0;
    if (count_in(value, least, 1000000000, &rate) != 0) {
        return -1;
    }
    *out = (double)rate;
    return 0;
}

static int set_replicas(struct bench_options *o, const char *v) {
    return bench_parse_list(v, o->replicas, &o->points);
}

static int set_readers(struct bench_options *o, const char *v) {
    return count32_in(v, 1, 256, &o->readers);
}

static int set_mode(struct bench_options *o, const char *v) {
    static const char *const words[] = { "threads", "processes" };
    return word_in(v, words, 2, &o->processes);
}

static int set_read(struct bench_options *o, const char *v) {
    static const char *const words[] = { "own", "foreign" };
    return word_in(v, words, 2, &o->read_foreign);
}

static int set_keys(struct bench_options *o, const char *v) {
    return count_in(v, 1, 1000000000, &o->keys);
}

static int set_key_size(struct bench_options *o, const char *v) {
    return count32_in(v, 1, TIDE_KEY_MAX, &o->key_size);
}

static int set_value_size(struct bench_options *o, const char *v) {
    return count_in(v, 0, UINT64_C(1) << 30, &o->value_size);
}

static int set_dist(struct bench_options *o, const char *v) {
    static const char *const words[] = { "uniform", "zipfian" };
    int i = 0, rc = word_in(v, words, 2, &i);
    o->dist = i == 1 ? BENCH_ZIPFIAN : BENCH_UNIFORM;
    return rc;
}

static int set_theta(struct bench_options *o, const char *v) {
    char *end = NULL;
    double theta = strtod(v, &end);
    if (end == v || *end != '\0' || !(theta > 0.0 && theta < 1.0)) {
        return -1;
    }
    o->theta = theta;
    o->dist = BENCH_ZIPFIAN;
    return 0;
}

static int set_write_rate(struct bench_options *o, const char *v) {
    if (strcmp(v, "max") == 0) {
        o->write_rate = BENCH_RATE_MAX;
        return 0;
    }
    return rate_in(v, 0, &o->write_rate);
}

static int set_bound(struct bench_options *o, const char *v) {
    return bench_parse_duration(v, &o->max_staleness_ns);
}

static int set_max_lag(struct bench_options *o, const char *v) {
    if (strcmp(v, "none") == 0) {
        o->max_lag = TIDE_UNBOUNDED;
        return 0;
    }
    return bench_parse_count(v, &o->max_lag);
}

static int set_fallback(struct bench_options *o, const char *v) {
    static const char *const words[] = { "leader", "wait", "error", "stale" };
    int i = 0, rc = word_in(v, words, 4, &i);
    o->fallback = (enum tide_fallback)i;
    return rc;
}

static int duration_up_to(const char *v, uint64_t least, uint64_t most, uint64_t *out) {
    uint64_t ns = 0;
    if (bench_parse_duration(v, &ns) != 0 || ns < least || ns > most) {
        return -1;
    }
    *out = ns;
    return 0;
}

static int set_wait(struct bench_options *o, const char *v) {
    return duration_up_to(v, 0, UINT64_C(10000000000), &o->wait_ns);
}

static int set_delay(struct bench_options *o, const char *v) {
    return duration_up_to(v, 0, UINT64_C(60000000000), &o->apply_delay_ns);
}

static int set_policy(struct bench_options *o, const char *v) {
    static const char *const words[] = { "sticky", "round-robin", "freshest" };
    int i = 0, rc = word_in(v, words, 3, &i);
    o->policy = (enum tide_policy)i;
    return rc;
}

static int set_reach(struct bench_options *o, const char *v) {
    static const char *const words[] = { "all", "home" };
    return word_in(v, words, 2, &o->reach_home);
}

static int set_open_rate(struct bench_options *o, const char *v) {
    return rate_in(v, 1, &o->open_rate);
}

static int set_duration(struct bench_options *o, const char *v) {
    return duration_up_to(v, 10000000, UINT64_C(3600000000000), &o->duration_ns);
}

static int set_repetitions(struct bench_options *o, const char *v) {
    return count32_in(v, 1, BENCH_REPETITIONS_MAX, &o->repetitions);
}

static int set_sample(struct bench_options *o, const char *v) {
    return count32_in(v, 0, 1000000, &o->sample);
}

static int set_no_pin(struct bench_options *o, const char *v) {
    (void)v;
    o->pin = 0;
    return 0;
}

static int set_seed(struct bench_options *o, const char *v) {
    return bench_parse_count(v, &o->seed);
}

static int set_ring(struct bench_options *o, const char *v) {
    int rc = count_in(v, UINT64_C(64) << 10, UINT64_C(4) << 30, &o->ring_bytes);
    return rc == 0 && (o->ring_bytes & (o->ring_bytes - 1)) == 0 ? 0 : -1;
}

static int set_table(struct bench_options *o, const char *v) {
    return count_in(v, UINT64_C(1) << 20, UINT64_C(60) << 30, &o->table_bytes);
}

static int set_name(struct bench_options *o, const char *v) {
    size_t n = strlen(v);
    o->name = v;
    size_t fine = strspn(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.");
    return n >= 1 && n <= TIDE_NAME_MAX && v[0] != '.' && fine == n ? 0 : -1;
}

static int set_json(struct bench_options *o, const char *v) {
    o->json_path = v;
    return v[0] == '\0' ? -1 : 0;
}

static int set_out(struct bench_options *o, const char *v) {
    o->out_dir = v;
    return v[0] == '\0' ? -1 : 0;
}

static const struct option_row rows[] = {
    { "replicas", "LIST", set_replicas, "rising numbers from 1 to 64, such as 1,2,4",
      "replica counts to measure; the leader is the first of them, the others\n"
      "follow, and every one has readers. Default: 1, 2, 4, ... up to the CPUs\n"
      "and one step beyond" },
    { "readers", "N", set_readers, "a number from 1 to 256", "reader threads for each replica. Default 1" },
    { "mode", "M", set_mode, "threads or processes",
      "threads: all replicas and readers in one process (default); processes:\neach replica in a process of its own" },
    { "read", "R", set_read, "own or foreign",
      "with --mode processes: own: the readers of a replica run in its process\n"
      "(default); foreign: in a process without a replica, which maps it" },
    { "keys", "N", set_keys, "a number from 1 to 1G, such as 10k", "keys in the domain. Default 10k" },
    { "key-size", "BYTES", set_key_size, "a number from 1 to 65535", "Default 16" },
    { "value-size", "BYTES", set_value_size, "a number up to 1Gi", "Default 64" },
    { "distribution", "D", set_dist, "uniform or zipfian",
      "which keys are read and written: uniform (default) or zipfian" },
    { "theta", "T", set_theta, "a number between 0 and 1, such as 0.99",
      "skew of zipfian, which it implies. Default 0.99" },
    { "write-rate", "RATE", set_write_rate, "a number of writes per second, or max",
      "writes per second, by one thread; 0: none; max. Default 1k" },
    { "bound", "TIME", set_bound, "a time with its unit, such as 50ms, or 0, or none",
      "maximum staleness; 0: linearizable; none: any. Default 200ms" },
    { "max-lag", "N", set_max_lag, "a number of entries, or none", "maximum lag in entries. Default none" },
    { "fallback", "F", set_fallback, "leader, wait, error or stale",
      "when no replica keeps the bound: leader (default), wait, error, stale" },
    { "wait", "TIME", set_wait, "a time with its unit up to 10s, such as 5ms",
      "longest wait of fallbacks leader and wait. Default 0; with wait: 100ms" },
    { "delay", "TIME", set_delay, "a time with its unit up to 60s, such as 18ms",
      "apply delay of the followers. Default 0" },
    { "policy", "P", set_policy, "sticky, round-robin or freshest",
      "how a reader picks: sticky on its home replica (default), round-robin,\nfreshest" },
    { "reach", "R", set_reach, "all or home",
      "all: a reader may turn to every replica (default); home: to its own only,\n"
      "and to the leader by fallback" },
    { "open-loop", "RATE", set_open_rate, "a number of reads per second, such as 200k",
      "all readers together start reads at this fixed rate, and latency counts\n"
      "from the instant a read was due. Default: closed loop" },
    { "duration", "TIME", set_duration, "a time with its unit from 10ms to 3600s, such as 2s",
      "reading time of one repetition. Default: a sweep of about a minute" },
    { "repetitions", "N", set_repetitions, "a number from 1 to 1000", "Default 5" },
    { "sample", "K", set_sample, "a number up to 1000000", "closed loop: time every K-th read; 0: none. Default 64" },
    { "no-pin", NULL, set_no_pin, "nothing", "do not pin reader threads to CPUs" },
    { "seed", "N", set_seed, "a number", "of the key sequences. Default 1" },
    { "ring", "BYTES", set_ring, "a power of two from 64Ki to 4Gi", "size of the log ring. Default: the engine's" },
    { "table", "BYTES", set_table, "a number from 1Mi to 60Gi",
      "budget of each replica's table. Default: from keys and sizes" },
    { "name", "NAME", set_name, "1 to 48 of A-Z a-z 0-9 _ - and dots, no dot first",
      "of the domain, for tide dump. Default readscale-PID" },
    { "json", "FILE", set_json, "a file name",
      "write the result as JSON (docs/bench.md); - is stdout, without the table" },
    { "out", "DIR", set_out, "a directory name", "write report.html, result.json, and .hgrm and .hlog files" },
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

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

static const struct option_row *find_row(const char *name, size_t length) {
    for (size_t i = 0; i < ROWS; i++) {
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, name, length) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

enum bench_parsed bench_options_parse(struct bench_options *o, int argc, char **argv, uint32_t cpus, char *error) {
    defaults(o, cpus);
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            return BENCH_PARSED_HELP;
        }
        const char *equals = strchr(arg, '=');
        size_t length = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
        const struct option_row *row = strncmp(arg, "--", 2) == 0 ? find_row(arg + 2, length - 2) : NULL;
        if (row == NULL) {
            return fail(error, "unknown argument '%.100s'; --help lists them all", arg);
        }
        const char *value = equals != NULL ? equals + 1 : NULL;
        if (row->arg == NULL && value != NULL) {
            return fail(error, "--%s takes no value", row->name);
        }
        if (row->arg != NULL && value == NULL) {
            if (i + 1 == argc) {
                return fail(error, "--%s needs a value: %s", row->name, row->wants);
            }
            value = argv[++i];
        }
        if (row->set(o, value) != 0) {
            return fail(error, "--%s %.80s: wants %s", row->name, value, row->wants);
        }
    }
    return finish(o, error);
}

static void help_row(const struct option_row *row) {
    char left[40];
    snprintf(left, sizeof(left), "--%s %s", row->name, row->arg != NULL ? row->arg : "");
    printf("  %-20s ", left);
    for (const char *c = row->help; *c != '\0'; c++) {
        putchar(*c);
        if (*c == '\n') {
            printf("%23s", "");
        }
    }
    putchar('\n');
}

void bench_options_help(void) {
    printf("Usage: readscale [options]\n\n"
           "Measures read throughput against the number of replicas, in one process or in several.\n"
           "N replicas are one leader and N - 1 followers; all N serve reads.\n\n");
    for (size_t i = 0; i < ROWS; i++) {
        help_row(&rows[i]);
    }
    printf("  --help               this text\n\n"
           "Numbers take k, M, G (1,000s) and Ki, Mi, Gi (1,024s); times take ns, us, ms, s, m.\n"
           "Exit codes: 0 measured; 1 the engine or a file failed; 2 bad arguments;\n"
           "130 interrupted (repetitions that were complete are printed and written).\n"
           "What every column means: docs/bench.md\n");
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
