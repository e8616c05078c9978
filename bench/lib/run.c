/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/format.h"

volatile sig_atomic_t bench_stop;

static void on_signal(int number) {
    (void)number;
    bench_stop = 1;
}

static void catch_signals(void) {
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    action.sa_flags = (int)SA_RESETHAND; /* the second one ends the program at once */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static void help(const struct bench_run *r) {
    printf("Usage: %s [options]\n\n%s\n\n", r->name, r->what);
    for (size_t i = 0; i < r->numbers_n; i++) {
        const struct bench_run_number *n = &r->numbers[i];
        printf("  %-18s %s. Default %llu, quick %llu\n", n->option, n->what, (unsigned long long)*n->value,
               (unsigned long long)n->quick);
    }
    printf("  --repetitions N    1 to 1000. Default %llu, quick %llu\n"
           "  --quick            small and short: to see that it works, not to measure\n"
           "  --json FILE        write the figures as JSON (docs/bench.md); - is stdout, without the tables\n"
           "  --help             this text\n\n"
           "Counts may end with k, M, G. Exit codes: 0 measured; 1 the engine or a file failed; 2 bad arguments;\n"
           "130 interrupted.\n",
           (unsigned long long)r->repetitions, (unsigned long long)r->repetitions_quick);
}

static int usage(const struct bench_run *r, const char *text, const char *arg) {
    fprintf(stderr, "%s: %s '%.100s'; --help lists all arguments\n", r->name, text, arg);
    return BENCH_EXIT_USAGE;
}

static int take_number(const struct bench_run *r, const struct bench_run_number *n, const char *text) {
    uint64_t value = 0;
    if (bench_parse_count(text, &value) != 0 || value < n->least || value > n->most) {
        char wants[96];
        snprintf(wants, sizeof(wants), "%s wants a number from %llu to %llu, not", n->option,
                 (unsigned long long)n->least, (unsigned long long)n->most);
        return usage(r, wants, text);
    }
    *n->value = value;
    return -1;
}

/* -1: go on. given: a bit for each number that the command line set. */
static int parse(struct bench_run *r, int argc, char **argv, uint64_t *given) {
    struct bench_run_number repetitions = { "--repetitions", "", &r->repetitions, 1, BENCH_REPETITIONS_MAX, 0 };
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        const struct bench_run_number *number = strcmp(arg, "--repetitions") == 0 ? &repetitions : NULL;
        uint64_t bit = UINT64_C(1) << 63;
        for (size_t k = 0; k < r->numbers_n && number == NULL; k++) {
            if (strcmp(arg, r->numbers[k].option) == 0) {
                number = &r->numbers[k];
                bit = UINT64_C(1) << k;
            }
        }
        if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
            help(r);
            return BENCH_EXIT_OK;
        }
        if (strcmp(arg, "--quick") == 0) {
            r->quick = 1;
            continue;
        }
        if (number == NULL && strcmp(arg, "--json") != 0) {
            return usage(r, "unknown argument", arg);
        }
        if (i + 1 == argc) {
            return usage(r, "a value is missing after", arg);
        }
        i++;
        if (number == NULL) {
            r->json_path = argv[i];
        } else {
            int rc = take_number(r, number, argv[i]);
            if (rc >= 0) {
                return rc;
            }
            *given |= bit;
        }
    }
    return -1;
}

int bench_run_begin(struct bench_run *r, int argc, char **argv) {
    uint64_t given = 0;
    int rc = parse(r, argc, argv, &given);
    if (rc >= 0) {
        return rc;
    }
    if (r->quick) {
        for (size_t i = 0; i < r->numbers_n; i++) {
            if ((given >> i & 1) == 0) {
                *r->numbers[i].value = r->numbers[i].quick;
            }
        }
        r->repetitions = given >> 63 != 0 ? r->repetitions : r->repetitions_quick;
    }
    bench_machine_read(&r->machine);
    bench_figures_init(&r->figures, r->name, &r->machine, (uint32_t)r->repetitions);
    catch_signals();
    return -1;
}

void bench_run_progress(const struct bench_run *r, const char *format, ...) {
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    va_list args;
    va_start(args, format);
    fprintf(stderr, "\r\033[K%s: ", r->name);
    vfprintf(stderr, format, args);
    fflush(stderr);
    va_end(args);
}

int bench_run_failed(struct bench_run *r, const char *what, int code) {
    const char *hint = code == TIDE_ERR_NO_SPACE ? "; give fewer --keys where there is that argument" : "";
    snprintf(r->error, sizeof(r->error), "%.120s: %.80s%s", what, tide_strerror(code), hint);
    return -1;
}

int bench_run_failed_errno(struct bench_run *r, const char *what) {
    snprintf(r->error, sizeof(r->error), "%.120s: %.80s", what, strerror(errno));
    return -1;
}

int bench_run_end(struct bench_run *r, int rc) {
    if (isatty(STDERR_FILENO)) {
        fputs("\r\033[K", stderr);
    }
    if (rc > 0 || (rc < 0 && bench_stop)) {
        fprintf(stderr, "%s: interrupted before the end; nothing to show\n", r->name);
        return BENCH_EXIT_INTERRUPTED;
    }
    if (rc < 0) {
        fprintf(stderr, "%s: %s\n", r->name, r->error);
        return BENCH_EXIT_FAILED;
    }
    if (r->json_path == NULL || strcmp(r->json_path, "-") != 0) {
        bench_figures_print(stdout, &r->figures);
    }
    if (r->json_path != NULL && bench_figures_write(&r->figures, r->json_path) != 0) {
        fprintf(stderr, "%s: writing %s: %s\n", r->name, r->json_path, strerror(errno));
        return BENCH_EXIT_FAILED;
    }
    return BENCH_EXIT_OK;
}

void bench_run_domain_name(const struct bench_run *r, char out[TIDE_NAME_MAX]) {
    snprintf(out, TIDE_NAME_MAX, "bench-%.16s-%ld", r->name, (long)getpid());
}

int bench_run_domain(struct bench_run *r, struct tide **out, const struct tide_opts *opts) {
    char name[TIDE_NAME_MAX];
    struct tide_opts own = *opts;
    own.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    bench_run_domain_name(r, name);
    int rc = tide_open(out, name, &own);
    return rc != 0 ? bench_run_failed(r, "creating its domain", rc) : 0;
}

const char *bench_run_count(char out[BENCH_TEXT], uint64_t n) {
    if (n >= 1000000 && n % 1000000 == 0) {
        snprintf(out, BENCH_TEXT, "%llu M", (unsigned long long)(n / 1000000));
    } else if (n >= 1000 && n % 1000 == 0) {
        snprintf(out, BENCH_TEXT, "%llu k", (unsigned long long)(n / 1000));
    } else {
        snprintf(out, BENCH_TEXT, "%llu", (unsigned long long)n);
    }
    return out;
}
