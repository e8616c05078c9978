/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/traceplay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"

#define BLOCK 16u /* requests in a row through one reader */
#define PARTIES 4u
#define CHILDREN 2u
#define RING_BYTES (UINT64_C(4) << 20)
#define WAIT_NS UINT64_C(60000000000)
#define LOOK_EVERY 1024u

enum party { PARTY_LEADER, PARTY_FOLLOWER, PARTY_FAR_FOLLOWER, PARTY_NO_REPLICA };

struct scene { /* shared by all processes */
    char name[TIDE_NAME_MAX];
    uint64_t block;          /* to be played by the one whose turn it is */
    struct tide_token token; /* of the last write */
    uint64_t misses, window_misses;
};

struct player {
    struct scene *s;
    const struct bench_trace *t;
    struct tide *d;
    struct tide_reader *r;
    size_t value_size;
    char *value, *buf;
    bool follows; /* in a process of its own: it has a replica there */
};

/* ---- domains ----------------------------------------------------------------------------------------------------- */

static struct tide *open_domain(uint64_t table_bytes, enum tide_evict evict) {
    struct tide_opts o = bench_setup_opts(BENCH_SETUP_OWN, 0, RING_BYTES, table_bytes);
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    o.evict = evict;
    o.write_timeout_ns = WAIT_NS;
    leader.role = TIDE_LEADER;
    leader.candidate = 1;
    leader.id = 0;
    struct tide *d = bench_domain(NULL, &o, BENCH_UNLED);
    bench_must(tide_replica_start(d, &leader, NULL), "a domain for the trace");
    return d;
}

static void start_follower(struct tide *d, int32_t id, bool candidate) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.id = id;
    o.candidate = candidate;
    bench_must(tide_replica_start(d, &o, NULL), "starting a follower");
}

static void start_reader(struct player *pl, struct tide *d, int32_t home) {
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.home = home;
    o.replicas = home >= 0 ? UINT64_C(1) << home : 0;
    pl->d = d;
    pl->value = bench_alloc(1, pl->value_size + 1);
    pl->buf = bench_alloc(1, pl->value_size + 1);
    bench_must(tide_reader_open(d, &o, &pl->r), "opening a reader");
}

/* ---- room -------------------------------------------------------------------------------------------------------- */

/* So many keys find room in a table of this size, or `enough` do. */
static uint64_t count_keys(const struct bench_trace *t, uint64_t table_bytes, size_t value_size, uint64_t enough) {
    struct tide *d = open_domain(table_bytes, TIDE_EVICT_NONE);
    char *value = bench_alloc(1, value_size + 1);
    uint64_t keys = 0;
    int rc = 0;
    while (rc == 0 && keys < enough) {
        char made[32];
        size_t len;
        const char *key = made;
        if (keys < t->keys_n) {
            key = bench_trace_key(t, (uint32_t)keys, &len);
        } else {
            len = (size_t)snprintf(made, sizeof(made), "+%llu", (unsigned long long)keys);
        }
        rc = tide_put(d, NULL, key, len, value, value_size, NULL);
        keys += rc == 0;
        bench_go_on();
    }
    bench_must(rc != TIDE_ERR_FULL ? rc : 0, "filling a domain");
    tide_close(d);
    free(value);
    return keys;
}

size_t bench_traceplay_fit(const struct bench_trace *t, uint64_t objects, uint64_t table_bytes) {
    size_t low = 0, high = table_bytes / objects; /* too many of `low` find room, and not too many of `high` */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(count_keys(t, table_bytes, middle, objects + 1) <= objects ? &high : &low) = middle;
    }
    return high;
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void request(struct player *pl, uint64_t i) {
    struct scene *s = pl->s;
    struct tide_bound b = TIDE_BOUND_INIT;
    size_t len;
    const char *key = bench_trace_key(pl->t, pl->t->requests[i], &len);
    b.min = s->token;
    b.wait_ns = WAIT_NS;
    int rc = tide_get(pl->r, key, len, &b, pl->buf, pl->value_size, NULL);
    if (rc == TIDE_ERR_NOT_FOUND) {
        s->misses++;
        s->window_misses += bench_traceplay_in_window(pl->t, i);
        rc = tide_put(pl->d, NULL, key, len, pl->value, pl->value_size, &s->token);
    }
    bench_must(rc, "replaying the trace");
}

static void play_block(struct player *pl) {
    uint64_t from = pl->s->block * BLOCK;
    for (uint64_t i = from; i < from + BLOCK && i < pl->t->requests_n; i++) {
        request(pl, i);
    }
}

/* ---- the other processes ----------------------------------------------------------------------------------------- */

