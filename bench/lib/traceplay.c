/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/traceplay.h"

#include <stdlib.h>
#include <string.h>

#include "bench/lib/child.h"
#include "bench/lib/worker.h"
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

/* ---- domains --------------------------------------------------------------------------------------------------------- */

static int open_domain(struct bench_program *p, uint64_t table_bytes, enum tide_evict evict, struct tide **out) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    char name[TIDE_NAME_MAX];
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = RING_BYTES;
    o.table_bytes = table_bytes;
    o.evict = evict;
    o.write_timeout_ns = WAIT_NS;
    leader.role = TIDE_LEADER;
    leader.candidate = 1;
    leader.id = 0;
    *out = NULL;
    bench_program_domain_name(p, name);
    int rc = tide_open(out, name, &o);
    rc = rc != 0 ? rc : tide_replica_start(*out, &leader, NULL);
    return rc != 0 ? bench_program_failed_code(p, "a domain for the trace", rc) : 0;
}

static int start_follower(struct tide *d, int32_t id, bool candidate) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.id = id;
    o.candidate = candidate;
    return tide_replica_start(d, &o, NULL);
}

static int start_reader(struct player *pl, struct tide *d, int32_t home) {
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.home = home;
    o.replicas = home >= 0 ? UINT64_C(1) << home : 0;
    pl->d = d;
    pl->value = calloc(1, pl->value_size + 1);
    pl->buf = malloc(pl->value_size + 1);
    return pl->value == NULL || pl->buf == NULL ? TIDE_ERR_NOMEM : tide_reader_open(d, &o, &pl->r);
}

/* ---- room ------------------------------------------------------------------------------------------------------------ */

/* So many keys find room in a table of this size, or `enough` do. */
static int count_keys(struct bench_program *p, const struct bench_trace *t, uint64_t table_bytes, size_t value_size,
                      uint64_t enough, uint64_t *keys) {
    struct tide *d;
    char *value = calloc(1, value_size + 1);
    int rc = value == NULL ? bench_program_failed(p, "no memory") : open_domain(p, table_bytes, TIDE_EVICT_NONE, &d);
    if (value == NULL) {
        return rc;
    }
    for (*keys = 0; rc == 0 && *keys < enough && !bench_stop; ++*keys) {
        char made[32];
        size_t len;
        const char *key = made;
        if (*keys < t->keys_n) {
            key = bench_trace_key(t, (uint32_t)*keys, &len);
        } else {
            len = (size_t)snprintf(made, sizeof(made), "+%llu", (unsigned long long)*keys);
        }
        int code = tide_put(d, NULL, key, len, value, value_size, NULL);
        if (code == TIDE_ERR_FULL) {
            break;
        }
        rc = code != 0 ? bench_program_failed_code(p, "filling a domain", code) : 0;
    }
    tide_close(d);
    free(value);
    return rc != 0 ? rc : bench_stop ? 1 : 0;
}

int bench_traceplay_fit(struct bench_program *p, const struct bench_trace *t, uint64_t objects, uint64_t table_bytes,
                        size_t *value_size) {
    size_t low = 0, high = table_bytes / objects; /* too many of `low` find room, and not too many of `high` */
    uint64_t keys = 0;
    int rc = 0;
    while (rc == 0 && high - low > 1) {
        size_t middle = (low + high) / 2;
        rc = count_keys(p, t, table_bytes, middle, objects + 1, &keys);
        *(keys <= objects ? &high : &low) = middle;
    }
    *value_size = high;
    return rc;
}

/* ---- requests -------------------------------------------------------------------------------------------------------- */

static int request(struct player *pl, uint64_t i) {
    struct scene *s = pl->s;
    struct tide_bound b = TIDE_BOUND_INIT;
    size_t len;
    const char *key = bench_trace_key(pl->t, pl->t->requests[i], &len);
    b.min = s->token;
    b.wait_ns = WAIT_NS;
    int rc = tide_get(pl->r, key, len, &b, pl->buf, pl->value_size, NULL);
    if (rc != TIDE_ERR_NOT_FOUND) {
        return rc;
    }
    s->misses++;
    s->window_misses += bench_traceplay_in_window(pl->t, i);
    return tide_put(pl->d, NULL, key, len, pl->value, pl->value_size, &s->token);
}

static int play_block(struct player *pl) {
    uint64_t from = pl->s->block * BLOCK;
    int rc = 0;
    for (uint64_t i = from; rc == 0 && i < from + BLOCK && i < pl->t->requests_n; i++) {
        rc = request(pl, i);
    }
    return rc;
}

/* ---- the other processes --------------------------------------------------------------------------------------------- */

/* The first order: open the domain, which is there; each that follows: play the block. */
static int play_on_order(struct bench_worker *w, void *ctx) {
    struct player *pl = ctx;
    struct tide *d = NULL;
    uint32_t order = bench_worker_order(w, 0);
    if (order == BENCH_ORDER_END) {
        return 0;
    }
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = 0;
    o.write_timeout_ns = WAIT_NS;
    bench_worker_what(w, "opening the domain");
    int rc = tide_open(&d, pl->s->name, &o);
    bench_worker_what(w, "replaying the trace");
    rc = rc == 0 && pl->follows ? start_follower(d, 2, true) : rc;
    rc = rc != 0 ? rc : start_reader(pl, d, pl->follows ? 2 : -1);
    while (rc == 0 && order != BENCH_ORDER_END) {
        bench_worker_done(w, order);
        order = bench_worker_order(w, order);
        rc = order != BENCH_ORDER_END ? play_block(pl) : 0;
    }
    bench_reader_close(pl->r);
    bench_close(d);
    return rc;
}

