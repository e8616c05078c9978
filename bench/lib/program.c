/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/setup.h"

#define QUICK_NS UINT64_C(4000000)

static const char after[] = "Exit codes: 0 measured; 1 the engine or a file failed; 2 bad arguments;\n"
                            "130 interrupted (complete repetitions are shown and written).\n";

/* -1: go on; else an exit code. */
static int read_arguments(struct bench_program *p, int argc, char **argv) {
    struct bench_arg args[BENCH_NUMBERS_MAX + BENCH_MORE_MAX + 3] = { { .name = NULL } };
    char help[BENCH_NUMBERS_MAX + 1][160];
    uint64_t repetitions = p->repetitions;
    const struct bench_number own = { "repetitions", "", &repetitions, 1, BENCH_REPETITIONS_MAX, 1 };
    const struct bench_number *all[BENCH_NUMBERS_MAX + 1];
    uint32_t n = 0;
    for (; n <= p->numbers_n; n++) {
        const struct bench_number *one = all[n] = n < p->numbers_n ? &p->numbers[n] : &own;
        snprintf(help[n], sizeof(help[n]), "%s%sDefault %llu, quick %llu", one->what, one->what[0] != '\0' ? ". " : "",
                 (unsigned long long)*one->value, (unsigned long long)one->quick);
        args[n] = (struct bench_arg)BENCH_ARG(COUNT, one->name, "N", one->value, help[n], .least = one->least,
                                              .most = one->most);
    }
    args[n] = (struct bench_arg)BENCH_ARG(FLAG, "quick", NULL, &p->quick,
                                          "small and short: shows that it works, figures mean nothing");
    args[n + 1] = (struct bench_arg)BENCH_ARG(
        TEXT, "json", "FILE", &p->json_path,
        "write the result as JSON (docs/bench.md); - is stdout, without\nthe tables", .wants = "a file name, or -");
    for (uint32_t k = 0; k < p->more_n; k++) {
        args[n + 2 + k] = p->more[k];
    }
    struct bench_command c = { .name = p->name,
                               .usage = "[options]",
                               .about = p->about,
                               .after = after,
                               .args = args,
                               .args_n = n + 2 + p->more_n };
    int code = bench_args_take(&c, argc, argv);
    for (uint32_t k = 0; k < n && p->quick; k++) {
        *all[k]->value = c.given >> k & 1 ? *all[k]->value : all[k]->quick;
    }
    p->repetitions = (uint32_t)repetitions;
    return code;
}

bool bench_program_start(struct bench_program *p, int argc, char **argv, int *code) {
    *code = read_arguments(p, argc, argv);
    if (*code >= 0) {
        return false;
    }
    bench_machine_read(&p->machine);
    bench_stop_catch();
    bench_figures_init(&p->figures, p->name, &p->machine, p->repetitions);
    p->figures.quick = p->quick != 0;
    return true;
}

uint64_t bench_program_slice_ns(const struct bench_program *p, uint64_t ns) {
    return p->quick && ns > QUICK_NS ? QUICK_NS : ns;
}

const char *bench_program_mark(const struct bench_program *p, uint32_t threads) {
    return threads > p->machine.cpus ? " (oversubscribed)" : "";
}

uint32_t bench_program_row(struct bench_program *p, const char *id, const char *group, const char *title,
                           const char *unit) {
    return bench_figures_add(&p->figures, id, group, title, unit);
}

void bench_program_rows(struct bench_program *p, uint32_t *rows, const struct bench_name *names, uint32_t n,
                        const char *id, const char *group, const char *unit) {
    char full[128];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(full, sizeof(full), "%.60s.%.60s", id, names[i].id);
        rows[i] = bench_program_row(p, full, group, names[i].title, unit);
    }
}

uint32_t bench_program_hidden_row(struct bench_program *p, const char *group) {
    return bench_figures_add(&p->figures, "", group, "", "");
}

void bench_program_set(struct bench_program *p, uint32_t row, uint32_t repetition, double value) {
    bench_figures_set(&p->figures, row, repetition, value);
}

static const struct {
    const char *name;
    double percentile;
} times[BENCH_TIMES] = { { "p50", 50.0 }, { "p99", 99.0 }, { "p99.9", 99.9 }, { "max", 100.0 } };

