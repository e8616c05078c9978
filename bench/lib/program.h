/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the benchmarks that answer one question have in common: command line, signals, rows that get a value in each
 * repetition, bars between them, and the end: tables, JSON, exit code. A process is one of them, so no call names it.
 *
 * By the main thread, but for bench_fail(), bench_must(), bench_must_system(), bench_go_on() and bench_text().
 */
#ifndef TIDE_BENCH_PROGRAM_H
#define TIDE_BENCH_PROGRAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/lib/figures.h"
#include "bench/lib/machine.h"
#include "bench/lib/options.h"
#include "bench/lib/stop.h"
#include "bench/lib/worker.h"
#include "engine/tidemark.h"
#include "shm/hdr.h"

#define BENCH_NO_ROW BENCH_NO_FIGURE
#define BENCH_NUMBERS_MAX 8u
#define BENCH_MORE_MAX 4u

/* A number that can be given: "--keys N". `value` holds the default; `quick` is taken by --quick where none is
 * given. */
struct bench_number {
    const char *name; /* "keys" */
    const char *what; /* for --help */
    uint64_t *value;
    uint64_t least, most;
    uint64_t quick;
};

struct bench_program {
    const char *name;
    const char *about;                  /* for --help: what is measured, lines that end in \n */
    const struct bench_number *numbers; /* what the command line takes besides; may be NULL */
    uint32_t numbers_n;
    const struct bench_arg *more; /* what else it takes, BENCH_MORE_MAX at most; may be NULL */
    uint32_t more_n;
    uint32_t repetitions;
    void (*prepare)(void);                /* rows, bars, and what lasts for all repetitions: domains, processes */
    void (*repeat)(void);                 /* one repetition */
    void (*finish)(void);                 /* after the last one. May be NULL */
    void (*note)(char *out, size_t size); /* settings, for the result; when all is measured. May be NULL */
    int quick;                            /* for tests: that it works, not what the figures are */
    const char *json_path;
    struct bench_machine machine;
    struct bench_figures figures;
    uint32_t done; /* complete repetitions */
};

/* ---- the program ---- */

/* The program that this process is. */
extern struct bench_program *bench;

/* All of main(): the command line, prepare(), the repetitions with progress where somebody looks, the end. */
int bench_main(struct bench_program *p, int argc, char **argv);
/* main() of a benchmark whose functions are called prepare() and repeat(). What is given is of struct bench_program. */
#define BENCH_MAIN(...)                                                                                                \
    static struct bench_program bench_itself = { .prepare = prepare, .repeat = repeat, __VA_ARGS__ };                  \
    int main(int argc, char **argv) {                                                                                  \
        return bench_main(&bench_itself, argc, argv);                                                                  \
    }
/* Its member `note`, called note(): as printf(). */
#define BENCH_NOTE(...)                                                                                                \
    static void note(char *out, size_t size) {                                                                         \
        snprintf(out, size, __VA_ARGS__);                                                                              \
    }
/* Its members `numbers` and `numbers_n`. */
#define BENCH_NUMBERS(...)                                                                                             \
    .numbers = (const struct bench_number[]){ __VA_ARGS__ },                                                           \
    .numbers_n = sizeof((const struct bench_number[]){ __VA_ARGS__ }) / sizeof(struct bench_number)

/* For a program with a command line and repetitions of its own: only the beginning, after which all below may be called. */
void bench_begin(struct bench_program *p);

/*
 * A benchmark that failed has no result. The following end the program, from any thread and any depth: so no function hands an error on,
 * and none takes down what it set up for the whole run. The end ends all children, calls what bench_at_end() was given, and removes the
 * domains of bench_domain().
 * In a worker (bench/lib/worker.h) they end the worker, and the program where it waits for that.
 */
__attribute__((format(printf, 1, 2))) _Noreturn void bench_fail(const char *format, ...);
/* Where the code is not 0: "WHAT: text of the engine's code". */
void bench_must(int code, const char *what);
/* Where it is not good: "WHAT: text of errno". */
void bench_must_system(bool good, const char *what);
/* Where the program was interrupted, which it should look at every few milliseconds: complete repetitions are shown. */
void bench_go_on(void);
/* `end` is called, the last one first, when the program ends. */
void bench_at_end(void (*end)(void *), void *ctx);

/* Zeroed memory; the same that children share; a histogram of times up to 100 s; a thread. */
void *bench_alloc(size_t n, size_t size);
void *bench_share(size_t size);
struct hdr *bench_hdr(void);
pthread_t bench_thread(void *(*run)(void *), void *ctx);

/* A text in one of 256 buffers, which later calls use again: for ids and titles. bench_count(): "10 k", "1 M". */
__attribute__((format(printf, 1, 2))) const char *bench_text(const char *format, ...);
const char *bench_count(uint64_t n);

/* How long a slice lasts: `ns`, or what is enough for --quick. */
uint64_t bench_slice_ns(uint64_t ns);

/* A title's end where the threads outnumber the CPUs. */
const char *bench_mark(uint32_t threads);

/* What is under way in this repetition, where somebody looks. */
__attribute__((format(printf, 1, 2))) void bench_progress(const char *format, ...);

/* Sleep, and end the program where it is interrupted meanwhile. */
void bench_rest(uint64_t ns);

/* ---- rows and bars ---- */

/* Announce a row; rows of one group follow one another. Returns its number. */
uint32_t bench_row(const char *id, const char *group, const char *title, const char *unit);
/* n of them in one group: "ID.<id of the name>", with its title. */
struct bench_name {
    const char *id, *title;
};
void bench_rows(uint32_t *rows, const struct bench_name *names, uint32_t n, const char *id, const char *group,
                const char *unit);
/* A row that is not shown itself, but that bars are about. group: of the rows that it can be compared with, or "". */
uint32_t bench_hidden_row(const char *group);
/* Its value in this repetition. */
void bench_set(uint32_t row, double value);
/* n / seconds of `ns`. */
void bench_set_rate(uint32_t row, uint64_t n, uint64_t ns);

/* A group of four rows, ns: p50, p99, p99.9 and max; and their values in this repetition, from what was timed in it. */
#define BENCH_TIMES 4u
void bench_times(uint32_t rows[BENCH_TIMES], const char *id, const char *group);
void bench_set_times(const uint32_t rows[BENCH_TIMES], const struct hdr *times);
/* 100: the greatest. */
int64_t bench_percentile(const struct hdr *times, double percentile);

/* A bar for a row, or for a row over `base` where that is not BENCH_NO_ROW. Where there is no row, or one of the two is not measured, the
 * bar is listed as not measured. */
typedef void bench_bar_fn(const char *id, const char *what, const char *unit, double bar, uint32_t row, uint32_t base);
bench_bar_fn bench_at_most, bench_at_least;
/* By how much a row is above another one. */
bench_bar_fn bench_at_most_above;

/* ---- domains and workers ---- */

/* The name of a domain of this program, which the end removes: "bench-NAME-PID", and ".WHICH" where that is not NULL. */
void bench_domain_name(const char *which, char out[TIDE_NAME_MAX]);
/* Such a domain, with a leader and so many followers unless it is led elsewhere (BENCH_UNLED). */
#define BENCH_UNLED UINT32_MAX
struct tide *bench_domain(const char *which, const struct tide_opts *opts, uint32_t followers);

/* As bench_worker_start() and bench_worker_await(); and to give the next order and wait for it. */
struct bench_worker *bench_start(bool process, int32_t turn, bench_worker_fn *fn, void *ctx);
void bench_await(struct bench_worker *w, uint32_t order);
void bench_turn(struct bench_worker *w);

#endif