struct stage {
    struct bench_program *p;
    struct player players[PARTIES];
    struct scene *s;
    struct tide *d;
    struct bench_worker *children[CHILDREN];
    uint32_t orders[CHILDREN];
};

/* Let a child do its part, and wait for it. 0, 1: stopped, -1: p->error says why. */
static int turn(struct stage *st, uint32_t number) {
    bench_worker_tell(st->children[number], ++st->orders[number]);
    return bench_worker_await(st->children[number], st->orders[number], &bench_stop, st->p->error);
}

static int fork_children(struct stage *st) {
    for (uint32_t i = 0; i < CHILDREN; i++) {
        st->children[i] = bench_worker_start(true, &st->p->machine, -1, play_on_order, &st->players[2 + i]);
        if (st->children[i] == NULL) {
            return bench_program_failed_errno(st->p, "starting a process");
        }
    }
    return 0;
}

static int start_players(struct stage *st) {
    int rc = start_follower(st->d, 1, false);
    for (uint32_t i = 0; rc == 0 && i < 2; i++) {
        rc = start_reader(&st->players[i], st->d, (int32_t)i);
    }
    for (uint32_t i = 0; rc == 0 && i < CHILDREN; i++) {
        rc = turn(st, i);
    }
    return rc;
}

/* The leader hands over; the other process has the only candidate. */
static int change_leader(struct stage *st) {
    struct tide_info info = TIDE_INFO_INIT;
    int rc = tide_step_down(st->d);
    for (uint64_t begun = bench_now_ns(); rc == 0 && info.leader != 2; bench_sleep_ns(1000000)) {
        rc = tide_info(st->d, &info);
        if (rc == 0 && bench_now_ns() - begun > WAIT_NS) {
            rc = TIDE_ERR_TIMEOUT;
        }
    }
    return rc;
}

static int play_all(struct stage *st, bool change) {
    const struct bench_trace *t = st->players[0].t;
    struct scene *s = st->s;
    uint64_t blocks = (t->requests_n + BLOCK - 1) / BLOCK, middle = t->requests_n / 2 / BLOCK;
    int rc = 0;
    for (uint64_t b = 0; rc == 0 && b < blocks && !bench_stop; b++) {
        rc = change && b == middle ? change_leader(st) : 0;
        s->block = b;
        rc = rc != 0 ? rc : b % PARTIES < 2 ? play_block(&st->players[b % PARTIES]) : turn(st, b % PARTIES - 2);
        if (b % LOOK_EVERY == 0) {
            bench_program_progress(st->p, "%s, %.0f %%", t->name, 100.0 * (double)b / (double)blocks);
        }
    }
    return rc;
}

static void take_result(struct stage *st, double seconds, struct bench_traceplay *out) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    const struct bench_trace *t = st->players[0].t;
    tide_replica_info(st->d, 0, &info);
    *out = (struct bench_traceplay){ .misses = st->s->misses,
                                     .window = t->requests_n / 10,
                                     .window_misses = st->s->window_misses,
                                     .keys = info.keys,
                                     .seconds = seconds };
}

static void end_stage(struct stage *st, bool good) {
    char error[BENCH_ERROR_BYTES];
    for (uint32_t i = 0; i < CHILDREN; i++) {
        if (st->children[i] != NULL && good) {
            bench_worker_leave(st->children[i], WAIT_NS,
                               error); /* in good order; the end below only waits for what is gone */
        }
        bench_worker_end(st->children[i]);
    }
    for (uint32_t i = 0; i < 2; i++) {
        bench_reader_close(st->players[i].r);
        free(st->players[i].value);
        free(st->players[i].buf);
    }
    bench_close(st->d);
}

static void set_stage(struct stage *st, const struct bench_trace *t, size_t value_size) {
    for (uint32_t i = 0; i < PARTIES; i++) {
        st->players[i] =
            (struct player){ .s = st->s, .t = t, .value_size = value_size, .follows = i == PARTY_FAR_FOLLOWER };
    }
    bench_program_domain_name(st->p, st->s->name);
}

int bench_traceplay_run(struct bench_program *p, const struct bench_trace *t, uint64_t table_bytes, size_t value_size,
                        bool change, struct bench_traceplay *out) {
    struct stage st = { .p = p, .s = bench_shared_map(sizeof(*st.s)) };
    if (st.s == NULL) {
        return bench_program_failed_errno(p, "memory for the other processes");
    }
    p->error[0] = '\0';
    set_stage(&st, t, value_size);
    int rc = fork_children(&st);
    rc = rc != 0 ? rc : open_domain(p, table_bytes, TIDE_EVICT_S3FIFO, &st.d);
    if (rc == 0) {
        int code = start_players(&st);
        uint64_t from = bench_now_ns();
        code = code != 0 ? code : play_all(&st, change);
        take_result(&st, (double)(bench_now_ns() - from) / 1e9, out);
        if (code != 0 && p->error[0] == '\0') {
            bench_program_failed_code(p, "replaying the trace", code);
        }
        rc = bench_stop ? 1 : code != 0 ? -1 : 0;
    }
    end_stage(&st, rc == 0);
    bench_shared_unmap(st.s, sizeof(*st.s));
    return rc;
}
