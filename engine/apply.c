/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How entries of the log become part of a replica's table. */
#include "engine/kill.h"
#include "engine/lane.h"
#include "engine/replica.h"

#include <stdlib.h>

#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/crc.h"
#include "shm/lag.h"
#include "shm/park.h"

/* Entries between two publications of `applied`: enough to spread the cost of a publication, few enough that readers do
 * not wait for it. */
#define APPLY_RUN 64u

/* An entry on its way into the table. */
struct apply_part {
    struct frame f;
    uint64_t pos;
    uint64_t hash; /* puts: of the key */
    uint32_t crc;  /* puts: of key and value */
    uint32_t node; /* puts: filled, not published */
};
#define APPLY_BATCH_MAX 65536u

static enum apply_status apply_torn(const struct replica *r, uint64_t pos) {
    return ring_intact(&r->domain->ring, pos) ? APPLY_CORRUPT : APPLY_LAPPED;
}

/* The copy is the check's object: what was checked cannot change any more. */
static bool apply_checks_out(const struct replica *r, const struct apply_part *p, uint32_t payload_crc) {
    return ring_frame_crc(&p->f, payload_crc) == p->f.crc && ring_intact(&r->domain->ring, p->pos);
}

/* First step: everything of entry `index` at `pos` that needs memory. The table does not change. */
static enum apply_status apply_make(struct replica *r, struct apply_part *p, uint64_t pos, uint64_t index) {
    p->pos = pos;
    switch (ring_header(&r->domain->ring, pos, index, &p->f)) {
    case RING_LAPPED:
        return APPLY_LAPPED;
    case RING_CORRUPT:
        return APPLY_CORRUPT;
    case RING_OK:
        break;
    }
    if (p->f.type != FRAME_PUT) {
        return APPLY_OK;
    }
    enum arena_status status = table_node_new(&r->writer, p->f.key_len, p->f.value_len, &p->node);
    if (status != ARENA_OK) {
        return status == ARENA_WAIT ? APPLY_WAIT : APPLY_FULL;
    }
    size_t payload = (size_t)p->f.key_len + p->f.value_len;
    uint8_t *key = table_node_key(table_node_at(&r->writer.t, p->node));
    bytes_copy_racy(key, ring_payload(&r->domain->ring, pos), payload);
    p->crc = crc32c(0, key, payload);
    if (!apply_checks_out(r, p, p->crc)) {
        table_node_drop(&r->writer, p->node);
        return apply_torn(r, pos);
    }
    p->hash = table_hash(&r->writer.t, key, p->f.key_len);
    return APPLY_OK;
}

static enum apply_status apply_delete(struct replica *r, const struct apply_part *p) {
    bytes_copy_racy(r->scratch, ring_payload(&r->domain->ring, p->pos), p->f.key_len);
    if (!apply_checks_out(r, p, crc32c(0, r->scratch, p->f.key_len))) {
        return apply_torn(r, p->pos);
    }
    uint64_t hash = table_hash(&r->writer.t, r->scratch, p->f.key_len);
    table_delete(&r->writer, hash, r->scratch, p->f.key_len, p->f.index);
    return APPLY_OK;
}

/* Second step: make it part of the table. */
static enum apply_status apply_take(struct replica *r, const struct apply_part *p) {
    enum apply_status status;
    if (p->f.type == FRAME_PUT) {
        status = table_publish(&r->writer, p->node, p->hash, p->f.index, p->crc) == 0 ? APPLY_OK : APPLY_FULL;
    } else if (p->f.type == FRAME_DELETE) {
        status = apply_delete(r, p);
    } else {
        status = apply_checks_out(r, p, 0) ? APPLY_OK : apply_torn(r, p->pos);
    }
    if (status == APPLY_OK) {
        r->applied = p->f.index;
        r->pos = p->pos + p->f.length;
        r->last_ts = p->f.commit_ts;
        if (p->f.lane != 0) {
            lane_note(r->writer.t.seg, p->f.lane, p->f.lane_seq, p->f.index);
        }
        replica_note_index(r);
    }
    return status;
}

static bool apply_room_for_part(struct replica *r, size_t count) {
    if (count < r->parts_room) {
        return true;
    }
    size_t room = r->parts_room == 0 ? 64 : r->parts_room * 2;
    struct apply_part *parts = realloc(r->parts, room * sizeof(*parts));
    if (parts != NULL) {
        r->parts = parts;
        r->parts_room = room;
    }
    return parts != NULL;
}

