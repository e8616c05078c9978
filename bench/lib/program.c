/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/program.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/setup.h"

#define QUICK_NS UINT64_C(4000000)
#define DOMAINS_MAX 16u
#define ENDS_MAX 8u
#define TEXTS 256u /* in use at a time */

struct bench_program *bench;

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

/* ---- the end ----------------------------------------------------------------------------------------------------- */

static struct {
    char domains[DOMAINS_MAX][TIDE_NAME_MAX];
    uint32_t domains_n, ends_n;
    struct {
        void (*end)(void *);
        void *ctx;
    } ends[ENDS_MAX];
} made;

void bench_at_end(void (*end)(void *), void *ctx) {
    if (made.ends_n == ENDS_MAX) {
        abort();
    }
    made.ends[made.ends_n].end = end;
    made.ends[made.ends_n++].ctx = ctx;
}

/* Children first: one that lives could make a domain's segments anew. */
static void take_down(void) {
    bench_children_end();
    while (made.ends_n > 0) {
        made.ends_n--;
        made.ends[made.ends_n].end(made.ends[made.ends_n].ctx);
    }
    while (made.domains_n > 0) {
        tide_unlink(made.domains[--made.domains_n]);
    }
}

/* Threads of the engine and of the benchmark may still run: nothing that they use is given back. */
static _Noreturn void end_program(enum bench_exit code) {
    static atomic_flag ending = ATOMIC_FLAG_INIT;
    while (atomic_flag_test_and_set(&ending)) {
        pause(); /* another thread is at it */
    }
    take_down();
    if (code != BENCH_EXIT_FAILED && bench->done > 0) {
        if (bench->note != NULL) {
            bench->note(bench->figures.note, sizeof(bench->figures.note));
        }
        bench_figures_settle(&bench->figures, bench->done);
        code = bench_figures_publish(&bench->figures, bench->json_path) != 0 ? BENCH_EXIT_FAILED : code;
    }
    fflush(NULL);
    _exit((int)code);
}

static void clear_line(void) {
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
}

void bench_go_on(void) {
    if (bench_stop) {
        clear_line();
        fprintf(stderr, "%s: interrupted after %u of %u repetitions%s\n", bench->name, bench->done, bench->repetitions,
                bench->done == 0 ? "; nothing to show" : "");
        end_program(BENCH_EXIT_INTERRUPTED);
    }
}

