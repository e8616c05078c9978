/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How entries of the log become part of a replica's table. */
#include "engine/kill.h"
#include "engine/lane.h"
#include "engine/replica.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/crc.h"
#include "shm/lag.h"
#include "shm/park.h"

/* Entries between two publications of `applied`: enough to spread the cost of a publication, few enough that readers do
 * not wait for it. */
#define APPLY_RUN 64u

static enum apply_status apply_torn(const struct replica *r) {
    return ring_intact(&r->domain->ring, r->pos) ? APPLY_CORRUPT : APPLY_LAPPED;
}

/* The copy is the check's object: what was checked cannot change any more. */
static bool apply_checks_out(const struct replica *r, const struct frame *f, uint32_t payload_crc) {
    return ring_frame_crc(f, payload_crc) == f->crc && ring_intact(&r->domain->ring, r->pos);
}

static enum apply_status apply_put(struct replica *r, const struct frame *f) {
    uint32_t node;
    enum arena_status status = table_node_new(&r->writer, f->key_len, f->value_len, &node);
    if (status != ARENA_OK) {
        return status == ARENA_WAIT ? APPLY_WAIT : APPLY_FULL;
    }
    size_t payload = (size_t)f->key_len + f->value_len;
    uint8_t *key = table_node_key(table_node_at(&r->writer.t, node));
    bytes_copy_racy(key, ring_payload(&r->domain->ring, r->pos), payload);
    uint32_t crc = crc32c(0, key, payload);
    if (!apply_checks_out(r, f, crc)) {
        table_node_drop(&r->writer, node);
        return apply_torn(r);
    }
    uint64_t hash = table_hash(&r->writer.t, key, f->key_len);
    return table_publish(&r->writer, node, hash, f->index, crc) == 0 ? APPLY_OK : APPLY_FULL;
}

static enum apply_status apply_delete(struct replica *r, const struct frame *f) {
    bytes_copy_racy(r->scratch, ring_payload(&r->domain->ring, r->pos), f->key_len);
    if (!apply_checks_out(r, f, crc32c(0, r->scratch, f->key_len))) {
        return apply_torn(r);
    }
    table_delete(&r->writer, table_hash(&r->writer.t, r->scratch, f->key_len), r->scratch, f->key_len, f->index);
    return APPLY_OK;
}

static enum apply_status apply_nothing(const struct replica *r, const struct frame *f) {
    return apply_checks_out(r, f, 0) ? APPLY_OK : apply_torn(r);
}

enum apply_status replica_apply(struct replica *r, struct frame *f) {
    switch (ring_header(&r->domain->ring, r->pos, r->applied + 1, f)) {
    case RING_LAPPED:
        return APPLY_LAPPED;
    case RING_CORRUPT:
        return APPLY_CORRUPT;
    case RING_OK:
        break;
    }
    enum apply_status status = f->type == FRAME_PUT      ? apply_put(r, f)
                               : f->type == FRAME_DELETE ? apply_delete(r, f)
                                                         : apply_nothing(r, f);
    if (status == APPLY_OK) {
        r->applied = f->index;
        r->pos += f->length;
        r->last_ts = f->commit_ts;
        if (f->lane != 0) {
            lane_note(r->writer.t.seg, f->lane, f->lane_seq, f->index);
        }
        replica_note_index(r);
    }
    return status;
}

void replica_note_index(struct replica *r) {
    if (r->exact && r->applied % LAYOUT_DIGEST_EVERY == 0) {
        board_mark_digest(r->board, r->applied, r->writer.digest);
    }
}

void replica_publish(struct replica *r, uint64_t ts) {
    KILL_POINT("apply.unpublished");
    board_publish(r->board, r->applied, ts, r->pos);
    board_put_digest(r->board, r->applied, r->writer.digest);
    atomic_store_explicit(&r->board->entries, /* MO(stats) */
                          atomic_load_explicit(&r->board->entries, memory_order_relaxed) + r->applied - r->published,
                          memory_order_relaxed);
    r->published = r->applied;
    KILL_POINT("apply.published");
    table_published(&r->writer);
    /* MO(replica.waiters): relaxed; a waiter that this misses looks again within a millisecond: shm/park.h. */
    if (atomic_load_explicit(&r->board->waiters, memory_order_relaxed) != 0) {
        atomic_store(&r->board->waiters, 0);
        atomic_fetch_add(&r->board->wake, 1);
        park_wake(&r->board->wake, INT32_MAX);
    }
}

