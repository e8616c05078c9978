/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How does Tidemark stand beside what one would use instead? */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "bench/lib/stop.h"
#include "bench/peers/stage.h"

#define VALUES_MAX (UINT64_C(2) << 30)     /* bytes of all values: seven copies of them are made */
#define OTHER_PARTS_KEYS UINT64_C(1000000) /* puts, pairs and a writer beside: up to so many keys */

static int gets_at(struct peer_stage *s, uint64_t keys, uint64_t value_size) {
    unsigned parts = s->settings->parts;
    int others = keys <= OTHER_PARTS_KEYS && value_size == 64;
    if (!(parts & PART_GETS) && !(others && parts & (PART_PAIRS | PART_BESIDE))) {
        return 0;
    }
    int rc = peer_stage_open(s, s->settings->chosen, keys, value_size, 0);
    rc = rc != 0 ? rc : peer_stage_verify(s);
    rc = rc == 0 && parts & PART_GETS ? peer_measure_gets(s) : rc;
    /* Uniform whatever was asked for: this is what the bars are about. */
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
    for (uint32_t v = 0; v < settings->value_sizes_n && rc == 0; v++) {
        for (uint32_t k = 0; k < settings->keys_n && rc == 0; k++) {
            uint64_t keys = settings->keys[k], size = settings->value_sizes[v];
            if (keys * size > VALUES_MAX) {
                fprintf(stderr, "peers: %llu keys with values of %llu bytes are left out: too large\n",
                        (unsigned long long)keys, (unsigned long long)size);
                continue;
            }
            rc = gets_at(s, keys, size);
            rc = rc != 0 ? rc : puts_at(s, keys, size);
        }
    }
    for (uint32_t k = 0; k < PEERS; k++) {
        tide |= peers[k] == &peer_tide && (settings->chosen & (1u << k)) != 0;
    }
    if (rc == 0 && tide && settings->parts & PART_PAIRS && s->c.machine->cpus > 1) {
        rc = peer_measure_processes(&s->c, settings, s->results);
    }
    return rc;
}

static int publish(const struct peer_stage *s) {
    static struct bench_figures f;
    const char *json = s->settings->json_path;
    bench_figures_init(&f, "peers", s->c.machine, s->settings->repetitions);
    snprintf(f.note, sizeof(f.note),
             "Keys of 16 bytes, the same order of keys for all, XXH3, slices in turn; %s "
             "pages for the peers. Values were compared before the clock started. One thread, unless said.",
             s->c.huge_pages ? "huge" : "small");
    peer_results_figures(s->results, &f);
    peer_results_bars(s->results, &f);
    if (json == NULL || strcmp(json, "-") != 0) {
        bench_figures_print(stdout, &f);
    }
    if (json != NULL && bench_figures_write(&f, json) != 0) {
        fprintf(stderr, "peers: writing %s: %s\n", json, strerror(errno));
        return -1;
    }
    return 0;
}

int main(int argc, char **argv) {
    static struct bench_machine machine;
    static struct peer_settings settings;
    static struct peer_results results;
    static struct peer_stage stage;
    static char error[BENCH_ERROR_BYTES];
    int parsed = peer_settings_parse(&settings, argc, argv);
    if (parsed != 0) {
        return parsed < 0 ? BENCH_EXIT_OK : parsed;
    }
    bench_machine_read(&machine);
    bench_stop_catch();
    signal(SIGPIPE, SIG_IGN); /* Redis' socket: its end shows as an error there */
    results.repetitions = settings.repetitions;
    stage.settings = &settings;
    stage.results = &results;
    stage.c = (struct peer_case){ .machine = &machine, .stop = &bench_stop, .error = error };
    stage.c.huge_pages = settings.huge_pages;
    int rc = run(&stage);
    if (rc == PEER_STOPPED || bench_stop) {
        fprintf(stderr, "peers: interrupted before the end; nothing to show\n");
        return BENCH_EXIT_INTERRUPTED;
    }
    if (rc != 0) {
        fprintf(stderr, "peers: %s\n", error);
        return BENCH_EXIT_FAILED;
    }
    return publish(&stage) == 0 ? BENCH_EXIT_OK : BENCH_EXIT_FAILED;
}
