/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writers of the replica stress, the thread that starts and stops replicas, and its rounds. */
#include "tests/lib/stress_replicas.h"

#include <stdlib.h>

/* ---- writers ------------------------------------------------------------------------------------------------------ */

static void repl_note(struct repl_world *w, struct repl_counter *c, uint64_t value, uint64_t index) {
    atomic_store(&c->times[value % REPL_TIMES].value, 0);
    atomic_store(&c->times[value % REPL_TIMES].at_ns, tide_now(w->d));
    atomic_store(&c->times[value % REPL_TIMES].value, value);
    atomic_store(&c->acked, value);
    /* The value before its fence, and only ever greater ones: a thread that reads the value and then the fence has a fence
     * that reflects it. */
    atomic_store(&c->token_value, value - 1);
    atomic_store(&c->token_index, index);
}

/* Read your writes: the session that wrote sees its write, whichever replica serves it. */
static void repl_read_back(struct tide_reader *session, uint32_t k, uint64_t value, uint64_t index) {
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    char key[16];
    uint8_t buf[256];
    uint64_t got = 0;
    b.max_staleness_ns = TIDE_UNBOUNDED;
    b.fallback = TIDE_FALLBACK_WAIT;
    b.wait_ns = 2000000;
    stress_at("reading back");
    int error = tide_get(session, key, repl_key(key, k), &b, buf, sizeof(buf), &a);
    if (error == TIDE_ERR_TIMEOUT || error == TIDE_ERR_NO_REPLICA) {
        return;
    }
    if (error != 0 || !stress_value_check(buf, a.value_size, k, &got) || got != value || a.index < index) {
        stress_violation("key %u: its writer wrote %llu at %llu and read %llu at %llu: %s", k,
                         (unsigned long long)value, (unsigned long long)index, (unsigned long long)got,
                         (unsigned long long)a.index, tide_strerror(error));
    }
}

static void *repl_writer(void *worker) {
    struct repl_worker *self = worker;
    struct repl_world *w = self->w;
    struct tide_reader *session;
    if (tide_reader_open(w->d, NULL, &session) != 0) {
        stress_violation("a writer's session cannot be opened");
        return NULL;
    }
    uint64_t writes = 0, pause = stress_below(&self->rng, 3) == 0 ? 0 : 1 + stress_below(&self->rng, 300000);
    while (!atomic_load(&w->team.stop) && !stress_failed()) {
        uint32_t k = (uint32_t)stress_below(&self->rng, REPL_KEYS / 2) * 2 + self->number;
        struct repl_counter *c = &w->counters[k];
        uint64_t value = atomic_load(&c->acked) + 1;
        uint8_t buf[256];
        char key[16];
        struct tide_token token;
        size_t size = 16 + stress_below(&self->rng, sizeof(buf) - 15);
        stress_value_make(buf, size, k, value);
        atomic_store(&c->called, value);
        stress_at("tide_put");
        int error = tide_put(w->d, session, key, repl_key(key, k), buf, size, &token);
        if (error == 0) {
            repl_note(w, c, value, token.index);
            writes++;
            if (stress_below(&self->rng, 8) == 0) {
                repl_read_back(session, k, value, token.index);
            }
        } else if (error == TIDE_ERR_NO_LEADER && w->leader_restarts) {
            stress_sleep_ns(50000);
        } else {
            stress_violation("tide_put: %s", tide_strerror(error));
        }
        if (pause != 0 && stress_below(&self->rng, 16) == 0) {
            stress_sleep_ns(pause);
        }
    }
    tide_reader_close(session);
    stress_count("writes", writes);
    return NULL;
}

/* ---- the thread that starts and stops replicas -------------------------------------------------------------------- */

static bool repl_others_serve(struct tide *d, uint32_t but, uint64_t delay_max_ns) {
    for (uint32_t id = 0; id < 8; id++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        if (id != but && tide_replica_info(d, id, &info) == 0 && info.state == TIDE_STATE_SERVING &&
            info.apply_delay_ns <= delay_max_ns) {
            return true;
        }
    }
    return false;
}