/*
 * A batch, in the same two steps as the sequencer: all nodes first. What a batch replaces cannot be reused before the
 * whole batch is published; if nodes were made one by one, memory could run out in its middle, where nothing can be
 * waited for.
 */
static enum apply_status apply_batch(struct replica *r, const struct apply_part *first, struct frame *last) {
    enum apply_status status = APPLY_OK;
    uint64_t pos = r->pos, commit = board_commit(r->domain->log);
    size_t count = 0;
    bool more = true;
    while (more && status == APPLY_OK) {
        if (count == APPLY_BATCH_MAX || r->applied + count + 1 > commit) {
            status = APPLY_CORRUPT;
        } else if (!apply_room_for_part(r, count)) {
            status = APPLY_FULL;
        } else if (count == 0) {
            r->parts[0] = *first;
        } else {
            status = apply_make(r, &r->parts[count], pos, r->applied + count + 1);
        }
        if (status == APPLY_OK) {
            more = (r->parts[count].f.flags & FRAME_MORE) != 0;
            pos += r->parts[count++].f.length;
        }
    }
    if (status != APPLY_OK) {
        for (size_t i = 0; i < count; i++) {
            if (r->parts[i].f.type == FRAME_PUT) {
                table_node_drop(&r->writer, r->parts[i].node);
            }
        }
        return status;
    }
    for (size_t i = 0; i < count && status == APPLY_OK; i++) {
        status = apply_take(r, &r->parts[i]);
    }
    *last = r->parts[count - 1].f;
    return status;
}

enum apply_status replica_apply(struct replica *r, struct frame *f) {
    struct apply_part p;
    enum apply_status status = apply_make(r, &p, r->pos, r->applied + 1);
    if (status != APPLY_OK) {
        return status;
    }
    *f = p.f;
    return (p.f.flags & FRAME_MORE) != 0 ? apply_batch(r, &p, f) : apply_take(r, &p);
}

void replica_note_index(struct replica *r) {
    if (r->exact && r->applied % LAYOUT_DIGEST_EVERY == 0) {
        board_mark_digest(r->board, r->applied, r->writer.digest);
    }
}

void replica_publish(struct replica *r, uint64_t ts) {
    KILL_POINT("apply.unpublished");
    board_publish(r->board, r->applied, ts, r->pos);
    KILL_POINT("apply.undigested");
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

static void apply_lag_note(struct apply_lags *lags, uint64_t ts, uint64_t entries) {
    if (lags->count == 0 || lags->ts[lags->count - 1] != ts) {
        lags->count++; /* at most one for each step of a run */
        lags->ts[lags->count - 1] = ts;
        lags->entries[lags->count - 1] = 0;
    }
    lags->entries[lags->count - 1] += (uint32_t)entries;
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

/* Memory waits for a grace period, and that for a publication. */
static bool apply_make_room(struct replica *r) {
    if (r->applied != r->published) {
        replica_publish(r, r->last_ts);
    }
    return table_drain(&r->writer);
}

/* One run of some steps, each an entry or a whole batch. */
static enum apply_status apply_run(struct replica *r, uint64_t until, uint64_t delay, uint64_t *due) {
    struct apply_lags lags;
    lags.count = 0;
    uint64_t now = delay != 0 ? clock_now(&r->domain->log->clock) : 0;
    enum apply_status status = APPLY_OK;
    for (uint32_t n = 0; n < APPLY_RUN && r->applied < until; n++) {
        struct frame f;
        if (delay != 0 && ring_header(&r->domain->ring, r->pos, r->applied + 1, &f) == RING_OK &&
            f.commit_ts + delay > now) {
            *due = f.commit_ts + delay;
            break;
        }
        uint64_t before = r->applied;
        status = replica_apply(r, &f);
        if (status == APPLY_WAIT && apply_make_room(r)) {
            n--;
            continue;
        }
        if (status != APPLY_OK) {
            break;
        }
        KILL_POINT("apply.entry");
        apply_lag_note(&lags, f.commit_ts, r->applied - before);
    }
    /* A batch that broke off in its middle is not published: the replica is lapped or broken then, and starts anew. */
    if (r->applied != r->published && (status == APPLY_OK || status == APPLY_WAIT)) {
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
