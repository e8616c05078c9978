/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/stress_domain.h"

#include <string.h>

#include "engine/replica/domain.h"
#include "engine/table/rcu.h"

#define STRESS_SETTLE_NS UINT64_C(20000000000)

void stress_draw(struct stress_setup *s, uint64_t *rng) {
    static const uint64_t rings[] = { 64 << 10, 64 << 10, 256 << 10, 1 << 20 };
    static const uint64_t patience[] = { 50000, 500000, 5000000, 50000000 };
    static const uint64_t delays[] = { 0, 0, 0, 1000000, 5000000, 20000000 };
    s->ring_bytes = rings[stress_below(rng, 4)];
    s->table_bytes = UINT64_C(256 << 10) << stress_below(rng, 6);
    s->table_bytes = s->table_bytes < s->ring_bytes ? s->ring_bytes : s->table_bytes;
    s->slow_follower_ns = patience[stress_below(rng, 4)];
    s->followers = 1 + (uint32_t)stress_below(rng, 3);
    for (uint32_t i = 0; i < 8; i++) {
        s->delay_ns[i] = delays[stress_below(rng, 6)];
    }
}

struct tide *stress_open(const struct stress_setup *s, void *log_ctx) {
    struct tide_opts o = TIDE_OPTS_INIT;
    char name[TIDE_NAME_MAX];
    struct tide *d;
    o.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    o.ring_bytes = s->ring_bytes;
    o.table_bytes = s->table_bytes;
    o.slow_follower_ns = s->slow_follower_ns;
    o.log = stress_log;
    o.log_ctx = log_ctx;
    stress_domain_name(name, sizeof(name));
    int error = tide_open(&d, name, &o);
    if (error != 0) {
        stress_violation("tide_open: %s", tide_strerror(error));
        return NULL;
    }
    for (uint32_t i = 0; i <= s->followers && error == 0; i++) {
        struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
        r.role = i == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
        r.apply_delay_ns = i == 0 ? 0 : s->delay_ns[i - 1];
        error = tide_replica_start(d, &r, NULL);
    }
    if (error != 0) {
        stress_violation("tide_replica_start: %s", tide_strerror(error));
        tide_close(d);
        return NULL;
    }
    return d;
}

/* ---- settling ----------------------------------------------------------------------------------------------------- */

/* Wait until the replica serves everything. */
static bool stress_settle_one(struct tide *d, uint32_t id, uint64_t commit) {
    uint64_t start = stress_now_ns();
    for (;;) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        stress_at("settle");
        int error = tide_replica_info(d, id, &info);
        if (error == 0 && info.state == TIDE_STATE_SERVING && info.applied_index == commit) {
            return true;
        }
        if (error != 0 || info.state == TIDE_STATE_FAILED || info.state == TIDE_STATE_DIVERGED ||
            stress_now_ns() - start > STRESS_SETTLE_NS) {
            stress_violation("replica %u does not settle: %s, state %s, applied %llu of %llu, lapped %llu, joins %llu",
                             id, tide_strerror(error), tide_state_name(info.state),
                             (unsigned long long)info.applied_index, (unsigned long long)commit,
                             (unsigned long long)info.lapped, (unsigned long long)info.joins);
            return false;
        }
        stress_sleep_ns(1000000);
    }
}

/* Recompute the table's digest inside a section, so that nodes which the writer still tidies up stay in place. */
static void stress_settle_verify(struct replica *r, uint64_t digest) {
    uint64_t keys = 0, sum = 0, bad = 0;
    rcu_register_self();
    rcu_enter();
    int error = table_verify(&r->writer, &keys, &sum, &bad);
    rcu_exit();
    if (error != 0 || sum != digest) {
        stress_violation("replica %u: table_verify %d: %llu keys, %llu bad, digest %llx from its bytes, %llx published",
                         r->view.id, error, (unsigned long long)keys, (unsigned long long)bad, (unsigned long long)sum,
                         (unsigned long long)digest);
    }
}

void stress_settle(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(d, &info);
    stress_count("lapped", info.lapped_total);
    stress_count("entries", info.commit_index);
    uint64_t first_digest = 0;
    bool have = false;
    for (uint32_t id = 0; id < TIDE_REPLICAS; id++) {
        if (d->running[id] != NULL) {
            tide_replica_set_delay(d, id, 0); /* the leader has no delay and refuses one */
        }
    }
    for (uint32_t id = 0; id < TIDE_REPLICAS; id++) {
        uint64_t index, digest;
        if (d->running[id] == NULL || !stress_settle_one(d, id, info.commit_index)) {
            continue;
        }
        int error = tide_replica_digest(d, id, &index, &digest);
        if (error != 0 || index != info.commit_index || (have && digest != first_digest)) {
            stress_violation("replica %u: digest %llx of index %llu, others %llx of %llu: %s", id,
                             (unsigned long long)digest, (unsigned long long)index, (unsigned long long)first_digest,
                             (unsigned long long)info.commit_index, tide_strerror(error));
        }
        first_digest = digest;
        have = true;
        stress_settle_verify(d->running[id], digest);
    }
}

