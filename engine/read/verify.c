/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tide_verify(): check every node's bytes, and whether replicas agree. */
#include <stdlib.h>

#include "engine/table/cancel.h"
#include "engine/replica/foreign.h"
#include "engine/replica/key_text.h"
#include "engine/replica/sized.h"
#include "engine/read/reader.h"
#include "shm/crc.h"
#include "shm/nap.h"

#define VERIFY_TRIES 20
#define VERIFY_NAP_NS UINT64_C(1000000)
#define VERIFY_NAMES 8u /* that are told of each replica */

struct verify_nodes {
    uint64_t nodes, damaged;
    uint32_t named; /* of those, the first ones */
    struct {
        char key[KEY_TEXT_BYTES];
        uint64_t index;
    } names[VERIFY_NAMES];
};

static int verify_copy(void *ctx, const struct visited *n) {
    struct verify_nodes *v = ctx;
    v->nodes++;
    if (crc32c(0, n->key, n->payload_bytes) == n->payload_crc) {
        return 0;
    }
    v->damaged++;
    if (v->named < VERIFY_NAMES) {
        (void)key_text(v->names[v->named].key, n->key, n->key_len);
        v->names[v->named++].index = n->index;
    }
    return 0;
}

/* After the section: the callback may take its time. */
static void verify_tell(struct tide *d, uint32_t id, const struct verify_nodes *v) {
    for (uint32_t i = 0; i < v->named; i++) {
        tide_logf(d, TIDE_LOG_ERROR, "replica %u: what was written for key %s at index %llu is damaged", id,
                  v->names[i].key, (unsigned long long)v->names[i].index);
    }
    if (v->damaged > v->named && v->named != 0) {
        tide_logf(d, TIDE_LOG_ERROR, "replica %u: so are %llu more", id, (unsigned long long)(v->damaged - v->named));
    }
}

/* Map the replica. What its segment says of itself may be of a replica that joins anew just now: then it is looked at again. True: it is
 * damaged. *error: nothing can be said of it. */
static bool verify_attach(struct tide *d, uint32_t id, int *error) {
    for (int i = 0; i < VERIFY_TRIES; i++) {
        *error = foreign_attach(d, id);
        if (*error == 0 || foreign_is_own_trouble(*error) || board_state(&d->log->replicas[id]) != REPLICA_SERVING) {
            break;
        }
        park_nap(VERIFY_NAP_NS);
    }
    if (foreign_is_own_trouble(*error)) {
        tide_log_fault(d, *error); /* each time: this call was made to be told */
        return false;
    }
    bool damaged = *error == TIDE_ERR_CORRUPT || *error == TIDE_ERR_VERSION || *error == TIDE_ERR_NO_DOMAIN;
    *error = 0; /* it serves no more, say */
    return damaged && board_state(&d->log->replicas[id]) == REPLICA_SERVING;
}

/* Own replicas are read by validated copies too, like other processes': the segment's bytes are what is checked. */
static int verify_replica(struct tide *d, uint32_t id, struct tide_verify *out) {
    struct verify_nodes sum = { 0 };
    struct foreign_scratch scratch = { 0 };
    int error = 0;
    sum.damaged += verify_attach(d, id, &error);
    if (error != 0) {
        return error;
    }
    uint64_t buckets = 1;
    for (uint64_t b = 0; b < buckets; b++) {
        rcu_enter();
        struct view *v = view_current(d, id);
        if (v == NULL) {
            buckets = 0;
        } else {
            buckets = foreign_buckets(v);
            int seen =
                buckets == 0 ? TIDE_ERR_CORRUPT : foreign_visit_bucket(v, b, UINT64_MAX, &scratch, verify_copy, &sum);
            sum.damaged += seen != 0 && seen != TIDE_ERR_LOST; /* LOST: it changed under the look */
        }
        rcu_exit();
    }
    free(scratch.bytes);
    verify_tell(d, id, &sum);
    out->nodes += sum.nodes;
    out->damaged += sum.damaged;
    out->has_damage |= (uint64_t)(sum.damaged != 0) << id;
    return 0;
}

static uint32_t verify_serving(const struct log_segment *log, uint32_t ids[LAYOUT_REPLICAS]) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        if (board_state(&log->replicas[i]) == REPLICA_SERVING) {
            ids[n++] = i;
        }
    }
    return n;
}

/* Collect the digests at one index of all replicas that have one there. Returns how many. */
static uint32_t verify_at(const struct log_segment *log, const uint32_t *ids, uint32_t n, uint64_t index, bool mark,
                          struct tide_verify *out) {
    uint32_t have = 0;
    out->has_digest = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t at = index, digest;
        bool got = mark ? board_digest_at(&log->replicas[ids[i]], index, &digest)
                        : board_get_digest(&log->replicas[ids[i]], &at, &digest) && at == index;
        if (got) {
            out->digests[ids[i]] = digest;
            out->has_digest |= UINT64_C(1) << ids[i];
            out->digest = have == 0 ? digest : out->digest;
            have++;
        }
    }
    return have;
}

static void verify_digests(const struct log_segment *log, const uint32_t *ids, uint32_t n, struct tide_verify *out) {
    uint64_t commit = board_commit(log), mark = commit / LAYOUT_DIGEST_EVERY * LAYOUT_DIGEST_EVERY;
    out->index = commit;
    out->compared = verify_at(log, ids, n, commit, false, out);
    for (uint32_t back = 0; out->compared < n && back < LAYOUT_DIGEST_MARKS && mark != 0; back++) {
        struct tide_verify other = *out;
        uint32_t have = verify_at(log, ids, n, mark, true, &other);
        if (have > out->compared) {
            *out = other;
            out->index = mark;
            out->compared = have;
        }
        mark -= LAYOUT_DIGEST_EVERY;
    }
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        out->differing += (out->has_digest >> i & 1) != 0 && out->digests[i] != out->digest;
    }
}

int tide_verify(struct tide *d, struct tide_verify *out) {
    CANCEL_HOLD_OFF();
    if (d == NULL || out == NULL || out->size < SIZED_VERIFY) {
        return TIDE_ERR_INVALID;
    }
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    if (rcu_register_self() != 0) {
        return TIDE_ERR_NOMEM;
    }
    if (rcu_inside()) {
        return TIDE_ERR_THREAD;
    }
    struct tide_verify found = { .size = sizeof(found) };
    uint32_t ids[LAYOUT_REPLICAS];
    found.replicas = verify_serving(d->log, ids);
    verify_digests(d->log, ids, found.replicas, &found);
    int error = 0;
    for (uint32_t i = 0; i < found.replicas && error == 0; i++) {
        error = verify_replica(d, ids[i], &found);
    }
    /* The tables go with the log, a moment after it, and the grace thread has not looked yet: what is missing is not damaged. */
    if (error == 0 && segment_is_unlinked(&d->segment)) {
        error = TIDE_ERR_GONE;
    }
    if (error == 0) {
        SIZED_GIVE(out, &found);
    }
    return error;
}