static void repl_restart_leader(struct repl_world *w, uint64_t *rng, uint32_t *leader) {
    if (!repl_others_serve(w->d, *leader, 0)) {
        return; /* the data would go with the last replica */
    }
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = TIDE_LEADER;
    stress_at("stopping the leader");
    int error = tide_replica_stop(w->d, *leader);
    if (error != 0) {
        stress_violation("the leader does not stop: %s", tide_strerror(error));
        return;
    }
    stress_sleep_ns(stress_below(rng, 500000));
    stress_at("starting a leader");
    error = tide_replica_start(w->d, &o, leader);
    stress_count("leader restarts", 1);
    if (error == TIDE_ERR_NO_REPLICA) {
        atomic_store(&w->lost, true); /* every follower was lapped at that moment */
        stress_count("data lost", 1);
    } else if (error != 0) {
        stress_violation("no leader can be started: %s", tide_strerror(error));
    }
}

static void repl_toggle_follower(struct repl_world *w, uint64_t *rng, uint32_t leader) {
    static const uint64_t delays[] = { 0, 0, 500000, 3000000, 15000000 };
    uint32_t id = 1 + (uint32_t)stress_below(rng, 4);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.id = (int32_t)id;
    o.apply_delay_ns = delays[stress_below(rng, 5)];
    if (id == leader) {
        return;
    }
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    int error = tide_replica_info(w->d, id, &info);
    bool runs = error == 0 && info.state != TIDE_STATE_STOPPED && info.state != TIDE_STATE_FREE;
    if (runs && stress_below(rng, 2) == 0) {
        stress_at("tide_replica_set_delay");
        error = tide_replica_set_delay(w->d, id, o.apply_delay_ns);
    } else if (runs) {
        stress_at("tide_replica_stop");
        error = tide_replica_stop(w->d, id);
        stress_count("stops", 1);
    } else {
        stress_at("tide_replica_start");
        uint64_t said = atomic_load(&stress_joins_lapped);
        error = tide_replica_start(w->d, &o, NULL);
        if (error == TIDE_ERR_TIMEOUT && atomic_load(&stress_joins_lapped) == said) {
            stress_violation("replica %u could not be started in time, and the library does not say why", id);
        }
        stress_count("starts", error == 0);
        stress_count("starts refused", error != 0);
        /* TIMEOUT: writers lapped the newcomer again and again in so small a ring. The caller may try again. */
        error = error == TIDE_ERR_NO_REPLICA || error == TIDE_ERR_TIMEOUT ? 0 : error;
    }
    if (error != 0) {
        stress_violation("replica %u, %s: %s", id, runs ? "running" : "not running", tide_strerror(error));
    }
}

static void repl_shuffle(struct repl_world *w, uint64_t *rng, uint64_t until_ns) {
    uint32_t leader = 0;
    while (stress_now_ns() < until_ns && !stress_failed() && !atomic_load(&w->lost)) {
        stress_at("between changes");
        stress_sleep_ns(stress_below(rng, 20000000));
        if (w->leader_restarts && stress_below(rng, 6) == 0) {
            repl_restart_leader(w, rng, &leader);
        } else {
            repl_toggle_follower(w, rng, leader);
        }
    }
}

void stress_replicas_round(uint64_t seed, uint64_t round_ns) {
    struct repl_world *w = aligned_alloc(128, (sizeof(*w) + 127) / 128 * 128);
    struct repl_worker workers[8];
    uint64_t rng = seed, start = stress_now_ns();
    if (w == NULL) {
        return;
    }
    *w = (struct repl_world){ 0 };
    stress_draw(&w->setup, &rng);
    w->leader_restarts = stress_below(&rng, 2) == 0;
    w->d = stress_open(&w->setup, w->leader_restarts ? "errors logged" : NULL);
    if (w->d != NULL) {
        struct tide_info info = TIDE_INFO_INIT;
        tide_info(w->d, &info);
        w->incarnation = info.incarnation;
        uint32_t readers = 2 + (uint32_t)stress_below(&rng, 2), n = 0;
        for (; n < 2; n++) {
            workers[n] = (struct repl_worker){ w, n, stress_rand(&rng) };
            stress_spawn(&w->team, "writer", repl_writer, &workers[n]);
        }
        for (uint32_t i = 0; i < readers; i++, n++) {
            workers[n] = (struct repl_worker){ w, i, stress_rand(&rng) };
            stress_spawn(&w->team, "reader", repl_reader, &workers[n]);
        }
        repl_shuffle(w, &rng, start + round_ns);
        stress_at("waiting for the workers");
        stress_join(&w->team);
        if (!stress_failed() && !atomic_load(&w->lost)) {
            stress_settle(w->d);
        }
        stress_at("tide_close");
        tide_close(w->d);
    }
    free(w);
}
