/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two domains, as of two hosts, fed by one source, while links are cut and leaders hand over. What their sessions were told is checked: linearizable
 * at bound 0 across both; bounded reads true to their claim; sessions that move between the two by revision tokens never go back.
 */
#include "tests/lib/history_op.h"
#include "tests/lib/history_shared.h"
#include "tests/lib/source.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define HOSTS 2u
#define SESSIONS 4u /* of each host */
#define MOVERS 2u
#define THREADS (HOSTS * SESSIONS + MOVERS)
#define KEYS 4u
#define MS UINT64_C(1000000)

struct host {
    const char *name;
    struct tide *d[2]; /* the second is a candidate */
    struct source_feed feed[2];
};

struct session {
    struct host *hosts;
    uint32_t number, ops;
    uint64_t seed;
    struct history_op *op; /* `ops` of them */
    uint64_t seen[KEYS];   /* version, by this session */
    bool moves;
};

static struct tide_bound session_bound(struct help_rng *rng) {
    static const uint64_t bounds[] = { 0, 0, 5 * MS, 40 * MS, TIDE_UNBOUNDED };
    struct tide_bound b = TIDE_BOUND_INIT;
    b.max_staleness_ns = bounds[help_below(rng, 5)];
    b.fallback = help_below(rng, 2) == 0 ? TIDE_FALLBACK_LEADER : TIDE_FALLBACK_WAIT;
    b.wait_ns = 60000 * MS;
    return b;
}

static void session_read(struct session *s, struct tide_reader *r, struct help_rng *rng, struct history_op *op) {
    char key[4];
    struct tide_bound b = session_bound(rng);
    struct tide_answer a = TIDE_ANSWER_INIT;
    source_key(op->key, key);
    uint64_t value = 0;
    op->kind = HISTORY_GET;
    int error = tide_get(r, key, 3, &b, &value, sizeof(value), &a);
    op->ret_ns = history_now_ns();
    if (!help_check(error == 0 || error == TIDE_ERR_NOT_FOUND)) {
        op->outcome = HISTORY_FAILED;
        return;
    }
    op->value = error == 0 ? value : 0;
    op->version = error == 0 ? a.version : 0;
    op->staleness_ns = a.staleness_ns;
    op->max_staleness_ns = b.max_staleness_ns;
    op->linearizable = a.linearizable;
    help_check(a.staleness_ns <= b.max_staleness_ns && a.stale == 0);
    help_check(error != 0 || op->version >= s->seen[op->key]); /* monotonic, its own writes included */
    s->seen[op->key] = op->version > s->seen[op->key] ? op->version : s->seen[op->key];
}

static void session_write(struct session *s, struct tide *d, struct tide_reader *r, uint64_t unique,
                          struct help_rng *rng, const struct history_op *last, struct history_op *op) {
    char key[4];
    struct tide_token token;
    source_key(op->key, key);
    int error;
    op->value = unique;
    if (help_below(rng, 8) == 0) {
        op->kind = HISTORY_DELETE;
        op->value = 0;
        error = tide_delete(d, r, key, 3, &token);
    } else if (last != NULL && help_below(rng, 2) == 0) {
        op->kind = HISTORY_CAS;
        op->expected = last->version;
        op->expected_value = last->value;
        error = tide_cas(d, r, key, 3, op->expected, &unique, sizeof(unique), &token, &op->found);
    } else {
        op->kind = HISTORY_PUT;
        error = tide_put(d, r, key, 3, &unique, sizeof(unique), &token);
    }
    op->ret_ns = history_now_ns();
    if (error == 0) {
        op->index = token.index;
        s->seen[op->key] = op->kind == HISTORY_DELETE ? s->seen[op->key] : token.index;
    } else if (error == TIDE_ERR_UNKNOWN) {
        op->outcome = HISTORY_PENDING;
        op->ret_ns = HISTORY_NEVER;
    } else {
        op->outcome = error == TIDE_ERR_MISMATCH ? HISTORY_MISMATCH : HISTORY_FAILED;
        help_check(error == TIDE_ERR_MISMATCH || error == TIDE_ERR_TIMEOUT || error == TIDE_ERR_NO_LEADER);
    }
}

static void *session_run(void *arg) {
    struct session *s = arg;
    struct help_rng rng = { s->seed };
    struct tide_reader *r[HOSTS] = { NULL, NULL };
    for (uint32_t h = 0; h < HOSTS; h++) {
        if (!help_check(tide_reader_open(s->hosts[h].d[s->number % 2], NULL, &r[h]) == 0)) {
            return NULL;
        }
    }
    const struct history_op *last[KEYS] = { NULL }; /* what a cas may expect */
    uint32_t at = s->number % HOSTS;
    for (uint32_t i = 0; i < s->ops; i++) {
        struct history_op *op = &s->op[i];
        op->session = s->number;
        op->key = (uint16_t)help_below(&rng, KEYS);
        if (s->moves && help_below(&rng, 4) == 0) {
            struct tide_token token;
            help_check(tide_reader_token(r[at], &token) == 0);
            at = (at + 1) % HOSTS;
            help_check(tide_reader_observe(r[at], &token) == 0);
        }
        op->call_ns = history_now_ns();
        if (help_below(&rng, 3) == 0) {
            session_write(s, s->hosts[at].d[s->number % 2], r[at], (uint64_t)s->number << 32 | (i + 1), &rng,
                          last[op->key], op);
        } else {
            session_read(s, r[at], &rng, op);
            last[op->key] = op->outcome == HISTORY_DONE ? op : last[op->key];
        }
    }
    for (uint32_t h = 0; h < HOSTS; h++) {
        tide_reader_close(r[h]);
    }
    return NULL;
}