/* The first order: open the domain, which is there; each that follows: play the block. */
static int play_on_order(struct bench_worker *w, void *ctx) {
    struct player *pl = ctx;
    struct tide_opts o = bench_setup_opts(0, 0, 0, 0);
    struct tide *d;
    o.write_timeout_ns = WAIT_NS;
    uint32_t order = bench_worker_order(w, 0);
    if (order == BENCH_ORDER_END) {
        return 0;
    }
    bench_must(tide_open(&d, pl->s->name, &o), "opening the domain");
    if (pl->follows) {
        start_follower(d, 2, true);
    }
    start_reader(pl, d, pl->follows ? 2 : -1);
    for (;;) {
        bench_worker_done(w, order);
        order = bench_worker_order(w, order);
        if (order == BENCH_ORDER_END) {
            break;
        }
        play_block(pl);
    }
    tide_reader_close(pl->r);
    tide_close(d);
    return 0;
}

struct stage {
    struct player players[PARTIES];
    struct scene *s;
    struct tide *d;
    struct bench_worker *children[CHILDREN];
};

/* Children are forked while no domain is open. */
static void set_stage(struct stage *st, const struct bench_trace *t, uint64_t table_bytes, size_t value_size) {
    st->s = bench_share(sizeof(*st->s));
    bench_domain_name(NULL, st->s->name);
    for (uint32_t i = 0; i < PARTIES; i++) {
        st->players[i] =
            (struct player){ .s = st->s, .t = t, .value_size = value_size, .follows = i == PARTY_FAR_FOLLOWER };
    }
    for (uint32_t i = 0; i < CHILDREN; i++) {
        st->children[i] = bench_start(true, -1, play_on_order, &st->players[2 + i]);
    }
    st->d = open_domain(table_bytes, TIDE_EVICT_S3FIFO);
    start_follower(st->d, 1, false);
    for (uint32_t i = 0; i < 2; i++) {
        start_reader(&st->players[i], st->d, (int32_t)i);
    }
    for (uint32_t i = 0; i < CHILDREN; i++) {
        bench_turn(st->children[i]);
    }
}

/* The leader hands over; the other process has the only candidate. */
static void change_leader(const struct stage *st) {
    struct tide_info info = TIDE_INFO_INIT;
    bench_must(tide_step_down(st->d), "stepping down");
    for (uint64_t begun = bench_now_ns(); info.leader != 2; bench_rest(1000000)) {
        int rc = tide_info(st->d, &info);
        bench_must(rc == 0 && bench_now_ns() - begun > WAIT_NS ? TIDE_ERR_TIMEOUT : rc, "changing the leader");
    }
}

static void play_all(struct stage *st, bool change) {
    const struct bench_trace *t = st->players[0].t;
    uint64_t blocks = (t->requests_n + BLOCK - 1) / BLOCK, middle = t->requests_n / 2 / BLOCK;
    for (uint64_t b = 0; b < blocks; b++) {
        if (change && b == middle) {
            change_leader(st);
        }
        st->s->block = b;
        if (b % PARTIES < 2) {
            play_block(&st->players[b % PARTIES]);
        } else {
            bench_turn(st->children[b % PARTIES - 2]);
        }
        bench_go_on();
        if (b % LOOK_EVERY == 0) {
            bench_progress("%s, %.0f %%", t->name, 100.0 * (double)b / (double)blocks);
        }
    }
}

static void end_stage(struct stage *st) {
    char error[BENCH_ERROR_BYTES];
    for (uint32_t i = 0; i < CHILDREN; i++) {
        bench_worker_leave(st->children[i], WAIT_NS,
                           error); /* in good order; what follows only waits for what is gone */
        bench_worker_end(st->children[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        tide_reader_close(st->players[i].r);
        free(st->players[i].value);
        free(st->players[i].buf);
    }
    tide_close(st->d);
    bench_shared_unmap(st->s, sizeof(*st->s));
}

struct bench_traceplay bench_traceplay_run(const struct bench_trace *t, uint64_t table_bytes, size_t value_size,
                                           bool change) {
    struct stage st = { .s = NULL };
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    set_stage(&st, t, table_bytes, value_size);
    uint64_t from = bench_now_ns();
    play_all(&st, change);
    double seconds = (double)(bench_now_ns() - from) / 1e9;
    bench_must(tide_replica_info(st.d, 0, &info), "looking at the leader's replica");
    struct bench_traceplay got = { .misses = st.s->misses,
                                   .window = t->requests_n / 10,
                                   .window_misses = st.s->window_misses,
                                   .keys = info.keys,
                                   .seconds = seconds };
    end_stage(&st);
    return got;
}
