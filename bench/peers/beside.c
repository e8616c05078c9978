/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What does a writer at 100,000 puts/s cost the reader beside it? Slices with the writer at rest and at work take
 * turns. The control loop's row tells what the machine takes away when a second thread runs; no other row is
 * corrected by it.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "bench/lib/control.h"
#include "bench/lib/pace.h"
#include "bench/peers/stage.h"
#include "shm/park.h"

#define RATE 100000.0
#define ROWS (PEERS + 3u)
#define REST_NS UINT64_C(100000) /* between two groups of puts: ten are due then */
#define SLICES 2u                /* of a row: at rest, at work */
#define ROUNDS_MAX 64u

/* The writer's orders: 0 rest; PEERS + 1 end; k + 1 write into seats[k]. */
#define ORDER_REST 0u
#define ORDER_END (PEERS + 1u)

struct beside {
    struct peer_stage *stage;
    struct peer_reader *writers[PEERS];
    uint64_t positions[PEERS];
    int failed;
    _Atomic uint32_t order;
    _Atomic uint32_t taken; /* the order that it has seen and follows */
    _Atomic uint64_t writes;
    _Atomic uint64_t write_ns;
};

struct row {
    struct peer_seat *seat;     /* into which is written */
    struct peer_reader *reader; /* NULL: the control loop */
    int own;                    /* the reader is this row's */
    const char *id, *title;
    uint32_t result, rate; /* figures */
    uint64_t position;
    double slices[SLICES][ROUNDS_MAX];
};

/* ---- the writer -------------------------------------------------------------------------------------------------- */

static void follow_order(struct beside *b, uint32_t order) {
    struct peer_seat *seat = &b->stage->seats[order - 1];
    struct bench_pace pace;
    uint64_t done = 0, start_ns = bench_now_ns();
    bench_pace_init(&pace, RATE, 0, 1, start_ns);
    while (atomic_load(&b->order) == order) {
        uint64_t due = bench_pace_count(&pace, bench_now_ns());
        if (due > done) {
            seat->peer->puts[0].run(b->writers[order - 1], b->positions[order - 1], due - done);
            b->positions[order - 1] += due - done;
            done = due;
        }
        bench_sleep_ns(REST_NS);
    }
    atomic_fetch_add(&b->writes, done);
    atomic_fetch_add(&b->write_ns, bench_now_ns() - start_ns);
    if (seat->peer->settle != NULL) {
        seat->peer->settle(b->writers[order - 1]);
    }
}

static void *writer_main(void *arg) {
    struct beside *b = arg;
    bench_machine_pin(&bench->machine, 0);
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &b->stage->seats[k];
        if (seat->ready && seat->peer->beside) {
            b->writers[k] = peer_stage_reader(b->stage, seat, 1);
        }
    }
    for (uint32_t order = atomic_load(&b->order); order != ORDER_END; order = atomic_load(&b->order)) {
        atomic_store(&b->taken, order);
        park_wake(&b->taken, 1);
        if (order != ORDER_REST) {
            follow_order(b, order);
        } else {
            park_wait(&b->order, ORDER_REST, UINT64_MAX);
        }
    }
    for (uint32_t k = 0; k < PEERS; k++) {
        if (b->writers[k] != NULL) {
            b->failed |= b->writers[k]->bad != 0;
            peer_stage_reader_close(&b->stage->seats[k], b->writers[k]);
        }
    }
    return NULL;
}

/* Give an order and wait until the writer follows it; its work on the last one is then finished. */
static void give_order(struct beside *b, uint32_t order) {
    atomic_store(&b->order, order);
    park_wake(&b->order, 1);
    for (uint32_t seen = atomic_load(&b->taken); seen != order; seen = atomic_load(&b->taken)) {
        park_wait(&b->taken, seen, UINT64_C(10000000));
    }
}

/* ---- the reader -------------------------------------------------------------------------------------------------- */

static double run_for(struct peer_stage *s, struct row *r, uint64_t slice_ns) {
    const struct peer_row *gets = r->reader != NULL ? r->seat->peer->gets : NULL;
    uint64_t chunk = gets != NULL ? gets->chunk : 1;
    uint64_t start_ns = bench_now_ns(), now_ns, done = 0;
    do {
        s->sum += gets != NULL ? gets->run(r->reader, r->position, chunk) : bench_control(s->sum);
        r->position += chunk;
        done += chunk;
        now_ns = bench_now_ns();
    } while (now_ns - start_ns < slice_ns);
    return (double)(now_ns - start_ns) / (double)done;
}

