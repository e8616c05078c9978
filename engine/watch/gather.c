/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/watch/gather.h"

#include <stdlib.h>

#include "engine/replica/foreign.h"
#include "engine/replica/visit.h"
#include "engine/table/rcu.h"
#include "shm/crc.h"
#include "shm/nap.h"

#define GATHER_BUCKETS 64u /* visited in one section */
#define GATHER_TRIES 8     /* copies that were begun */
#define GATHER_NAP_NS UINT64_C(1000000)

struct gather {
    struct tide *d;
    struct walk *walk;
    struct key_set *set;
    uint64_t bad;   /* bit k: what replica k has is damaged */
    uint32_t donor; /* whose table is copied */
    uint64_t next;  /* bucket */
    struct foreign_scratch scratch;
    bool no_memory;
    int trouble; /* this process's own: why a replica could not be looked at */
};

/* The view of slot `id`, if its table can be copied. Inside a section. Also one whose process has died: nothing there is needed of it. */
static const struct view *gather_donor(const struct gather *g, uint32_t id) {
    const struct view *v = view_current(g->d, id);
    uint32_t state = v != NULL ? board_state(v->board) : REPLICA_FREE;
    return state == REPLICA_SERVING || state == REPLICA_ORPHAN ? v : NULL;
}

/* Take the replica that has applied most; of equals, one of this process. False: there is none. */
static bool gather_pick(struct gather *g, uint64_t *applied) {
    bool found = false, own = false;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        uint32_t state = board_state(&g->d->log->replicas[i]);
        if ((g->bad >> i & 1) != 0 || (state != REPLICA_SERVING && state != REPLICA_ORPHAN)) {
            continue;
        }
        rcu_enter();
        bool mapped = view_current(g->d, i) != NULL;
        rcu_exit();
        if (!mapped) {
            int error = foreign_attach(g->d, i);
            if (foreign_is_own_trouble(error)) {
                g->trouble = error;
                foreign_tell_trouble(g->d, error);
            }
        }
        rcu_enter();
        const struct view *v = gather_donor(g, i);
        uint64_t at = v != NULL ? board_applied(v->board) : 0;
        bool better = v != NULL && (!found || at > *applied || (at == *applied && !v->foreign && !own));
        if (better) {
            found = true;
            own = !v->foreign;
            *applied = at;
            g->donor = i;
        }
        rcu_exit();
    }
    return found;
}

static uint64_t gather_hash(const struct gather *g, const void *key, size_t key_len) {
    const struct table seeded = { .seed = g->d->hash_seed };
    return table_hash(&seeded, key, key_len);
}

static int gather_node(void *ctx, const struct visited *n) {
    struct gather *g = ctx;
    const struct walk *w = g->walk;
    if (w->prefix != NULL && (n->key_len < w->prefix_len || memcmp(n->key, w->prefix, w->prefix_len) != 0)) {
        return 0;
    }
    if (crc32c(0, n->key, n->payload_bytes) != n->payload_crc) {
        return TIDE_ERR_CORRUPT;
    }
    g->no_memory = !key_set_take(g->set, gather_hash(g, n->key, n->key_len), n->key, n->key_len, n->value, n->value_len,
                                 n->index, n->expiry, g->d->fed ? n->version : 0);
    return g->no_memory ? TIDE_ERR_NOMEM : 0;
}

enum gather_status { GATHER_MORE, GATHER_DONE, GATHER_AGAIN };

/* Visit some buckets. *passed: what the replica had applied before. AGAIN: this copy cannot be finished. */
static enum gather_status gather_some(struct gather *g, uint64_t *passed) {
    int result = 0;
    uint64_t buckets = 0;
    rcu_enter();
    const struct view *v = gather_donor(g, g->donor);
    if (v != NULL) {
        *passed = board_applied(v->board);
        buckets = foreign_buckets(v); /* after `applied` */
        uint64_t end = g->next + GATHER_BUCKETS < buckets ? g->next + GATHER_BUCKETS : buckets;
        for (; g->next < end && result == 0; g->next++) {
            result = visit_bucket(v, g->next, buckets, UINT64_MAX, &g->scratch, gather_node, g);
        }
        /* Again: a split may have moved keys out of the last buckets before they were visited, into buckets that are new. */
        buckets = foreign_buckets(v);
        bool damaged = result == TIDE_ERR_CORRUPT || buckets == 0 || view_is_damaged(v);
        if (damaged && view_is_current(v)) {
            g->bad |= UINT64_C(1) << g->donor;
        }
        v = damaged || result != 0 || !view_is_current(v) ? NULL : v;
    }
    rcu_exit();
    return v == NULL ? GATHER_AGAIN : g->next < buckets ? GATHER_MORE : GATHER_DONE;
}

/* Read the log up to entry `until`, which is committed. OK, or why not. */
static enum walk_status gather_log(struct gather *g, uint64_t until) {
    struct walk_entry e;
    enum walk_status status = WALK_OK;
    g->walk->stop = until;
    while (status == WALK_OK && g->walk->next <= until) {
        status = walk_next(g->walk, &e);
        if (status == WALK_OK &&
            !key_set_take(g->set, gather_hash(g, e.key, e.f.key_len), e.key, e.f.key_len,
                          e.f.type == FRAME_PUT ? e.value : NULL, e.f.value_len, e.f.index, e.expiry, e.version)) {
            status = WALK_NOMEM;
        }
    }
    g->walk->stop = UINT64_MAX;
    return status != WALK_NOTHING ? status : g->walk->next > until ? WALK_OK : WALK_LOST;
}

/* One copy from its beginning. AGAIN: begin another. */
static enum gather_status gather_copy(struct gather *g, uint64_t applied) {
    uint64_t passed = applied;
    enum gather_status status = GATHER_MORE;
    walk_init(g->walk, g->walk->ring, g->walk->prefix, g->walk->prefix_len, applied + 1);
    if (walk_place(g->walk) == WALK_LOST) {
        return GATHER_AGAIN;
    }
    g->next = 0;
    g->scratch.total = 0;
    while (status == GATHER_MORE) {
        status = gather_some(g, &passed);
        enum walk_status log = status != GATHER_AGAIN ? gather_log(g, passed) : WALK_OK;
        g->no_memory |= log == WALK_NOMEM;
        status = log != WALK_OK ? GATHER_AGAIN : status;
    }
    if (status == GATHER_DONE) {
        enum walk_status log = gather_log(g, board_commit(g->d->log));
        g->no_memory |= log == WALK_NOMEM;
        status = log != WALK_OK ? GATHER_AGAIN : status;
    }
    return status;
}

int gather_all(struct tide *d, struct walk *walk, struct key_set *set) {
    struct gather g = { .d = d, .walk = walk, .set = set };
    int error = TIDE_ERR_LOST;
    for (int i = 0; i < GATHER_TRIES; i++) {
        uint64_t applied = 0;
        bool found = gather_pick(&g, &applied);
        if (atomic_load(&d->closed) != 0) {
            error = -(int)atomic_load(&d->closed);
            break;
        }
        if (!found) {
            error = g.trouble != 0 ? g.trouble : g.bad != 0 ? TIDE_ERR_CORRUPT : TIDE_ERR_NO_REPLICA;
            break;
        }
        enum gather_status status = gather_copy(&g, applied);
        if (status == GATHER_DONE) {
            error = 0;
            break;
        }
        key_set_free(set);
        walk_free(walk);
        if (g.no_memory) {
            error = TIDE_ERR_NOMEM;
            break;
        }
        park_nap(GATHER_NAP_NS);
    }
    free(g.scratch.bytes);
    return error;
}
