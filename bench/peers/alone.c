/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gets and puts by one thread: slices of all rows in turn. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peers/stage.h"

#define ROWS (PEERS * PEER_ROWS)
#define ROUNDS_MAX 64u
#define TOUCH_SHARE 4u /* a page holds dozens of keys: with a get for every fourth hardly one is left out */
#define TOUCH_MOST_NS UINT64_C(2000000000)
#define TOUCH_SLOW_NS UINT64_C(50000) /* a get */

struct row {
    const struct peer_row *row;
    struct peer_seat *seat;
    uint32_t result;  /* a figure, */
    uint32_t over[2]; /* and what it is over another row's: BENCH_NO_FIGURE where that makes no sense */
    uint64_t position;
    double slices[ROUNDS_MAX];
};

/* Operations until slice_ns have gone by: ns of one. */
static double run_for(struct peer_stage *s, struct row *r, uint64_t slice_ns) {
    uint64_t start_ns = bench_now_ns(), now_ns, done = 0;
    do {
        s->sum += r->row->run(r->seat->reader, r->position, r->row->chunk);
        r->position += r->row->chunk;
        done += r->row->chunk;
        now_ns = bench_now_ns();
    } while (now_ns - start_ns < slice_ns);
    return (double)(now_ns - start_ns) / (double)done;
}

/* The first part of a slice warms the caches, which another row had. */
static double time_slice(struct peer_stage *s, struct row *r) {
    run_for(s, r, s->warm_ns);
    double ns = run_for(s, r, s->slice_ns);
    if (s->c.for_puts && r->seat->peer->settle != NULL) {
        r->seat->peer->settle(r->seat->reader);
    }
    return ns;
}

/* A hypervisor may take memory away, page by page, that was not touched for seconds; the next access to each page
 * then pays some microseconds for its return. So a peer's whole memory is touched, untimed, before its first row. */
static void come_back(struct peer_stage *s, struct row *r) {
    uint64_t most = s->options.keys / TOUCH_SHARE, start_ns = bench_now_ns(), now_ns = start_ns;
    for (uint64_t done = 0; done < most && now_ns - start_ns < TOUCH_MOST_NS; done += r->row->chunk) {
        s->sum += r->row->run(r->seat->reader, r->position, r->row->chunk);
        r->position += r->row->chunk;
        now_ns = bench_now_ns();
        if (now_ns - start_ns > TOUCH_SLOW_NS * done && done > 0) {
            return; /* a server on a socket: it is not memory that this waits for */
        }
    }
}

/* A noisy machine is best read by ratios: to Tidemark's get; or, of what a get costs, to the plain table's, once
 * more with the loop taken off both. */
static const struct over {
    bool cost, less_loop;
    const char *base, *suffix, *text;
} overs[] = {
    { false, false, "tide", "x", "over tide's" },
    { true, false, "plain", "to_plain", "over plain's" },
    { true, true, "plain", "net", "over plain's, less the loop" },
};

static uint32_t find_row(const struct row *rows, uint32_t n, const char *id) {
    uint32_t i = 0;
    while (i < n && strcmp(rows[i].row->id, id) != 0) {
        i++;
    }
    return i;
}

/* Figures of one ratio for all rows; which: 0 or 1. */
static void add_over(struct peer_stage *s, struct row *rows, uint32_t n, const struct over *o, int which) {
    for (uint32_t i = 0; i < n; i++) {
        const struct bench_figure *time = &s->figures->figures[rows[i].result];
        bool base = strcmp(rows[i].row->id, o->base) == 0 || strcmp(rows[i].row->id, "loop") == 0;
        if (!base && find_row(rows, n, o->base) < n) {
            rows[i].over[which] = bench_figures_add(s->figures, bench_text("%s.%s", time->id, o->suffix),
                                                    bench_text("%s %s", time->group, o->text), rows[i].row->title, "x");
            s->figures->figures[rows[i].over[which]].more = false; /* a ratio of times */
        }
    }
}

static uint32_t list_rows(struct peer_stage *s, struct row *rows) {
    uint32_t n = 0;
    unsigned long long bytes = s->options.value_size;
    const char *what = s->c.for_puts ? "put" : "get", *dist = bench_dists[s->workload.dist],
               *keys = peer_count_text(s->options.keys), *size = bytes != 64 ? bench_text(".v%llu", bytes) : "",
               *group = bench_text("%s, %s keys, values of %llu bytes, %s: time of one", what, keys, bytes, dist);
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        const struct peer_row *list = !seat->ready ? NULL : s->c.for_puts ? seat->peer->puts : seat->peer->gets;
        for (uint32_t i = 0; list != NULL && i < PEER_ROWS && list[i].id != NULL; i++) {
            if (list[i].cost && !s->c.cost) {
                continue;
            }
            const char *id = bench_text("%s.%s%s.%s.%s", what, keys, size, dist, list[i].id);
            rows[n] = (struct row){ .row = &list[i], .seat = seat, .over = { BENCH_NO_FIGURE, BENCH_NO_FIGURE } };
            rows[n++].result = bench_figures_add(s->figures, id, group, list[i].title, "ns");
        }
    }
    for (unsigned k = 0, which = 0; k < sizeof(overs) / sizeof(overs[0]); k++) {
        if (overs[k].cost == (s->c.cost != 0)) {
            add_over(s, rows, n, &overs[k], (int)which++);
        }
    }
    return n;
}

