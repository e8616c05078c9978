/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUICK_NS UINT64_C(4000000)

static void help(const struct bench_program *p) {
    printf("Usage: %s [options]\n\n%s\n", p->name, p->about);
    for (uint32_t i = 0; i < p->numbers_n; i++) {
        const struct bench_number *n = &p->numbers[i];
        char left[40];
        snprintf(left, sizeof(left), "%s N", n->option);
        printf("  %-18s  %s. Default %llu, quick %llu\n", left, n->what, (unsigned long long)*n->value,
               (unsigned long long)n->quick);
    }
    printf("  --repetitions N     1 to 1000. Default %u, quick 1\n"
           "  --quick             small and short: shows that it works, figures mean nothing\n"
           "  --json FILE         write the result as JSON (docs/bench.md); - is stdout, without the tables\n"
           "  --help              this text\n\n"
           "Numbers may end with k, M, G. Exit codes: 0 measured; 1 the engine or a file failed; 2 bad arguments;\n"
           "130 interrupted (complete repetitions are shown and written).\n",
           p->repetitions);
}

static int usage(const struct bench_program *p, const char *text, const char *arg) {
    fprintf(stderr, "%s: %s '%.100s'; --help lists all arguments\n", p->name, text, arg);
    return BENCH_EXIT_USAGE;
}

static int take_number(const struct bench_program *p, const struct bench_number *n, const char *text) {
    uint64_t value = 0;
    if (bench_parse_count(text, &value) != 0 || value < n->least || value > n->most) {
        char wants[96];
        snprintf(wants, sizeof(wants), "%s wants a number from %llu to %llu, not", n->option,
                 (unsigned long long)n->least, (unsigned long long)n->most);
        return usage(p, wants, text);
    }
    *n->value = value;
    return -1;
}

/* -1: go on; else an exit code. given: a bit for each number of p that the command line set, and the next for
 * `repetitions`. */
static int parse(struct bench_program *p, const struct bench_number *repetitions, int argc, char **argv,
                 uint64_t *given) {
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        uint32_t k = 0;
        while (k < p->numbers_n && strcmp(arg, p->numbers[k].option) != 0) {
            k++;
        }
        bool counts = k < p->numbers_n || strcmp(arg, repetitions->option) == 0;
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            help(p);
            return BENCH_EXIT_OK;
        }
        if (strcmp(arg, "--quick") == 0) {
            p->quick = true;
            continue;
        }
        if (!counts && strcmp(arg, "--json") != 0) {
            return usage(p, "unknown argument", arg);
        }
        if (i + 1 == argc) {
            return usage(p, "a value is missing after", arg);
        }
        const char *value = argv[++i];
        int rc = counts ? take_number(p, k < p->numbers_n ? &p->numbers[k] : repetitions, value) : -1;
        if (rc >= 0) {
            return rc;
        }
        p->json_path = counts ? p->json_path : value;
        *given |= (uint64_t)counts << k;
    }
    return -1;
}

static int read_arguments(struct bench_program *p, int argc, char **argv) {
    uint64_t n = p->repetitions, given = 0;
    const struct bench_number repetitions = { "--repetitions", "", &n, 1, BENCH_REPETITIONS_MAX, 1 };
    int code = parse(p, &repetitions, argc, argv, &given);
    for (uint32_t k = 0; k <= p->numbers_n && p->quick; k++) {
        const struct bench_number *number = k < p->numbers_n ? &p->numbers[k] : &repetitions;
        *number->value = given >> k & 1 ? *number->value : number->quick;
    }
    p->repetitions = (uint32_t)n;
    return code;
}

bool bench_program_start(struct bench_program *p, int argc, char **argv, int *code) {
    *code = read_arguments(p, argc, argv);
    if (*code >= 0) {
        return false;
    }
    bench_machine_read(&p->machine);
    bench_stop_catch();
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
    if (p->rows_n == BENCH_ROWS_MAX) {
        fprintf(stderr, "%s: more rows than there is room for\n", p->name);
        abort();
    }
    struct bench_row *r = &p->rows[p->rows_n];
    snprintf(r->id, sizeof(r->id), "%s", id);
    snprintf(r->group, sizeof(r->group), "%s", group);
    snprintf(r->title, sizeof(r->title), "%s", title);
    snprintf(r->unit, sizeof(r->unit), "%s", unit);
    r->values = calloc(p->repetitions, sizeof(*r->values));
    if (r->values == NULL) {
        abort();
    }
    return p->rows_n++;
}

