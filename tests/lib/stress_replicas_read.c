/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The readers of the replica stress: what a read may see, and what it must see. */
#include <string.h>

#include "tests/lib/stress_replicas.h"

struct repl_session {
    struct repl_world *w;
    struct tide_reader *r;
    uint64_t rng;
    uint64_t last_index, seen[REPL_KEYS];
    uint64_t reads, bounded, refused;
};

static bool repl_may_fail(const struct repl_world *w, int error, const struct tide_bound *b) {
    switch (error) {
    case TIDE_ERR_REFUSED:
        return b->fallback == TIDE_FALLBACK_ERROR;
    case TIDE_ERR_TIMEOUT:
        return b->fallback == TIDE_FALLBACK_WAIT;
    case TIDE_ERR_NO_REPLICA:
        return b->fallback != TIDE_FALLBACK_LEADER; /* every replica that this reader may use is joining anew */
    case TIDE_ERR_NO_LEADER:
        return w->leader_restarts && b->fallback == TIDE_FALLBACK_LEADER;
    default:
        return false;
    }
}

/* When the value k + 1 was acknowledged; 0: no longer remembered. */
static uint64_t repl_acked_at(const struct repl_counter *c, uint64_t value) {
    uint64_t was = atomic_load(&c->times[value % REPL_TIMES].value);
    uint64_t at = atomic_load(&c->times[value % REPL_TIMES].at_ns);
    return was == value && atomic_load(&c->times[value % REPL_TIMES].value) == value ? at : 0;
}

struct repl_expect {
    uint64_t acked; /* before the read began */
    uint64_t floor; /* from a token that the session observed */
    uint64_t start_ns;
};

static void repl_judge(struct repl_session *s, uint32_t k, uint64_t value, const struct tide_answer *a,
                       const struct tide_bound *b, const struct repl_expect *e) {
    const struct repl_counter *c = &s->w->counters[k];
    uint64_t called = atomic_load(&c->called);
    if (value > called) {
        stress_violation("key %u: %llu was read, but only %llu was ever written", k, (unsigned long long)value,
                         (unsigned long long)called);
    }
    bool linearizable = a->linearizable || (b->max_staleness_ns == 0 && !a->stale);
    if (linearizable && value < e->acked) {
        stress_violation(
            "key %u: %llu was read, linearizable (%s, replica %u, index %llu, commit %llu), after %llu had been "
            "acknowledged",
            k, (unsigned long long)value, tide_reason_name((enum tide_reason)a->reason), a->served_by,
            (unsigned long long)a->index, (unsigned long long)a->commit_index, (unsigned long long)e->acked);
    }
    if (!a->stale) {
        if (value < s->seen[k] || a->index < s->last_index) {
            stress_violation("key %u: a session read %llu at %llu after %llu at %llu", k, (unsigned long long)value,
                             (unsigned long long)a->index, (unsigned long long)s->seen[k],
                             (unsigned long long)s->last_index);
        }
        if (value < e->floor) {
            stress_violation("key %u: %llu was read under a token that reflects %llu", k, (unsigned long long)value,
                             (unsigned long long)e->floor);
        }
        if (a->staleness_ns > b->max_staleness_ns ||
            (a->commit_index > a->index && a->commit_index - a->index > b->max_lag)) {
            stress_violation("an answer of staleness %llu ns, lag %lld, under a bound of %llu ns, %llu entries",
                             (unsigned long long)a->staleness_ns, (long long)(a->commit_index - a->index),
                             (unsigned long long)b->max_staleness_ns, (unsigned long long)b->max_lag);
        }
        s->seen[k] = value;
        s->last_index = a->index;
    }
    /* If the leader had acknowledged the next value that long before the call, the replica was no longer complete. */
    uint64_t next = repl_acked_at(c, value + 1);
    if (next != 0 && e->start_ns > next && e->start_ns - next > a->staleness_ns) {
        stress_violation(
            "key %u: %llu was read with staleness %llu ns (%s, replica %u), but its successor had been acknowledged "
            "%llu ns before the call",
            k, (unsigned long long)value, (unsigned long long)a->staleness_ns,
            tide_reason_name((enum tide_reason)a->reason), a->served_by, (unsigned long long)(e->start_ns - next));
    }
    s->bounded += next != 0 && e->start_ns > next;
}

