/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/stop.h"
#include "bench/peers/stage.h"

#define VALUES_MAX (UINT64_C(2) << 30)     /* bytes of all values: seven copies of them are made */
#define OTHER_PARTS_KEYS UINT64_C(1000000) /* puts, pairs and a writer beside: up to so many keys */
#define CHECKED_BAR "get.10k.plain"

void peer_progress(const char *part, const struct peer_stage *s, uint32_t done) {
    char keys[24];
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    fputs("\r\033[K", stderr);
    if (part != NULL) {
        fprintf(stderr, "%s, %s keys, %llu bytes, %s: %u of %u", part, peer_count_text(keys, s->options.keys),
                (unsigned long long)s->options.value_size, bench_dists[s->workload.dist], done,
                s->settings->repetitions);
    }
    fflush(stderr);
}

static int gets_at(struct peer_stage *s, uint64_t keys, uint64_t value_size) {
    unsigned parts = s->settings->parts;
    int others = keys <= OTHER_PARTS_KEYS && value_size == 64;
    if (!(parts & PART_GETS) && !(others && parts & (PART_PAIRS | PART_BESIDE))) {
        return 0;
    }
    int rc = peer_stage_open(s, s->settings->chosen, keys, value_size, 0);
    rc = rc != 0 ? rc : peer_stage_verify(s);
    rc = rc == 0 && parts & PART_GETS ? peer_measure_gets(s) : rc;
    /* Uniform whatever --dist says: the bars are about uniform keys. */
    rc = rc != 0 || !others ? rc : peer_stage_dist(s, BENCH_UNIFORM);
    rc = rc == 0 && others && parts & PART_PAIRS && s->c.machine->cpus > 1 ? peer_measure_pairs(s) : rc;
    rc = rc == 0 && others && parts & PART_BESIDE && s->c.machine->cpus > 1 ? peer_measure_beside(s) : rc;
    peer_stage_close(s);
    return rc;
}

static int puts_at(struct peer_stage *s, uint64_t keys, uint64_t value_size) {
    if (!(s->settings->parts & PART_PUTS) || keys > OTHER_PARTS_KEYS || value_size != 64) {
        return 0;
    }
    int rc = peer_stage_open(s, s->settings->chosen, keys, value_size, 1);
    rc = rc != 0 ? rc : peer_measure_puts(s);
    peer_stage_close(s);
    return rc;
}

static int run(struct peer_stage *s) {
    const struct peer_settings *settings = s->settings;
    int rc = 0, tide = 0;
    for (uint32_t v = 0; v < settings->value_sizes.n && rc == 0; v++) {
        for (uint32_t k = 0; k < settings->keys.n && rc == 0; k++) {
            uint64_t keys = settings->keys.items[k], size = settings->value_sizes.items[v];
            if (keys * size > VALUES_MAX) {
                fprintf(stderr, "%s: %llu keys with values of %llu bytes are left out: too large\n", settings->name,
                        (unsigned long long)keys, (unsigned long long)size);
                continue;
            }
            rc = gets_at(s, keys, size);
            rc = rc != 0 ? rc : puts_at(s, keys, size);
        }
    }
    for (uint32_t k = 0; k < PEERS; k++) {
        tide |= settings->peers[k] == &peer_tide && (settings->chosen & (1u << k)) != 0;
    }
    if (rc == 0 && tide && settings->parts & PART_PAIRS && s->c.machine->cpus > 1) {
        rc = peer_measure_processes(&s->c, settings, s->figures);
    }
    return rc;
}

/* Exit code. */
static int publish(const struct peer_stage *s) {
    struct bench_figures *f = s->figures;
    int missed = 0;
    snprintf(f->note, sizeof(f->note),
             "Keys of 16 bytes, the same order of keys for all, XXH3, slices in turn; %s "
             "pages for the peers. Values were compared before the clock started. One thread, unless said.",
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
    static struct bench_machine machine;
    static struct bench_figures figures;
    static struct peer_stage stage;
    static char error[BENCH_ERROR_BYTES];
    int code = peer_settings_parse(settings, argc, argv);
    if (code >= 0) {
        return code;
    }
    bench_machine_read(&machine);
    bench_stop_catch();
    signal(SIGPIPE, SIG_IGN); /* Redis' socket: its end shows as an error there */
    bench_figures_init(&figures, settings->name, &machine, settings->repetitions);
    figures.quick = settings->quick != 0;
    stage.settings = settings;
    stage.figures = &figures;
    stage.c = (struct peer_case){ .machine = &machine, .stop = &bench_stop, .error = error };
    stage.c.huge_pages = settings->huge_pages;
    int rc = run(&stage);
    if (rc == PEER_STOPPED || bench_stop) {
        fprintf(stderr, "%s: interrupted before the end; nothing to show\n", settings->name);
        return BENCH_EXIT_INTERRUPTED;
    }
    if (rc != 0) {
        fprintf(stderr, "%s: %s\n", settings->name, error);
        return BENCH_EXIT_FAILED;
    }
    return publish(&stage);
}