static void one_round(struct beside *b, struct row *r, uint32_t round) {
    struct peer_stage *s = b->stage;
    for (uint32_t write = 0; write < SLICES; write++) {
        if (write) {
            give_order(b, (uint32_t)(r->seat - s->seats) + 1);
        }
        run_for(s, r, s->warm_ns);
        r->slices[write][round] = run_for(s, r, 2 * s->slice_ns);
        give_order(b, ORDER_REST);
    }
}

static uint32_t add_result(struct peer_stage *s, const struct row *r, int rate) {
    const char *keys = peer_count_text(s->options.keys);
    return bench_figures_add(s->figures, bench_text("beside.%s.%s%s", keys, r->id, rate ? ".rate" : ""),
                             bench_text("%s keys, a writer at 100,000 puts/s beside: %s", keys,
                                        rate ? "puts that were done" : "speed of gets over that without"),
                             r->title, rate ? "1/s" : "x");
}

/* A row of Tidemark: a reader of its own on the follower's replica (turn 0) or the leader's (1). */
static struct row tide_row(struct peer_stage *s, struct peer_seat *seat, uint32_t turn, const void *bound,
                           const char *id, const char *title) {
    struct row r = { .seat = seat, .own = 1, .reader = peer_stage_reader(s, seat, turn), .id = id, .title = title };
    r.reader->how = bound;
    return r;
}

static uint32_t list_rows(struct peer_stage *s, struct row *rows) {
    uint32_t n = 0;
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        if (!seat->ready || !seat->peer->beside) {
            continue;
        }
        if (seat->peer != &peer_tide) {
            const struct peer_row *get = &seat->peer->gets[0];
            rows[n++] = (struct row){ .seat = seat, .reader = seat->reader, .id = get->id, .title = get->title };
            continue;
        }
        rows[n++] = (struct row){ .seat = seat, .id = "control", .title = "the control loop, Tidemark's writer" };
        rows[n++] = tide_row(s, seat, 0, peer_tide_redirect, "tide", "tide_get, bound 0, follower's replica");
        rows[n++] = tide_row(s, seat, 0, peer_tide_within, "tide_within", "tide_get, bound 200 ms, follower");
        rows[n++] = tide_row(s, seat, 1, peer_tide_redirect, "tide_leader", "tide_get, bound 0, leader's replica");
    }
    for (uint32_t i = 0; i < n; i++) {
        rows[i].result = add_result(s, &rows[i], 0);
    }
    for (uint32_t i = 0; i < n; i++) {
        rows[i].rate = add_result(s, &rows[i], 1);
    }
    return n;
}

static void measure(struct beside *b, struct row *rows, uint32_t n) {
    struct peer_stage *s = b->stage;
    uint32_t rounds = s->rounds;
    for (uint32_t repetition = 0; repetition < s->settings->repetitions; repetition++) {
        double writes[ROWS] = { 0 }, write_ns[ROWS] = { 0 };
        peer_progress("a writer beside", s, repetition + 1);
        for (uint32_t round = 0; round < rounds; round++) {
            for (uint32_t i = 0; i < n; i++) {
                bench_go_on();
                one_round(b, &rows[i], round);
                writes[i] += (double)atomic_exchange(&b->writes, 0);
                write_ns[i] += (double)atomic_exchange(&b->write_ns, 0);
            }
        }
        for (uint32_t i = 0; i < n; i++) {
            double rest = bench_spread_of(rows[i].slices[0], rounds).median;
            double work = bench_spread_of(rows[i].slices[1], rounds).median;
            bench_figures_set(s->figures, rows[i].result, repetition, bench_ratio(rest, work));
            bench_figures_set(s->figures, rows[i].rate, repetition, 1e9 * bench_ratio(writes[i], write_ns[i]));
        }
    }
    peer_stage_answered(s);
}

void peer_measure_beside(struct peer_stage *s) {
    static struct row rows[ROWS];
    struct beside b = { .stage = s };
    uint32_t n = list_rows(s, rows);
    pthread_t writer = bench_thread(writer_main, &b);
    bench_machine_pin(&bench->machine, bench->machine.cpus - 1);
    measure(&b, rows, n);
    bench_machine_unpin(&bench->machine);
    atomic_store(&b.order, ORDER_END);
    park_wake(&b.order, 1);
    pthread_join(writer, NULL);
    for (uint32_t i = 0; i < n; i++) {
        if (rows[i].own) {
            b.failed |= rows[i].reader->bad != 0;
            peer_stage_reader_close(rows[i].seat, rows[i].reader);
        }
    }
    if (b.failed) {
        bench_fail("a writer beside: some operations were not done");
    }
}
