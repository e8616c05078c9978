/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/crash_roles.h"

#include <unistd.h>

#define ROLE_PATIENCE_NS UINT64_C(20000000000)

uint32_t crash_start_replica(struct crash_world *w, struct tide *d, enum tide_role role, bool candidate) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    uint64_t until = crash_now_ns() + ROLE_PATIENCE_NS;
    o.role = role;
    o.candidate = candidate;
    for (;;) {
        uint32_t id = 0;
        int error = tide_replica_start(d, &o, &id);
        if (error == 0) {
            return id;
        }
        if (error == TIDE_ERR_BUSY && o.role == TIDE_LEADER) {
            o.role = TIDE_FOLLOWER;
        }
        /* NO_REPLICA: the donor died, and it takes a moment until another replica serves. */
        if ((error != TIDE_ERR_NO_REPLICA && error != TIDE_ERR_TIMEOUT && error != TIDE_ERR_BUSY) ||
            crash_now_ns() > until) {
            crash_fail(w, "cannot start a replica: %s", tide_strerror(error));
            _exit(4);
        }
        crash_nap_us(1000);
    }
}

void crash_work(struct crash_world *w, struct tide *d, uint32_t slot, uint32_t me, uint64_t seed, uint64_t times) {
    struct crash_slot *s = &w->slots[slot];
    struct help_rng rng = { seed };
    struct tide_reader *r;
    int error = tide_reader_open(d, NULL, &r);
    if (error != 0) {
        crash_fail(w, "reader: %s", tide_strerror(error));
        _exit(5);
    }
    if (me < CRASH_WRITERS) {
        crash_writer_begin(w, me);
    }
    for (uint64_t i = 0; i < times && atomic_load(&s->leave) == 0; i++) {
        if (me < CRASH_WRITERS && i % 8 != 7) {
            while (crash_is_ahead(w) && atomic_load(&w->pause) == 0 && atomic_load(&s->leave) == 0) {
                crash_nap_us(100);
            }
            atomic_store(&s->writes, 1);
            bool paused = atomic_load(&w->pause) != 0;
            bool done = !paused && crash_write(w, d, r, me, &rng);
            if (paused || !done) {
                atomic_store(&s->writes, 0);
                crash_nap_us(500);
            }
        } else {
            crash_read(w, r, &rng);
            if (me == UINT32_MAX && i % 64 == 63) {
                crash_nap_us(100); /* in bursts: the replicas that are read need a processor, too */
            }
        }
        atomic_fetch_add(&s->beats, 1);
    }
    atomic_store(&s->writes, 0);
    tide_reader_close(r);
}

static void role_replica(struct crash_world *w, uint32_t slot, uint64_t seed, bool candidate) {
    struct tide *d = crash_open(w);
    bool lead = candidate && seed % 3 == 0;
    crash_start_replica(w, d, lead ? TIDE_LEADER : TIDE_FOLLOWER, candidate);
    crash_work(w, d, slot, slot % CRASH_WRITERS, seed, UINT64_MAX);
    tide_close(d);
}

void crash_role_node(struct crash_world *w, uint32_t slot, uint64_t seed) {
    role_replica(w, slot, seed, true);
}

void crash_role_follower(struct crash_world *w, uint32_t slot, uint64_t seed) {
    role_replica(w, slot, seed, false);
}

void crash_role_writer(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = crash_open(w);
    crash_work(w, d, slot, slot % CRASH_WRITERS, seed, UINT64_MAX);
    tide_close(d);
}

void crash_role_reader(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct tide *d = crash_open(w);
    crash_work(w, d, slot, UINT32_MAX, seed, UINT64_MAX);
    tide_close(d);
}

void crash_role_janitor(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct help_rng rng = { seed };
    while (atomic_load(&w->slots[slot].leave) == 0) {
        struct tide *d = crash_open(w);
        for (int i = 0; i < 20 && atomic_load(&w->slots[slot].leave) == 0; i++) {
            struct tide_verify v = TIDE_VERIFY_INIT;
            tide_gc(d, NULL);
            if (help_below(&rng, 16) == 0) {
                tide_step_down(d);
            }
            if (tide_verify(d, &v) == 0 && v.differing != 0) {
                crash_fail(w, "%u of %u replicas differ at index %llu", v.differing, v.compared,
                           (unsigned long long)v.index);
            }
            atomic_fetch_add(&w->slots[slot].beats, 1);
            crash_nap_us(help_below(&rng, 10000));
        }
        tide_close(d);
    }
}

void crash_role_checker(struct crash_world *w, uint32_t slot, uint64_t seed) {
    (void)slot, (void)seed;
    struct tide *d = crash_open(w);
    crash_check_all(w, d);
    tide_close(d);
}