/* ---- history ------------------------------------------------------------------------------------------------------ */

void stress_history_init(struct stress_history *h) {
    memset(h, 0xff, sizeof(*h));
    struct stress_state *s = &h->states[0];
    atomic_store(&s->extra, 0);
    atomic_store(&s->last, 0);
    atomic_store(&s->next_first, 0);
    atomic_store(&s->id, 0);
    atomic_store(&h->newest, 0);
}

void stress_history_add(struct stress_history *h, uint64_t id, uint64_t extra, uint64_t first, uint64_t last) {
    struct stress_state *s = &h->states[id % STRESS_HISTORY];
    atomic_store(&s->id, UINT64_MAX);
    atomic_store(&s->extra, extra);
    atomic_store(&s->last, last);
    atomic_store(&s->next_first, 0);
    atomic_store(&s->id, id);
    atomic_store(&h->states[atomic_load(&h->newest) % STRESS_HISTORY].next_first, first);
    atomic_store(&h->newest, id);
}

enum stress_known { STRESS_UNKNOWN, STRESS_RIGHT, STRESS_SKIPPED };

static enum stress_known stress_history_look(const struct stress_history *h, uint64_t id, uint64_t extra,
                                             uint64_t index, const char *what, bool final) {
    uint64_t newest = atomic_load(&h->newest);
    if (newest < id) {
        if (final) {
            stress_violation("%s: state %llu at index %llu, but the last one ever was %llu", what,
                             (unsigned long long)id, (unsigned long long)index, (unsigned long long)newest);
        }
        return STRESS_UNKNOWN;
    }
    const struct stress_state *s = &h->states[id % STRESS_HISTORY];
    uint64_t at = atomic_load(&s->id), was = atomic_load(&s->extra), last = atomic_load(&s->last);
    uint64_t next_first = atomic_load(&s->next_first);
    uint64_t again = atomic_load(&h->newest);
    if (again >= id + STRESS_HISTORY / 2) {
        return STRESS_SKIPPED; /* the writer has written over it, or is about to */
    }
    if (at != id || was != extra) {
        stress_violation("%s: state %llu (%llu) at index %llu never was: noted are %llu (%llu)", what,
                         (unsigned long long)id, (unsigned long long)extra, (unsigned long long)index,
                         (unsigned long long)at, (unsigned long long)was);
        return STRESS_RIGHT;
    }
    if (last > index || (next_first != 0 && next_first <= index)) {
        stress_violation("%s: a read at index %llu saw state %llu, which held from %llu to before %llu: %s", what,
                         (unsigned long long)index, (unsigned long long)id, (unsigned long long)last,
                         (unsigned long long)next_first, last > index ? "too new" : "too old");
    }
    return next_first == 0 && !final ? STRESS_UNKNOWN : STRESS_RIGHT;
}

void stress_history_recheck(struct stress_pending *p, bool final) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        enum stress_known known = stress_history_look(p->items[i].h, p->items[i].id, p->items[i].extra,
                                                      p->items[i].index, p->items[i].what, final);
        if (known == STRESS_UNKNOWN && !final) {
            p->items[kept++] = p->items[i];
        }
        p->checked += known == STRESS_RIGHT;
        p->skipped += known == STRESS_SKIPPED;
    }
    p->count = kept;
}

void stress_history_check(struct stress_pending *p, const struct stress_history *h, uint64_t id, uint64_t extra,
                          uint64_t index, const char *what) {
    if (p->count == STRESS_PENDING) {
        stress_history_recheck(p, false);
    }
    if (p->count == STRESS_PENDING) { /* the writer has noted nothing yet: give the oldest read up */
        memmove(&p->items[0], &p->items[1], sizeof(p->items[0]) * (STRESS_PENDING - 1));
        p->count--;
        p->skipped++;
    }
    p->items[p->count].h = h;
    p->items[p->count].id = id;
    p->items[p->count].extra = extra;
    p->items[p->count].index = index;
    p->items[p->count].what = what;
    p->count++;
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

void stress_value_make(uint8_t *to, size_t size, uint64_t a, uint64_t b) {
    uint64_t state = a * UINT64_C(0x9e3779b97f4a7c15) ^ b;
    memcpy(to, &b, 8);
    for (size_t i = 8; i < size; i += 8) {
        uint64_t word = stress_rand(&state);
        memcpy(to + i, &word, size - i < 8 ? size - i : 8);
    }
}

bool stress_value_check(const uint8_t *from, size_t size, uint64_t a, uint64_t *b) {
    uint64_t made;
    if (size < 16) {
        return false;
    }
    memcpy(&made, from, 8);
    uint64_t state = a * UINT64_C(0x9e3779b97f4a7c15) ^ made;
    for (size_t i = 8; i < size; i += 8) {
        uint64_t word = stress_rand(&state);
        if (memcmp(from + i, &word, size - i < 8 ? size - i : 8) != 0) {
            return false;
        }
    }
    *b = made;
    return true;
}