static struct tide_bound repl_bound(struct repl_session *s) {
    static const uint64_t ages[] = { 0, 0, 0, 20000, 500000, 5000000, 50000000, TIDE_UNBOUNDED };
    struct tide_bound b = TIDE_BOUND_INIT;
    b.max_staleness_ns = ages[stress_below(&s->rng, 8)];
    b.fallback = (uint32_t)stress_below(&s->rng, 4);
    b.max_lag = stress_below(&s->rng, 8) == 0 ? stress_below(&s->rng, 64) : TIDE_UNBOUNDED;
    b.wait_ns = stress_below(&s->rng, 2) * stress_below(&s->rng, 1000000);
    return b;
}

static void repl_read(struct repl_session *s) {
    struct repl_world *w = s->w;
    struct tide_bound b = repl_bound(s);
    struct tide_answer a = TIDE_ANSWER_INIT;
    struct repl_expect e = { 0 };
    uint32_t k = (uint32_t)stress_below(&s->rng, REPL_KEYS);
    struct repl_counter *c = &w->counters[k];
    char key[16];
    uint8_t buf[256];
    size_t len = repl_key(key, k);
    if (stress_below(&s->rng, 4) == 0) {
        uint64_t index = atomic_load(&c->token_index);
        e.floor = index != 0 ? atomic_load(&c->token_value) : 0;
        index = atomic_load(&c->token_index); /* stored after the value, so it reflects the value */
        b.min = index != 0 ? (struct tide_token){ w->incarnation, index } : b.min;
    }
    e.acked = atomic_load(&c->acked);
    e.start_ns = tide_now(w->d);
    stress_at("tide_get");
    int error = tide_get(s->r, key, len, &b, buf, sizeof(buf), &a);
    uint64_t value = 0;
    if (error == 0 && !stress_value_check(buf, a.value_size, k, &value)) {
        stress_violation("key %u: %llu bytes that nobody wrote", k, (unsigned long long)a.value_size);
    } else if (error == 0 || error == TIDE_ERR_NOT_FOUND) {
        repl_judge(s, k, value, &a, &b, &e);
    } else if (!repl_may_fail(w, error, &b) && !atomic_load(&w->lost)) {
        stress_violation("tide_get, fallback %u: %s", b.fallback, tide_strerror(error));
    } else {
        s->refused++;
    }
    s->reads++;
}

void *repl_reader(void *worker) {
    struct repl_worker *self = worker;
    struct repl_session s = { .w = self->w, .rng = self->rng };
    while (!atomic_load(&s.w->team.stop) && !stress_failed()) {
        struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
        o.policy = (enum tide_policy)stress_below(&s.rng, 3);
        o.replicas = stress_below(&s.rng, 3) == 0 ? stress_rand(&s.rng) | 6 : 0;
        int error = tide_reader_open(s.w->d, &o, &s.r);
        if (error != 0) {
            stress_violation("tide_reader_open: %s", tide_strerror(error));
            break;
        }
        memset(s.seen, 0, sizeof(s.seen));
        s.last_index = 0;
        for (uint64_t n = stress_below(&s.rng, 20000); n > 0 && !atomic_load(&s.w->team.stop) && !stress_failed();
             n--) {
            repl_read(&s);
            if (stress_below(&s.rng, 64) == 0) {
                stress_sleep_ns(stress_below(&s.rng, 200000)); /* two cores: let the others work */
            }
        }
        tide_reader_close(s.r);
    }
    stress_count("reads", s.reads);
    stress_count("staleness checked", s.bounded);
    stress_count("refused", s.refused);
    return NULL;
}
