/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define QUICK_NS UINT64_C(4000000)

volatile sig_atomic_t bench_program_stop;

static void on_signal(int number) {
    (void)number;
    bench_program_stop = 1;
}

static void catch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static void help(const struct bench_program *p) {
    printf("Usage: %s [options]\n\n%s\n"
           "  --repetitions N     1 to 1000. Default %u\n"
           "  --quick             one repetition of very short slices: shows that it works, figures mean nothing\n"
           "  --json FILE         write the result as JSON (docs/bench.md); - is stdout, without the tables\n"
           "  --help              this text\n\n"
           "Exit codes: 0 measured; 1 the engine or a file failed; 2 bad arguments; 130 interrupted (complete\n"
           "repetitions are shown and written).\n",
           p->name, p->about, p->repetitions);
}

static int usage(const struct bench_program *p, const char *text, const char *arg) {
    fprintf(stderr, "%s: %s '%.100s'; --help lists all arguments\n", p->name, text, arg);
    return BENCH_EXIT_USAGE;
}

/* -1: go on; else an exit code. */
static int parse(struct bench_program *p, int argc, char **argv) {
    bool counted = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        uint64_t n = 0;
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            help(p);
            return BENCH_EXIT_OK;
        }
        if (strcmp(arg, "--quick") == 0) {
            p->quick = true;
            continue;
        }
        if (strcmp(arg, "--repetitions") != 0 && strcmp(arg, "--json") != 0) {
            return usage(p, "unknown argument", arg);
        }
        if (i + 1 == argc) {
            return usage(p, "a value is missing after", arg);
        }
        const char *value = argv[++i];
        if (strcmp(arg, "--json") == 0) {
            p->json_path = value;
        } else if (bench_parse_count(value, &n) != 0 || n < 1 || n > BENCH_REPETITIONS_MAX) {
            return usage(p, "--repetitions wants a number from 1 to 1000, not", value);
        } else {
            p->repetitions = (uint32_t)n;
            counted = true;
        }
    }
    if (p->quick && !counted) {
        p->repetitions = 1;
    }
    return -1;
}

bool bench_program_start(struct bench_program *p, int argc, char **argv, int *code) {
    *code = parse(p, argc, argv);
    if (*code >= 0) {
        return false;
    }
    bench_machine_read(&p->machine);
    catch_signals();
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

int bench_program_repeat(struct bench_program *p, bench_program_fn *one, void *ctx) {
    bool shown = isatty(STDERR_FILENO) != 0;
    int rc = 0;
    for (uint32_t i = 0; i < p->repetitions && rc == 0; i++) {
        if (shown) {
            fprintf(stderr, "\r\033[K%s: repetition %u of %u", p->name, i + 1, p->repetitions);
        }
        rc = one(p, ctx, i);
        rc = rc == 0 && bench_program_stop ? 1 : rc;
        p->done += rc == 0;
    }
    if (shown) {
        fputs("\r\033[K", stderr);
    }
    return rc;
}

/* Bars first: adding a figure sorts its values, and a ratio is one repetition's own. */
static void fill_figures(const struct bench_program *p, struct bench_figures *f) {
    double ratio[BENCH_REPETITIONS_MAX];
    bench_figures_init(f, p->name, &p->machine, p->done);
    snprintf(f->note, sizeof(f->note), "%s", p->note);
    for (uint32_t i = 0; i < p->bars_n; i++) {
        const struct bench_program_bar *b = &p->bars[i];
        bool alone = b->base == BENCH_NO_ROW;
        bool measured = p->rows[b->row].measured && (alone || p->rows[b->base].measured);
        memcpy(ratio, p->rows[b->row].values, p->done * sizeof(*ratio));
        if (!alone) {
            bench_figures_ratio(ratio, ratio, p->rows[b->base].values, p->done);
        }
        bench_figures_bar(f, b->id, b->what, b->unit, b->sense, b->bar, ratio, measured ? p->done : 0);
        if (measured && !alone) {
            memcpy(ratio, p->rows[b->base].values, p->done * sizeof(*ratio)); /* sorted there, not in the row */
        }
        if (measured) {
            double peer = alone ? 1 : bench_spread_of(ratio, p->done).median;
            bench_figures_bar_line(f, p->rows[b->row].group, b->bar * peer);
        }
    }
    for (uint32_t i = 0; i < p->rows_n; i++) {
        const struct bench_row *r = &p->rows[i];
        if (r->measured) {
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