void bench_program_times(struct bench_program *p, uint32_t rows[BENCH_TIMES], const char *id, const char *group) {
    char full[64];
    for (uint32_t k = 0; k < BENCH_TIMES; k++) {
        snprintf(full, sizeof(full), "%s.%s", id, times[k].name);
        rows[k] = bench_program_row(p, full, group, times[k].name, "ns");
    }
}

void bench_program_set_times(struct bench_program *p, const uint32_t rows[BENCH_TIMES], uint32_t repetition,
                             const struct hdr *h) {
    for (uint32_t k = 0; k < BENCH_TIMES; k++) {
        double percentile = times[k].percentile;
        int64_t ns = percentile < 100.0 ? hdr_value_at_percentile(h, percentile) : hdr_max(h);
        bench_program_set(p, rows[k], repetition, (double)ns);
    }
}

void bench_program_bar(struct bench_program *p, const char *id, const char *what, const char *unit,
                       enum bench_sense sense, double bar, uint32_t row, uint32_t base) {
    bool shown = row != BENCH_NO_ROW && p->figures.figures[row].group[0] != '\0';
    bench_figures_bar(&p->figures, id, what, unit, sense, bar, base == BENCH_NO_ROW ? BENCH_ALONE : BENCH_RATIO, row,
                      base, shown ? row : BENCH_NO_ROW);
}

int bench_program_failed(struct bench_program *p, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(p->error, sizeof(p->error), format, args);
    va_end(args);
    return -1;
}

int bench_program_failed_code(struct bench_program *p, const char *what, int code) {
    const char *hint = code == TIDE_ERR_NO_SPACE ? "; give fewer --keys where there is that argument" : "";
    return bench_program_failed(p, "%.120s: %.80s%s", what, tide_strerror(code), hint);
}

int bench_program_failed_errno(struct bench_program *p, const char *what) {
    return bench_program_failed(p, "%.120s: %.80s", what, strerror(errno));
}

void bench_program_domain_name(const struct bench_program *p, char out[TIDE_NAME_MAX]) {
    snprintf(out, TIDE_NAME_MAX, "bench-%.16s-%ld", p->name, (long)getpid());
}

int bench_program_domain(struct bench_program *p, struct tide **out, const struct tide_opts *opts, bool follower) {
    char name[TIDE_NAME_MAX];
    *out = NULL;
    bench_program_domain_name(p, name);
    int rc = tide_open(out, name, opts);
    if (rc != 0) {
        return bench_program_failed_code(p, "creating its domain", rc);
    }
    rc = bench_setup_start(*out, 0, -1);
    rc = rc == 0 && follower ? bench_setup_start(*out, 1, -1) : rc;
    return rc != 0 ? bench_program_failed_code(p, "starting replicas", rc) : 0;
}

static void show_repetition(const struct bench_program *p, const char *end) {
    fprintf(stderr, "\r\033[K%s: repetition %u of %u%s", p->name, p->done + 1, p->repetitions, end);
}

void bench_program_progress(const struct bench_program *p, const char *format, ...) {
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    va_list args;
    va_start(args, format);
    show_repetition(p, ", ");
    vfprintf(stderr, format, args);
    va_end(args);
}

int bench_program_repeat(struct bench_program *p, bench_program_fn *one, void *ctx) {
    bool shown = isatty(STDERR_FILENO) != 0;
    int rc = 0;
    for (uint32_t i = 0; i < p->repetitions && rc == 0; i++) {
        if (shown) {
            show_repetition(p, "");
        }
        rc = one(p, ctx, i);
        rc = rc == 0 && bench_stop ? 1 : rc;
        p->done += rc == 0;
    }
    if (shown) {
        fputs("\r\033[K", stderr);
    }
    return rc;
}

int bench_program_end(struct bench_program *p, int rc) {
    rc = rc < 0 && bench_stop ? 1 : rc;
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", p->name, p->error);
    } else if (rc > 0) {
        fprintf(stderr, "%s: interrupted after %u of %u repetitions%s\n", p->name, p->done, p->repetitions,
                p->done == 0 ? "; nothing to show" : "");
    }
    if (rc >= 0 && p->done > 0) {
        bench_figures_settle(&p->figures, p->done);
        rc = bench_figures_publish(&p->figures, p->json_path) != 0 ? -1 : rc;
    }
    return rc < 0 ? BENCH_EXIT_FAILED : rc > 0 ? BENCH_EXIT_INTERRUPTED : BENCH_EXIT_OK;
}
