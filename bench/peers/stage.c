/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peers/loop.h"

#define LARGE_KEYS UINT64_C(100000)
#define SAMPLE UINT64_C(20000) /* keys whose whole value is compared */

struct peer_reader *peer_stage_reader(struct peer_stage *s, struct peer_seat *seat, uint32_t turn) {
    struct peer_reader *r = aligned_alloc(64, sizeof(*r));
    uint8_t value[PEER_VALUE_MAX + 8];
    bench_must_system(r != NULL, "memory for a reader");
    peer_reader_init(r, &s->workload, turn, seat->handle);
    bench_workload_value(&s->workload, 0, 1, value);
    memcpy(r->value, value, s->workload.value_size);
    if (seat->peer->open != NULL) {
        seat->peer->open(r, turn);
    }
    return r;
}

void peer_stage_reader_close(struct peer_seat *seat, struct peer_reader *r) {
    if (seat->peer->close != NULL) {
        seat->peer->close(r);
    }
    free(r);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

/* A table that does not fit the caches still has a part there, its index above all, which has to be read anew after
 * the others' slices: a get of one million keys is at its own speed after some tens of milliseconds alone. */
static void set_slices(struct peer_stage *s, uint64_t keys) {
    int large = keys > LARGE_KEYS;
    s->rounds_large = large;
    s->rounds = large ? (s->settings->rounds + 1) / 2 : s->settings->rounds;
    s->slice_ns = s->settings->slice_ns * (large ? 2 : 1);
    s->warm_ns = s->settings->slice_ns * (large ? 4 : 1);
}

void peer_stage_open(struct peer_stage *s, unsigned chosen, uint64_t keys, uint64_t value_size, int for_puts) {
    s->options = (struct bench_options){ .keys = keys, .key_size = PEER_KEY, .value_size = value_size, .seed = 1 };
    s->options.theta = 0.99;
    set_slices(s, keys);
    /* Budgets are reserved at once, three of them. Half as much to spare is enough where values never grow. */
    s->options.table_bytes = (UINT64_C(32) << 20) + keys * (64 + PEER_KEY + value_size) * 3 / 2;
    s->c.options = &s->options;
    s->c.workload = &s->workload;
    s->c.for_puts = for_puts;
    s->c.cost = s->settings->cost;
    memset(s->seats, 0, sizeof(s->seats));
    bench_must_system(bench_workload_init(&s->workload, &s->options, PEER_READERS) == 0 &&
                          bench_workload_prepare(&s->workload, PEER_READERS) == 0,
                      "memory for keys");
    for (uint32_t k = 0; k < PEERS; k++) {
        const struct peer *p = chosen & (1u << k) ? s->settings->peers[k] : NULL;
        const struct peer_row *rows = p == NULL ? NULL : for_puts ? p->puts : p->gets;
        s->seats[k].peer = p != NULL && (rows[0].id != NULL || p->package != NULL) ? p : NULL;
    }
    peer_stage_fill(s);
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        if (seat->ready) {
            seat->reader = peer_stage_reader(s, seat, 0);
        }
    }
}

void peer_stage_close(struct peer_stage *s) {
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        if (seat->ready) {
            peer_stage_reader_close(seat, seat->reader);
            seat->peer->end(seat->handle);
        }
    }
    memset(s->seats, 0, sizeof(s->seats));
    bench_workload_destroy(&s->workload);
    peer_progress(NULL, s, 0);
}

void peer_stage_dist(struct peer_stage *s, enum bench_dist dist) {
    struct bench_workload *w = &s->workload;
    if (w->dist == dist) {
        return;
    }
    for (uint32_t t = 0; t < w->threads; t++) {
        free(w->sequences[t]);
        w->sequences[t] = NULL;
    }
    w->dist = dist;
    w->theta = s->options.theta;
    bench_must_system(bench_workload_prepare(w, PEER_READERS) == 0, "memory for the order of keys");
    for (uint32_t k = 0; k < PEERS; k++) {
        if (s->seats[k].reader != NULL) {
            s->seats[k].reader->sequence = w->sequences[0];
        }
    }
}

/* ---- proof ------------------------------------------------------------------------------------------------------- */

static int wrong(struct peer_stage *s, const struct peer *p, const char *what) {
    snprintf(s->c.error, BENCH_ERROR_BYTES, "%llu keys, %s: %s answers what was not put",
             (unsigned long long)s->options.keys, p->name, what);
    return -1;
}

/* The whole value of some keys, one by one. */
static int verify_values(struct peer_stage *s, struct peer_seat *seat) {
    const struct bench_workload *w = &s->workload;
    uint8_t expected[PEER_VALUE_MAX + 8], got[PEER_VALUE_MAX];
    uint64_t step = (w->keys + SAMPLE - 1) / SAMPLE;
    for (uint64_t i = 0; i < w->keys; i += step) {
        bench_go_on();
        bench_workload_value(w, i, 0, expected);
        memset(got, 0, w->value_size);
        if (seat->peer->get(seat->reader, bench_workload_key(w, i), got) != 0 ||
            memcmp(got, expected, w->value_size) != 0) {
            return wrong(s, seat->peer, "a get");
        }
    }
    return 0;
}

/* What each row's own loop reads in one chunk. */
static int verify_rows(struct peer_stage *s, struct peer_seat *seat) {
    const struct bench_workload *w = &s->workload;
    uint8_t value[PEER_VALUE_MAX + 8];
    for (const struct peer_row *row = seat->peer->gets; row < seat->peer->gets + PEER_ROWS && row->id != NULL; row++) {
        uint64_t expected = 0;
        if (row->cost && !s->c.cost) {
            continue;
        }
        if (row->before != NULL && row->before(seat->reader) != 0) {
            return wrong(s, seat->peer, row->title);
        }
        for (uint64_t i = 0; i < row->chunk; i++) {
            bench_workload_value(w, w->sequences[0][i & (w->steps - 1)], 0, value);
            expected += peer_head(value);
        }
        if (row->run(seat->reader, 0, row->chunk) != expected || seat->reader->bad != 0) {
            return wrong(s, seat->peer, row->title);
        }
    }
    return 0;
}

int peer_stage_verify(struct peer_stage *s) {
    int rc = 0;
    for (uint32_t k = 0; k < PEERS && rc == 0; k++) {
        struct peer_seat *seat = &s->seats[k];
        if (seat->ready && seat->peer->get != NULL) {
            rc = verify_values(s, seat);
            rc = rc != 0 ? rc : verify_rows(s, seat);
        }
    }
    return rc;
}

void peer_stage_answered(struct peer_stage *s) {
    for (uint32_t k = 0; k < PEERS; k++) {
        const struct peer_seat *seat = &s->seats[k];
        if (seat->reader != NULL && seat->reader->bad != 0) {
            bench_fail("%llu keys, %s: %llu operations were not answered", (unsigned long long)s->options.keys,
                       seat->peer->name, (unsigned long long)seat->reader->bad);
        }
    }
}
