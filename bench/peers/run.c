/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/peers/stage.h"

#define VALUES_MAX (UINT64_C(2) << 30)     /* bytes of all values: seven copies of them are made */
#define OTHER_PARTS_KEYS UINT64_C(1000000) /* puts, pairs and a writer beside: up to so many keys */
#define CHECKED_BAR "get.10k.plain"

void peer_progress(const char *part, const struct peer_stage *s, uint32_t done) {
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    fputs("\r\033[K", stderr);
    if (part != NULL) {
        fprintf(stderr, "%s, %s keys, %llu bytes, %s: %u of %u", part, peer_count_text(s->options.keys),
                (unsigned long long)s->options.value_size, bench_dists[s->workload.dist], done,
                s->settings->repetitions);
    }
    fflush(stderr);
}

static void gets_at(struct peer_stage *s, uint64_t keys, uint64_t value_size) {
    unsigned parts = s->settings->parts;
    bool others = keys <= OTHER_PARTS_KEYS && value_size == 64, many = bench->machine.cpus > 1;
    if (!(parts & PART_GETS) && !(others && parts & (PART_PAIRS | PART_BESIDE))) {
        return;
    }
    peer_stage_open(s, s->settings->chosen, keys, value_size, 0);
    if (peer_stage_verify(s) != 0) {
        bench_fail("%s", s->c.error);
    }
    if (parts & PART_GETS) {
        peer_measure_gets(s);
    }
    if (others) {
        /* Uniform whatever --dist says: the bars are about uniform keys. */
        peer_stage_dist(s, BENCH_UNIFORM);
    }
    if (others && many && parts & PART_PAIRS) {
        peer_measure_pairs(s);
    }
    if (others && many && parts & PART_BESIDE) {
        peer_measure_beside(s);
    }
    peer_stage_close(s);
}

static void puts_at(struct peer_stage *s, uint64_t keys, uint64_t value_size) {
    if (s->settings->parts & PART_PUTS && keys <= OTHER_PARTS_KEYS && value_size == 64) {
        peer_stage_open(s, s->settings->chosen, keys, value_size, 1);
        peer_measure_puts(s);
        peer_stage_close(s);
    }
}

static void run(struct peer_stage *s) {
    const struct peer_settings *settings = s->settings;
    bool tide = false;
    for (uint32_t v = 0; v < settings->value_sizes.n; v++) {
        for (uint32_t k = 0; k < settings->keys.n; k++) {
            uint64_t keys = settings->keys.items[k], size = settings->value_sizes.items[v];
            if (keys * size > VALUES_MAX) {
                fprintf(stderr, "%s: %llu keys with values of %llu bytes are left out: too large\n", settings->name,
                        (unsigned long long)keys, (unsigned long long)size);
                continue;
            }
            gets_at(s, keys, size);
            puts_at(s, keys, size);
        }
    }
    for (uint32_t k = 0; k < PEERS; k++) {
        tide |= settings->peers[k] == &peer_tide && (settings->chosen & (1u << k)) != 0;
    }
    if (tide && settings->parts & PART_PAIRS && bench->machine.cpus > 1) {
        peer_measure_processes(settings, s->figures);
    }
}

/* Exit code. */
static int publish(const struct peer_stage *s) {
    struct bench_figures *f = s->figures;
    int missed = 0;
    snprintf(f->note, sizeof(f->note),
             "Keys of 16 bytes, the same order of keys for all, XXH3, slices in turn; %s pages for the peers. Values "
             "were compared before the clock started. One thread, unless said.",
             s->c.huge_pages ? "huge" : "small");
    peer_bars(f, !s->settings->cost);
    bench_figures_settle(f, s->settings->repetitions);
    for (uint32_t i = 0; i < f->bars_n; i++) {
        missed |= strcmp(f->bars[i].id, CHECKED_BAR) == 0 && f->bars[i].spread.n > 0 && !f->bars[i].kept;
    }
    if (bench_figures_publish(f, s->settings->json_path) != 0) {
        return BENCH_EXIT_FAILED;
    }
    return s->settings->check && missed ? BENCH_EXIT_BAR : BENCH_EXIT_OK;
}

int peer_run(struct peer_settings *settings, int argc, char **argv) {
    static struct bench_program p;
    static struct peer_stage stage;
    static char error[BENCH_ERROR_BYTES];
    int code = peer_settings_parse(settings, argc, argv);
    if (code >= 0) {
        return code;
    }
    p.name = settings->name;
    p.repetitions = settings->repetitions;
    p.quick = settings->quick;
    bench_begin(&p);
    signal(SIGPIPE, SIG_IGN); /* Redis' socket: its end shows as an error there */
    stage.settings = settings;
    stage.figures = &p.figures;
    stage.c = (struct peer_case){ .huge_pages = settings->huge_pages, .error = error };
    run(&stage);
    bench_go_on();
    return publish(&stage);
}
