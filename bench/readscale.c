/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How does read throughput grow with the number of replicas? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/compare.h"
#include "bench/lib/format.h"
#include "bench/lib/grid.h"
#include "bench/lib/report.h"
#include "bench/lib/result.h"
#include "bench/lib/stop.h"
#include "bench/lib/sweep.h"

struct progress {
    int terminal;
    const struct bench_options *options;
};

static void show_progress(void *ctx, uint32_t done, uint32_t total, uint32_t replicas, uint32_t repetition) {
    const struct progress *p = ctx;
    if (!p->terminal) {
        return;
    }
    fputs("\r\033[K", stderr);
    if (done < total) {
        fprintf(stderr, "%3u %%  repetition %u of %u, %u replica%s", 100 * done / total, repetition + 1,
                p->options->repetitions, replicas, replicas == 1 ? "" : "s");
    }
    fflush(stderr);
}

static void print_comparison(const struct bench_sweep *s, const cJSON *old) {
    cJSON *now = bench_result_json(s);
    if (now != NULL) {
        bench_compare_print(stdout, s->options->compare_path, old, now);
    }
    cJSON_Delete(now);
}

/* Table, JSON, report: whatever was asked for. old: what is compared with; may be NULL. */
static int publish(const struct bench_sweep *s, const cJSON *old) {
    const struct bench_options *o = s->options;
    char error[BENCH_ERROR_BYTES];
    int rc = 0;
    int json_only = o->json_path != NULL && strcmp(o->json_path, "-") == 0;
    if (s->points_n == 0 || s->points[0].done == 0) {
        fprintf(stderr, "readscale: interrupted before the first repetition was complete; nothing to show\n");
        return 0;
    }
    if (!json_only) {
        bench_sweep_print(stdout, s);
    }
    if (!json_only && old != NULL) {
        print_comparison(s, old);
    }
    if (o->json_path != NULL && bench_result_write(s, o->json_path) != 0) {
        fprintf(stderr, "readscale: writing %s: %s\n", o->json_path, strerror(errno));
        rc = -1;
    }
    if (o->out_dir != NULL) {
        if (bench_report_write(s, o->out_dir, error) != 0) {
            fprintf(stderr, "readscale: %s\n", error);
            return -1;
        }
        printf("\nThe report is %s/report.html\n", o->out_dir);
    }
    return rc;
}

int main(int argc, char **argv) {
    static struct bench_options options;
    static struct bench_machine machine;
    static struct bench_sweep sweep;
    char error[BENCH_ERROR_BYTES] = "";
    bench_machine_read(&machine);
    switch (bench_options_parse(&options, argc, argv, machine.cpus, error)) {
    case BENCH_PARSED_HELP:
        bench_options_help();
        return BENCH_EXIT_OK;
    case BENCH_PARSED_ERROR:
        fprintf(stderr, "readscale: %s; --help lists all arguments\n", error);
        return BENCH_EXIT_USAGE;
    case BENCH_PARSED_RUN:
        break;
    }
    /* Fail before the measurement where the directory cannot be written, not after it. */
    if (options.out_dir != NULL && bench_make_directory(options.out_dir) != 0) {
        fprintf(stderr, "readscale: --out %s: %s\n", options.out_dir, strerror(errno));
        return BENCH_EXIT_FAILED;
    }
    cJSON *old = options.compare_path != NULL ? bench_compare_read(options.compare_path, error) : NULL;
    if (options.compare_path != NULL && old == NULL) {
        fprintf(stderr, "readscale: --compare: %s\n", error);
        return BENCH_EXIT_FAILED;
    }
    bench_stop_catch();
    struct progress progress = { isatty(STDERR_FILENO), &options };
    int rc = bench_sweep_run(&sweep, &options, &machine, &bench_stop, show_progress, &progress, error);
    if (rc != 0) {
        if (progress.terminal) {
            fputs("\r\033[K", stderr);
        }
        fprintf(stderr, "readscale: %s\n", error);
    } else {
        rc = publish(&sweep, old);
    }
    int interrupted = sweep.interrupted;
    bench_sweep_destroy(&sweep);
    cJSON_Delete(old);
    if (rc != 0) {
        return BENCH_EXIT_FAILED;
    }
    return interrupted ? BENCH_EXIT_INTERRUPTED : BENCH_EXIT_OK;
}