uint32_t bench_program_hidden_row(struct bench_program *p, const char *group) {
    return bench_program_row(p, "", group, "", "");
}

void bench_program_set(struct bench_program *p, uint32_t row, uint32_t repetition, double value) {
    p->rows[row].values[repetition] = value;
    p->rows[row].measured = true;
}

void bench_program_bar(struct bench_program *p, const char *id, const char *what, const char *unit,
                       enum bench_sense sense, double bar, uint32_t row, uint32_t base) {
    if (p->bars_n == BENCH_BARS_MAX) {
        fprintf(stderr, "%s: more bars than there is room for\n", p->name);
        abort();
    }
    struct bench_program_bar *b = &p->bars[p->bars_n++];
    *b = (struct bench_program_bar){ .unit = unit, .sense = sense, .bar = bar, .row = row, .base = base };
    snprintf(b->id, sizeof(b->id), "%s", id);
    snprintf(b->what, sizeof(b->what), "%s", what);
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

int bench_program_domain(struct bench_program *p, struct tide **out, const struct tide_opts *opts) {
    char name[TIDE_NAME_MAX];
    struct tide_opts own = *opts;
    own.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    bench_program_domain_name(p, name);
    int rc = tide_open(out, name, &own);
    return rc != 0 ? bench_program_failed_code(p, "creating its domain", rc) : 0;
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

static bool is_measured(const struct bench_program *p, uint32_t row) {
    return row != BENCH_NO_ROW && p->rows[row].measured;
}

/* Bars first: adding a figure sorts its values, and a ratio is one repetition's own. */
static void fill_figures(const struct bench_program *p, struct bench_figures *f) {
    double ratio[BENCH_REPETITIONS_MAX];
    bench_figures_init(f, p->name, &p->machine, p->done);
    snprintf(f->note, sizeof(f->note), "%s", p->note);
    for (uint32_t i = 0; i < p->bars_n; i++) {
        const struct bench_program_bar *b = &p->bars[i];
        bool alone = b->base == BENCH_NO_ROW;
        if (!is_measured(p, b->row) || (!alone && !is_measured(p, b->base))) {
            bench_figures_bar(f, b->id, b->what, b->unit, b->sense, b->bar, ratio, 0);
            continue;
        }
        const struct bench_row *r = &p->rows[b->row];
        memcpy(ratio, r->values, p->done * sizeof(*ratio));
        if (!alone) {
            bench_figures_ratio(ratio, ratio, p->rows[b->base].values, p->done);
        }
        bench_figures_bar(f, b->id, b->what, b->unit, b->sense, b->bar, ratio, p->done);
        if (!alone) {
            memcpy(ratio, p->rows[b->base].values, p->done * sizeof(*ratio)); /* sorted there, not in the row */
        }
        double peer = alone ? 1 : bench_spread_of(ratio, p->done).median;
        if (r->group[0] != '\0') {
            bench_figures_bar_line(f, r->group, b->bar * peer);
        }
    }
    for (uint32_t i = 0; i < p->rows_n; i++) {
        const struct bench_row *r = &p->rows[i];
        if (r->measured && r->id[0] != '\0') {
            bench_figures_add(f, r->id, r->group, r->title, r->unit, r->values, p->done);
        }
    }
}

static int show(const struct bench_program *p) {
    static struct bench_figures figures;
    fill_figures(p, &figures);
    if (p->json_path == NULL || strcmp(p->json_path, "-") != 0) {
        bench_figures_print(stdout, &figures);
    }
    if (p->json_path != NULL && bench_figures_write(&figures, p->json_path) != 0) {
        fprintf(stderr, "%s: writing %s: %s\n", p->name, p->json_path, strerror(errno));
        return -1;
    }
    return 0;
}

int bench_program_end(struct bench_program *p, int rc) {
    rc = rc < 0 && bench_stop ? 1 : rc;
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", p->name, p->error);
    } else if (rc > 0) {
        fprintf(stderr, "%s: interrupted after %u of %u repetitions%s\n", p->name, p->done, p->repetitions,
                p->done == 0 ? "; nothing to show" : "");
    }
    if (rc >= 0 && p->done > 0 && show(p) != 0) {
        rc = -1;
    }
    for (uint32_t i = 0; i < p->rows_n; i++) {
        free(p->rows[i].values);
    }
    return rc < 0 ? BENCH_EXIT_FAILED : rc > 0 ? BENCH_EXIT_INTERRUPTED : BENCH_EXIT_OK;
}
