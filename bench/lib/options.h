/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The settings of readscale and how they are given on its command line. */
#ifndef TIDE_BENCH_OPTIONS_H
#define TIDE_BENCH_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "bench/lib/args.h"
#include "engine/tidemark.h"

enum bench_dist { BENCH_UNIFORM = 0, BENCH_ZIPFIAN = 1 };

#define BENCH_POINTS_MAX BENCH_ARG_LIST
#define BENCH_FOREIGN_MAX 63u /* replicas with readers in other processes: two processes each, and the coordinator */
#define BENCH_REPETITIONS_MAX 1000u
#define BENCH_RATE_MAX -1.0 /* write_rate: as fast as possible */
#define BENCH_ERROR_BYTES 256u

/* Exit codes of the benchmarks. */
enum bench_exit {
    BENCH_EXIT_OK = 0,
    BENCH_EXIT_FAILED = 1,       /* the engine or a file answered with an error; what it was is on stderr */
    BENCH_EXIT_USAGE = 2,        /* the arguments make no sense */
    BENCH_EXIT_BAR = 3,          /* getcost --check: the ratio is above the bar */
    BENCH_EXIT_INTERRUPTED = 130 /* SIGINT, SIGTERM or SIGHUP: what was complete is printed and written */
};

struct bench_options {
    struct bench_counts replicas; /* counts to measure, rising */
    uint32_t readers;             /* threads for each replica */
    int processes;                /* 1: each replica in a process of its own, its readers there */
    int read_foreign;             /* 1: readers in processes of their own, which have no replica */
    uint64_t keys;
    uint32_t key_size;
    uint64_t value_size;
    enum bench_dist dist;
    double theta;
    double write_rate; /* writes/s; 0: none; BENCH_RATE_MAX */
    uint64_t max_staleness_ns;
    uint64_t max_lag;
    enum tide_fallback fallback;
    uint64_t wait_ns;
    uint64_t apply_delay_ns;
    enum tide_policy policy;
    int reach_home;       /* 1: a reader may use its home replica alone (and the leader, by fallback) */
    double open_rate;     /* reads/s of all readers together; 0: closed loop */
    uint64_t duration_ns; /* reading time of one repetition; 0: chosen so that the sweep takes about a minute */
    uint32_t repetitions;
    uint32_t sample; /* closed loop: every so many-th read is timed; 0: none */
    int pin;
    uint64_t seed;
    uint64_t ring_bytes;   /* 0: the engine's default */
    uint64_t table_bytes;  /* 0: from keys and sizes */
    const char *name;      /* of the domain; NULL: "readscale-PID" */
    const char *json_path; /* "-": stdout */
    const char *out_dir;
    const char *compare_path; /* of an older result */
};

/*
 * Fill `o` from the command line (argv[0] is skipped) for a machine with `cpus` usable CPUs.
 * On BENCH_PARSED_ERROR, `error` (BENCH_ERROR_BYTES) holds one line that says what is wrong and what to do.
 * Strings in `o` point into argv.
 */
enum bench_parsed bench_options_parse(struct bench_options *o, int argc, char **argv, uint32_t cpus, char *error);

/* The help text, on stdout. */
void bench_options_help(void);

/* Default sweep: 1, 2, 4, ... up to `cpus` and one step beyond, at most TIDE_REPLICAS. */
struct bench_counts bench_options_default_sweep(uint32_t cpus);

/* Reading time of one repetition when nothing was asked for: a sweep of about a minute, set-up and control slices
 * counted in. Between 200 ms and 5 s. */
uint64_t bench_options_auto_duration(uint32_t points, uint32_t repetitions);

/* "64", "10k", "2M", "1Gi" and the like: k, M, G by 1,000; Ki, Mi, Gi by 1,024. 0, or -1. */
int bench_parse_count(const char *text, uint64_t *out);
/* "150ns", "20us", "1.5ms", "2s", "0", and "none" for TIDE_UNBOUNDED. 0, or -1. */
int bench_parse_duration(const char *text, uint64_t *out_ns);

/* What the options' numbers are called on the command line and in results; each list ends with NULL. */
extern const char *const bench_modes[], *const bench_reads[], *const bench_dists[], *const bench_fallbacks[],
                                                                                        *const bench_policies[],
                                                                                            *const bench_reaches[];

#endif