static void open_host(struct host *h, struct source *s) {
    h->name = help_name();
    for (int i = 0; i < 2; i++) {
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        h->d[i] = source_open(h->name, 0);
        source_feed_begin(&h->feed[i], s, h->d[i]);
        h->feed[i].group = 7;
        o.role = i == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
        o.candidate = 1;
        assert_int_equal(tide_replica_start(h->d[i], &o, NULL), 0);
    }
}

static void close_host(struct host *h) {
    for (int i = 1; i >= 0; i--) {
        tide_close(h->d[i]);
        source_feed_end(&h->feed[i]);
    }
    tide_unlink(h->name);
}

/* Cut a link, or have a leader hand over, now and then. Each passes: no read waits for ever. */
static void trouble(struct host *hosts, struct help_rng *rng) {
    struct host *h = &hosts[help_below(rng, HOSTS)];
    struct timespec t = { 0, (long)(help_below(rng, 8) * MS) };
    nanosleep(&t, NULL);
    if (help_below(rng, 3) == 0) {
        tide_step_down(h->d[0]); /* an error where another handle leads: no matter */
        return;
    }
    for (int i = 0; i < 2; i++) {
        atomic_store(&h->feed[i].cut, true);
    }
    nanosleep(&t, NULL);
    for (int i = 0; i < 2; i++) {
        atomic_store(&h->feed[i].cut, false);
    }
}

/* A bounded read claims that its state was complete at an instant: a write of that key that was acknowledged before has no newer version. */
static void check_claims(const struct history *h) {
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *r = &h->ops[i];
        if (r->kind != HISTORY_GET || r->outcome != HISTORY_DONE) {
            continue;
        }
        for (size_t k = 0; k < h->n; k++) {
            const struct history_op *w = &h->ops[k];
            bool put = (w->kind == HISTORY_PUT || w->kind == HISTORY_CAS) && w->outcome == HISTORY_DONE;
            if (put && w->key == r->key && w->ret_ns != HISTORY_NEVER && w->ret_ns + r->staleness_ns < r->call_ns &&
                r->version < w->index && r->version != 0) {
                struct history_fault f = { HISTORY_CLAIM, i, k };
                history_print(stdout, h, &f);
                fail();
            }
        }
    }
}

static void feed__two_hosts_of_one_source__their_histories_hold(void **state) {
    (void)state;
    struct help_rng rng = { help_seed() };
    uint64_t rounds = help_scaled(12), linearizable = 0, bounded = 0, unknown = 0;
    for (uint64_t round = 0; round < rounds; round++) {
        struct source s;
        struct host hosts[HOSTS];
        struct session sessions[THREADS];
        pthread_t threads[THREADS];
        uint32_t ops = 120;
        struct history h = { calloc((size_t)THREADS * ops, sizeof(struct history_op)), (size_t)THREADS * ops, false };
        assert_non_null(h.ops);
        source_start(&s);
        for (uint32_t i = 0; i < HOSTS; i++) {
            open_host(&hosts[i], &s);
        }
        for (uint32_t i = 0; i < THREADS; i++) {
            sessions[i] = (struct session){
                .hosts = hosts, .number = i, .ops = ops, .seed = help_random(&rng), .op = h.ops + (size_t)i * ops
            };
            sessions[i].moves = i >= HOSTS * SESSIONS;
            assert_int_equal(pthread_create(&threads[i], NULL, session_run, &sessions[i]), 0);
        }
        for (int i = 0; i < 6; i++) {
            trouble(hosts, &rng);
        }
        for (uint32_t i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
        help_assert_threads();
        struct history_fault f = { HISTORY_FINE, 0, 0 };
        if (!history_check_search(&h, &f)) {
            history_print(stdout, &h, &f);
            fail_msg("%s", history_fault_name(f.kind));
        }
        check_claims(&h);
        for (size_t i = 0; i < h.n; i++) {
            linearizable += h.ops[i].kind == HISTORY_GET && h.ops[i].linearizable;
            bounded += h.ops[i].kind == HISTORY_GET && !h.ops[i].linearizable && h.ops[i].outcome == HISTORY_DONE;
            unknown += h.ops[i].outcome == HISTORY_PENDING;
        }
        for (uint32_t i = 0; i < HOSTS; i++) {
            close_host(&hosts[i]);
        }
        source_stop(&s);
        free(h.ops);
    }
    print_message("%d rounds: %d linearizable reads, %d by bounds, %d writes unknown\n", (int)rounds, (int)linearizable,
                  (int)bounded, (int)unknown);
    assert_true(linearizable > 0 && bounded > 0);
}

int main(void) {
    help_start(170);
    help_write_timeout_ns = 60000 * MS;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(feed__two_hosts_of_one_source__their_histories_hold),
    };
    return cmocka_run_group_tests_name("feed_history", tests, NULL, NULL);
}
