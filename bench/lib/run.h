/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a benchmark that answers one question does around its measurement: arguments, signals, progress, the end. */
#ifndef TIDEMARK_BENCH_RUN_H
#define TIDEMARK_BENCH_RUN_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/lib/figures.h"
#include "bench/lib/options.h"
#include "engine/tidemark.h"

/* A number that can be given: "--keys N". `value` holds the default; `quick` is taken by --quick where it is not
 * given. */
struct bench_run_number {
    const char *option;
    const char *what; /* for the help */
    uint64_t *value;
    uint64_t least, most;
    uint64_t quick;
};

struct bench_run {
    const char *name;
    const char *what; /* some lines for the help: what is measured */
    struct bench_run_number *numbers;
    size_t numbers_n;
    uint64_t repetitions; /* in: the default */
    uint64_t repetitions_quick;
    int quick;
    const char *json_path;
    struct bench_machine machine;
    struct bench_figures figures;
    char error[BENCH_ERROR_BYTES];
};

/* A signal asked for the end. */
extern volatile sig_atomic_t bench_stop;

/*
 * Parse --help, --json, --repetitions, --quick and the numbers; then look at the machine, start the figures and
 * catch the signals that ask for the end. -1: go on; else an exit code.
 */
int bench_run_begin(struct bench_run *r, int argc, char **argv);

/* What is under way, on a terminal alone. */
__attribute__((format(printf, 2, 3))) void bench_run_progress(const struct bench_run *r, const char *format, ...);

/* r->error = "WHAT: text of the code". Returns -1. */
int bench_run_failed(struct bench_run *r, const char *what, int code);
/* The same with errno's text. */
int bench_run_failed_errno(struct bench_run *r, const char *what);

/* Print and write what was found. rc: 0 measured, 1 interrupted (nothing is shown), -1 failed. Returns the exit
 * code. */
int bench_run_end(struct bench_run *r, int rc);

/* A domain of this program's own: "NAME-PID", ephemeral, so that it goes when the handle is closed. 0, or -1 with
 * r->error. */
int bench_run_domain(struct bench_run *r, struct tide **out, const struct tide_opts *opts);
void bench_run_domain_name(const struct bench_run *r, char out[TIDE_NAME_MAX]);

/* A count in words: "10k", "1M", "1,234" as bench_format_count() without blanks. */
const char *bench_run_count(char out[BENCH_TEXT], uint64_t n);

#endif