/* The commit timestamps of a run: few, since the entries of a group share one. */
struct apply_lags {
    uint64_t ts[APPLY_RUN];
    uint32_t entries[APPLY_RUN];
    uint32_t count;
};

static void apply_lag_note(struct apply_lags *lags, uint64_t ts) {
    if (lags->count == 0 || lags->ts[lags->count - 1] != ts) {
        /* A batch longer than a run has one timestamp; where more follow, they count as the last. */
        lags->count += lags->count < APPLY_RUN;
        lags->ts[lags->count - 1] = ts;
        lags->entries[lags->count - 1] = 0;
    }
    lags->entries[lags->count - 1]++;
}

static void apply_lag_record(struct replica *r, const struct apply_lags *lags) {
    uint64_t now = clock_now(&r->domain->log->clock);
    for (uint32_t i = 0; i < lags->count; i++) {
        int64_t lag = now > lags->ts[i] ? (int64_t)(now - lags->ts[i]) : 0;
        lag_record(r->lag_all, r->lag_windows, now, lag, lags->entries[i]);
    }
}

/* Up to when a state that lacks the entry at r->pos is complete: just before that entry's stamp. */
static uint64_t apply_complete_ts(const struct replica *r, uint64_t commit) {
    struct frame next;
    if (r->applied < commit && ring_header(&r->domain->ring, r->pos, r->applied + 1, &next) == RING_OK &&
        ring_intact(&r->domain->ring, r->pos) && next.commit_ts > r->last_ts) {
        return next.commit_ts - 1;
    }
    return r->last_ts;
}

/* Memory waits for a grace period, and that for a publication, which must not fall into a batch. */
static bool apply_make_room(struct replica *r, bool may_publish) {
    if (may_publish && r->applied != r->published) {
        replica_publish(r, r->last_ts);
    }
    return table_drain(&r->writer);
}

/* One run, ending where a batch ends. */
static enum apply_status apply_run(struct replica *r, uint64_t until, uint64_t delay, uint64_t *due) {
    struct apply_lags lags;
    lags.count = 0;
    uint64_t now = delay != 0 ? clock_now(&r->domain->log->clock) : 0;
    enum apply_status status = APPLY_OK;
    uint64_t safe = r->applied;
    bool more = false;
    for (uint32_t n = 0; (n < APPLY_RUN && r->applied < until) || more; n++) {
        struct frame f;
        if (delay != 0 && !more) {
            if (ring_header(&r->domain->ring, r->pos, r->applied + 1, &f) == RING_OK && f.commit_ts + delay > now) {
                *due = f.commit_ts + delay;
                break;
            }
        }
        status = replica_apply(r, &f);
        if (status == APPLY_WAIT && apply_make_room(r, !more)) {
            n--;
            continue;
        }
        if (status != APPLY_OK) {
            break;
        }
        apply_lag_note(&lags, f.commit_ts);
        more = (f.flags & FRAME_MORE) != 0;
        safe = more ? safe : r->applied;
    }
    /* In the middle of a batch nothing is published: the replica is lapped or broken then, and starts anew. */
    if (safe != r->published && !more) {
        uint64_t commit = board_commit(r->domain->log);
        replica_publish(r, apply_complete_ts(r, commit));
        if (r->exact) {
            apply_lag_record(r, &lags); /* what a newcomer catches up with is not its lag */
        }
    }
    return status == APPLY_WAIT ? APPLY_FULL : status;
}

enum apply_status replica_catch_up(struct replica *r, uint64_t until, uint64_t *due) {
    *due = 0;
    while (r->applied < until) {
        /* MO(replica.delay): relaxed; a setting, it orders nothing. */
        uint64_t delay = atomic_load_explicit(&r->board->apply_delay_ns, memory_order_relaxed);
        enum apply_status status = apply_run(r, until, delay, due);
        if (status != APPLY_OK || *due != 0 || atomic_load(&r->stop) != 0) {
            return status;
        }
    }
    return APPLY_OK;
}