static void keep(struct peer_stage *s, const struct row *rows, uint32_t n, const double *ns, uint32_t repetition) {
    uint32_t loop = find_row(rows, n, "loop");
    for (uint32_t i = 0; i < n; i++) {
        bench_figures_set(s->figures, rows[i].result, repetition, ns[i]);
        for (unsigned k = 0, which = 0; k < sizeof(overs) / sizeof(overs[0]); k++) {
            if (overs[k].cost != (s->c.cost != 0)) {
                continue;
            }
            uint32_t figure = rows[i].over[which++], base = find_row(rows, n, overs[k].base);
            double off = overs[k].less_loop && loop < n ? ns[loop] : 0.0;
            if (figure != BENCH_NO_FIGURE) {
                bench_figures_set(s->figures, figure, repetition, bench_ratio(ns[i] - off, ns[base] - off));
            }
        }
    }
}

/* The share of gets that met the state which `before` makes. */
static void add_share(struct peer_stage *s, const struct row *r, uint32_t repetition) {
    const struct bench_figure *time = &s->figures->figures[r->result];
    const char *id = bench_text("%s.share", time->id);
    uint32_t figure = bench_figures_find(s->figures, id);
    if (figure == BENCH_NO_FIGURE) {
        figure =
            bench_figures_add(s->figures, id, "of these gets, so many found what they are about", time->title, "share");
    }
    s->figures->figures[figure].more = true;
    bench_figures_set(s->figures, figure, repetition, r->seat->peer->share(r->seat->reader));
}

static void one_round(struct peer_stage *s, struct row *rows, uint32_t n, uint32_t round) {
    for (uint32_t i = 0; i < n; i++) {
        bench_go_on();
        if (s->rounds_large && (i == 0 || rows[i].seat != rows[i - 1].seat)) {
            come_back(s, &rows[i]);
        }
        if (rows[i].row->before != NULL && rows[i].row->before(rows[i].seat->reader) != 0) {
            bench_fail("%s: what it needs cannot be had", rows[i].row->title);
        }
        rows[i].slices[round] = time_slice(s, &rows[i]);
    }
}

static void measure(struct peer_stage *s) {
    static struct row rows[ROWS];
    double ns[ROWS];
    uint32_t n = list_rows(s, rows), rounds = s->rounds;
    for (uint32_t repetition = 0; repetition < s->settings->repetitions; repetition++) {
        peer_progress(s->c.for_puts ? "puts" : "gets", s, repetition + 1);
        for (uint32_t round = 0; round < rounds; round++) {
            one_round(s, rows, n, round);
        }
        for (uint32_t i = 0; i < n; i++) {
            ns[i] = bench_spread_of(rows[i].slices, rounds).median;
        }
        keep(s, rows, n, ns, repetition);
        for (uint32_t i = 0; i < n; i++) {
            if (rows[i].row->before != NULL && rows[i].seat->peer->share != NULL) {
                add_share(s, &rows[i], repetition);
            }
        }
    }
    peer_stage_answered(s);
}

/* In every order of keys; or in the first alone, where the others would not teach anything new. */
static void measure_dists(struct peer_stage *s, bool all) {
    bool done = false;
    bench_machine_pin(&bench->machine, bench->machine.cpus - 1);
    for (unsigned dist = BENCH_UNIFORM; dist <= BENCH_ZIPFIAN; dist++) {
        if (s->settings->dists >> dist & 1 && (all || !done)) {
            peer_stage_dist(s, (enum bench_dist)dist);
            measure(s);
            done = true;
        }
    }
    bench_machine_unpin(&bench->machine);
}

/* What each takes for a key beside the key and its value. */
static void add_memory(struct peer_stage *s) {
    uint64_t payload = PEER_KEY + s->options.value_size;
    unsigned long long bytes = s->options.value_size;
    const char *keys = peer_count_text(s->options.keys),
               *group = bench_text("%s keys, values of %llu bytes: memory for each beyond key and value", keys, bytes);
    for (uint32_t k = 0; k < PEERS; k++) {
        const struct peer_seat *seat = &s->seats[k];
        if (seat->ready && seat->peer->used != NULL) {
            double each = (double)seat->peer->used(seat->handle) / (double)s->options.keys - (double)payload;
            const char *id = bench_text("memory.%s.v%llu.%s", keys, bytes, seat->peer->name);
            uint32_t figure = bench_figures_add(s->figures, id, group, seat->peer->gets[0].title, "B");
            for (uint32_t i = 0; i < s->settings->repetitions; i++) {
                bench_figures_set(s->figures, figure, i, each);
            }
        }
    }
}

void peer_measure_gets(struct peer_stage *s) {
    add_memory(s);
    measure_dists(s, s->options.value_size == s->settings->value_sizes.items[0]);
}

/* All keys must be there after the puts, and each value must be one that was put. */
static void verify_after(struct peer_stage *s) {
    const struct bench_workload *w = &s->workload;
    uint8_t got[PEER_VALUE_MAX];
    uint64_t step = (w->keys + 9999) / 10000;
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        for (uint64_t i = 0; seat->ready && seat->peer->get != NULL && i < w->keys; i += step) {
            uint8_t first[PEER_VALUE_MAX + 8];
            bench_workload_value(w, i, 0, first);
            if (seat->peer->get(seat->reader, bench_workload_key(w, i), got) != 0 ||
                (memcmp(got + 8, seat->reader->value + 8, w->value_size - 8) != 0 &&
                 memcmp(got, first, w->value_size) != 0)) {
                bench_fail("%llu keys, %s: after the puts a get answers what was not put", (unsigned long long)w->keys,
                           seat->peer->name);
            }
        }
    }
}

void peer_measure_puts(struct peer_stage *s) {
    measure_dists(s, false);
    verify_after(s);
}