void bench_fail(const char *format, ...) {
    char text[BENCH_ERROR_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (bench_worker_self() != NULL) {
        bench_worker_fail(bench_worker_self(), text);
    }
    bench_go_on(); /* a signal from the terminal reaches the children, too: what fails after it is no error */
    clear_line();
    fprintf(stderr, "%s: %s\n", bench->name, text);
    end_program(BENCH_EXIT_FAILED);
}

void bench_must(int code, const char *what) {
    if (code != 0) {
        bench_fail("%.120s: %.80s%s", what, tide_strerror(code),
                   code == TIDE_ERR_NO_SPACE ? "; give fewer --keys where there is that argument" : "");
    }
}

void bench_must_system(bool good, const char *what) {
    if (!good) {
        bench_fail("%.120s: %.80s", what, errno != 0 ? strerror(errno) : "it cannot be had");
    }
}

static void show_repetition(const char *end) {
    fprintf(stderr, "\r\033[K%s: repetition %u of %u%s", bench->name, bench->done + 1, bench->repetitions, end);
}

void bench_begin(struct bench_program *p) {
    bench = p;
    bench_machine_read(&p->machine);
    bench_stop_catch();
    bench_figures_init(&p->figures, p->name, &p->machine, p->repetitions);
    p->figures.quick = p->quick != 0;
}

int bench_main(struct bench_program *p, int argc, char **argv) {
    int code = read_arguments(p, argc, argv);
    if (code >= 0) {
        return code;
    }
    bench_begin(p);
    p->prepare();
    while (p->done < p->repetitions) {
        if (isatty(STDERR_FILENO)) {
            show_repetition("");
        }
        p->repeat();
        bench_go_on();
        p->done++;
    }
    clear_line();
    if (p->finish != NULL) {
        p->finish();
    }
    end_program(BENCH_EXIT_OK);
}

/* ---- helpers ----------------------------------------------------------------------------------------------------- */

void *bench_alloc(size_t n, size_t size) {
    void *memory = calloc(n, size);
    bench_must_system(memory != NULL, "memory");
    return memory;
}

void *bench_share(size_t size) {
    void *memory = bench_shared_map(size);
    bench_must_system(memory != NULL, "memory that processes share");
    return memory;
}

struct hdr *bench_hdr(void) {
    struct hdr *h = hdr_new(1, INT64_C(100000000000), 3);
    bench_must_system(h != NULL, "memory for times");
    return h;
}

pthread_t bench_thread(void *(*run)(void *), void *ctx) {
    pthread_t thread;
    errno = pthread_create(&thread, NULL, run, ctx);
    bench_must_system(errno == 0, "starting a thread");
    return thread;
}

static char *next_text(void) {
    static char texts[TEXTS][192];
    static _Atomic uint32_t next;
    return texts[atomic_fetch_add(&next, 1) % TEXTS];
}

const char *bench_text(const char *format, ...) {
    char *text = next_text();
    va_list args;
    va_start(args, format);
    vsnprintf(text, 192, format, args);
    va_end(args);
    return text;
}

const char *bench_count(uint64_t n) {
    return bench_format_round(next_text(), n);
}

uint64_t bench_slice_ns(uint64_t ns) {
    return bench->quick && ns > QUICK_NS ? QUICK_NS : ns;
}

const char *bench_mark(uint32_t threads) {
    return threads > bench->machine.cpus ? " (oversubscribed)" : "";
}

void bench_progress(const char *format, ...) {
    if (isatty(STDERR_FILENO)) {
        va_list args;
        va_start(args, format);
        show_repetition(", ");
        vfprintf(stderr, format, args);
        va_end(args);
    }
}

void bench_rest(uint64_t ns) {
    uint64_t until = bench_now_ns() + ns;
    for (uint64_t now = bench_now_ns(); now < until; now = bench_now_ns()) {
        bench_go_on();
        bench_sleep_ns(until - now);
    }
    bench_go_on();
}

/* ---- rows and bars ----------------------------------------------------------------------------------------------- */

uint32_t bench_row(const char *id, const char *group, const char *title, const char *unit) {
    return bench_figures_add(&bench->figures, id, group, title, unit);
}

void bench_rows(uint32_t *rows, const struct bench_name *names, uint32_t n, const char *id, const char *group,
                const char *unit) {
    char full[128];
    for (uint32_t i = 0; i < n; i++) {
        snprintf(full, sizeof(full), "%.60s.%.60s", id, names[i].id);
        rows[i] = bench_row(full, group, names[i].title, unit);
    }
}

uint32_t bench_hidden_row(const char *group) {
    return bench_row("", group, "", "");
}

void bench_set(uint32_t row, double value) {
    bench_figures_set(&bench->figures, row, bench->done, value);
}

void bench_set_rate(uint32_t row, uint64_t n, uint64_t ns) {
    bench_set(row, bench_ratio((double)n * 1e9, (double)ns));
}

static const struct {
    const char *name;
    double percentile;
} times[BENCH_TIMES] = { { "p50", 50.0 }, { "p99", 99.0 }, { "p99.9", 99.9 }, { "max", 100.0 } };

void bench_times(uint32_t rows[BENCH_TIMES], const char *id, const char *group) {
    for (uint32_t k = 0; k < BENCH_TIMES; k++) {
        rows[k] = bench_row(bench_text("%s.%s", id, times[k].name), group, times[k].name, "ns");
    }
}

int64_t bench_percentile(const struct hdr *h, double percentile) {
    return percentile < 100.0 ? hdr_value_at_percentile(h, percentile) : hdr_max(h);
}

void bench_set_times(const uint32_t rows[BENCH_TIMES], const struct hdr *h) {
    for (uint32_t k = 0; k < BENCH_TIMES; k++) {
        bench_set(rows[k], (double)bench_percentile(h, times[k].percentile));
    }
}

static void add_bar(const char *id, const char *what, const char *unit, enum bench_sense sense, double bar,
                    uint32_t row, uint32_t base) {
    bool shown = row != BENCH_NO_ROW && bench->figures.figures[row].group[0] != '\0';
    bench_figures_bar(&bench->figures, id, what, unit, sense, bar, base == BENCH_NO_ROW ? BENCH_ALONE : BENCH_RATIO,
                      row, base, shown ? row : BENCH_NO_ROW);
}

void bench_at_most(const char *id, const char *what, const char *unit, double bar, uint32_t row, uint32_t base) {
    add_bar(id, what, unit, BENCH_AT_MOST, bar, row, base);
}

void bench_at_least(const char *id, const char *what, const char *unit, double bar, uint32_t row, uint32_t base) {
    add_bar(id, what, unit, BENCH_AT_LEAST, bar, row, base);
}

void bench_at_most_above(const char *id, const char *what, const char *unit, double bar, uint32_t row, uint32_t base) {
    bench_figures_bar(&bench->figures, id, what, unit, BENCH_AT_MOST, bar, BENCH_LESS, row, base, BENCH_NO_FIGURE);
}

/* ---- domains and workers ----------------------------------------------------------------------------------------- */

void bench_domain_name(const char *which, char out[TIDE_NAME_MAX]) {
    uint32_t n = 0;
    snprintf(out, TIDE_NAME_MAX, "bench-%.16s-%ld%s%.16s", bench->name, (long)getpid(), which != NULL ? "." : "",
             which != NULL ? which : "");
    while (n < made.domains_n && strcmp(made.domains[n], out) != 0) {
        n++;
    }
    if (n == DOMAINS_MAX) {
        abort();
    }
    made.domains_n += n == made.domains_n;
    memcpy(made.domains[n], out, TIDE_NAME_MAX);
}

struct tide *bench_domain(const char *which, const struct tide_opts *opts, uint32_t followers) {
    char name[TIDE_NAME_MAX];
    struct tide *d = NULL;
    bench_domain_name(which, name);
    bench_must(tide_open(&d, name, opts), "creating its domain");
    for (uint32_t id = 0; followers != BENCH_UNLED && id <= followers; id++) {
        bench_must(bench_setup_start(d, id, -1), "starting replicas");
    }
    return d;
}

struct bench_worker *bench_start(bool process, int32_t turn, bench_worker_fn *fn, void *ctx) {
    struct bench_worker *w = bench_worker_start(process, &bench->machine, turn, fn, ctx);
    if (w == NULL) {
        bench_fail("no memory, or no %s to be had", process ? "process" : "thread");
    }
    return w;
}

void bench_await(struct bench_worker *w, uint32_t order) {
    char error[BENCH_ERROR_BYTES];
    int rc = bench_worker_await(w, order, &bench_stop, error);
    bench_go_on();
    if (rc < 0) {
        bench_fail("%s", error);
    }
}

void bench_turn(struct bench_worker *w) {
    bench_await(w, bench_worker_next(w));
}
