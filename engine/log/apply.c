/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How entries of the log become part of a replica's table. */
#include "engine/log/apply.h"

#include <stdlib.h>

#include "engine/log/lane_notes.h"
#include "engine/table/compact.h"
#include "engine/table/evict.h"
#include "engine/table/kill.h"
#include "engine/table/table_slots.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/crc.h"
#include "shm/lag.h"
#include "shm/park.h"

/* Entries between two publications of `applied`: enough to spread a publication's cost, few enough that readers do
 * not wait for it. */
#define APPLY_RUN 64u

/* A table that evicts: entries between two looks at what was read. */
#define APPLY_COLLECT 16u

/* An entry on its way into the table. */
struct apply_part {
    struct frame f;
    uint64_t pos;
    uint64_t hash;    /* puts: of the key */
    uint64_t version; /* a source's */
    uint32_t crc;     /* puts: of key and value */
    uint32_t node;    /* puts: filled, not published */
    bool ahead;       /* puts: the node is not counted yet */
};
#define APPLY_BATCH_MAX 65536u

static enum apply_status apply_torn(const struct replica *r, uint64_t pos) {
    return ring_intact(&r->domain->ring, pos) ? APPLY_CORRUPT : APPLY_LAPPED;
}

/* The copy is what is checked, since the original may change afterwards. */
static inline bool apply_checks_out(const struct replica *r, const struct apply_part *p, uint32_t payload_crc) {
    return ring_frame_crc(&p->f, payload_crc) == p->f.crc && ring_intact(&r->domain->ring, p->pos);
}

static inline enum arena_status apply_node(struct replica *r, struct apply_part *p) {
    uint32_t word = node_word(p->f.value_len, ring_extra_bytes(p->f.flags));
    if (p->ahead) {
        return table_node_ahead(&r->writer, p->f.key_len, word, &p->node) ? ARENA_OK : ARENA_WAIT;
    }
    return table_node_new(&r->writer, p->f.key_len, word, &p->node);
}

/* Drop nodes that were made and will not be taken. */
static void apply_drop(struct replica *r, const struct apply_part *parts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (parts[i].f.type == FRAME_PUT && parts[i].ahead) {
            table_node_drop_ahead(&r->writer, parts[i].node);
        } else if (parts[i].f.type == FRAME_PUT) {
            table_node_drop(&r->writer, parts[i].node);
        }
    }
}

/* First step: do everything for entry `index` at `pos` that needs memory. The table does not change. ahead: entries
 * before this one are not taken yet, and are no part of the same batch. */
static inline enum apply_status apply_make(struct replica *r, struct apply_part *p, uint64_t pos, uint64_t index,
                                           bool ahead) {
    p->pos = pos;
    p->ahead = ahead;
    switch (ring_header(&r->domain->ring, pos, index, &p->f)) {
    case RING_LAPPED:
        return APPLY_LAPPED;
    case RING_CORRUPT:
        return APPLY_CORRUPT;
    case RING_OK:
        break;
    }
    p->version = 0;
    if (p->f.type != FRAME_PUT) {
        return APPLY_OK;
    }
    enum arena_status status = apply_node(r, p);
    if (status != ARENA_OK) {
        return status == ARENA_WAIT ? APPLY_WAIT : APPLY_FULL;
    }
    size_t payload = ring_payload_bytes(&p->f);
    uint8_t *key = table_node_key(table_node_at(&r->writer.t, p->node));
    bytes_copy_racy(key, ring_payload(&r->domain->ring, pos), payload);
    p->crc = crc32c_short(0, key, payload);
    if (!apply_checks_out(r, p, p->crc)) {
        apply_drop(r, p, 1);
        return apply_torn(r, pos);
    }
    if (__builtin_expect((p->f.flags & FRAME_KEEP) != 0, 0)) {
        table_node_keep(table_node_at(&r->writer.t, p->node));
    }
    if (__builtin_expect((p->f.flags & FRAME_SOURCED) != 0, 0)) {
        memcpy(&p->version, key + payload - SOURCED_BYTES, SOURCED_BYTES);
    }
    p->hash = table_hash(&r->writer.t, key, p->f.key_len);
    __builtin_prefetch(table_bucket_at(&r->writer.t, table_bucket_now(&r->writer, p->hash)));
    return APPLY_OK;
}

/* Copy out the payload of an entry that is no put, and check it. *version: the source's, if it has one. */
static enum apply_status apply_payload(struct replica *r, const struct apply_part *p, uint64_t *version) {
    size_t bytes = ring_payload_bytes(&p->f); /* no value: fits */
    bytes_copy_racy(r->scratch, ring_payload(&r->domain->ring, p->pos), bytes);
    if (!apply_checks_out(r, p, crc32c(0, r->scratch, bytes))) {
        return apply_torn(r, p->pos);
    }
    if ((p->f.flags & FRAME_SOURCED) != 0) {
        memcpy(version, r->scratch + p->f.key_len, SOURCED_BYTES);
    }
    return APPLY_OK;
}

static enum apply_status apply_delete(struct replica *r, const struct apply_part *p, uint64_t *version) {
    enum apply_status status = apply_payload(r, p, version);
    if (status != APPLY_OK) {
        return status;
    }
    uint64_t hash = table_hash(&r->writer.t, r->scratch, p->f.key_len);
    if (r->writer.evict != NULL && p->f.type == FRAME_EVICT) {
        evict_follow(&r->writer, hash, (p->f.flags & FRAME_SMALL) != 0);
        if (p->f.index % APPLY_COLLECT == 0) {
            evict_collect(&r->writer, r->domain->log);
        }
    }
    table_delete(&r->writer, hash, r->scratch, p->f.key_len, p->f.index);
    return APPLY_OK;
}

/* Entries that are made before the first of them is taken, so that the table's cache misses overlap: each entry has
 * to find its bucket, and there the node that it replaces. Their nodes count as alive when they are taken, and are had
 * only where nothing has to be waited for. */
#define APPLY_AHEAD 16u
#define APPLY_AHEAD_BYTES 4096u

/*
 * Between the steps: ask for the version that the entry replaces. Its bucket was asked for when the entry was made, and has come by the
 * time that APPLY_BEHIND more are made. Memory answers only so many questions at a time, so there is work between them.
 */
#define APPLY_BEHIND 6u
static inline void apply_ask(const struct replica *r, const struct apply_part *p) {
    if (p->f.type == FRAME_PUT) {
        table_prefetch(&r->writer, p->hash);
    }
}

/* Second step: make it part of the table. */
static inline enum apply_status apply_take(struct replica *r, const struct apply_part *p) {
    enum apply_status status;
    uint64_t version = p->version;
    if (p->f.type == FRAME_PUT) {
        if (p->ahead) {
            table_node_count(&r->writer, p->node);
        }
        status = table_publish(&r->writer, p->node, p->hash, p->f.index, p->crc) == 0 ? APPLY_OK : APPLY_FULL;
    } else if (ring_removes(&p->f)) {
        status = apply_delete(r, p, &version);
    } else {
        status = apply_payload(r, p, &version);
    }
    if (status == APPLY_OK) {
        r->applied = p->f.index;
        r->pos = p->pos + p->f.length;
        r->last_ts = p->f.commit_ts;
        if (p->f.lane != 0) {
            lane_note(r, p->f.lane, p->f.lane_seq, p->f.index);
        }
        if (__builtin_expect((p->f.flags & FRAME_SOURCED) != 0, 0)) {
            source_note(r, p->f.flags, version, p->f.lane_seq);
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
 * A batch takes the same two steps as in the sequencer: all nodes first. A node that a batch replaces cannot be reused
 * before the whole batch is published. If nodes were made one by one, memory could run out in the middle, where waiting
 * for it is impossible.
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
            status = apply_make(r, &r->parts[count], pos, r->applied + count + 1, false);
        }
        if (status == APPLY_OK) {
            more = (r->parts[count].f.flags & FRAME_MORE) != 0;
            pos += r->parts[count++].f.length;
        }
    }
    if (status != APPLY_OK) {
        apply_drop(r, r->parts, count);
        return status;
    }
    for (size_t i = 0; i < count && i < APPLY_AHEAD; i++) {
        apply_ask(r, &r->parts[i]);
    }
    for (size_t i = 0; i < count && status == APPLY_OK; i++) {
        if (i + APPLY_AHEAD < count) {
            apply_ask(r, &r->parts[i + APPLY_AHEAD]);
        }
        status = apply_take(r, &r->parts[i]);
    }
    *last = r->parts[count - 1].f;
    return status;
}

struct apply_ahead {
    struct apply_part parts[APPLY_AHEAD];
    uint64_t until; /* entries up to here are committed */
    uint32_t count;
    bool batch; /* parts[0], the only one, begins a batch */
};

/* What is committed was stamped before now: a stamp from far ahead means that the clock's words were damaged, and is not waited for. */
#define APPLY_CLOCK_WRONG_NS UINT64_C(1000000000)

static bool apply_is_early(uint64_t commit_ts, uint64_t delay, uint64_t now) {
    return commit_ts + delay > now && (commit_ts <= now || commit_ts - now < APPLY_CLOCK_WRONG_NS);
}

/* Make the entries that come next and are due. A batch, and an entry that is not due, end this early with OK;
 * anything else that ends it is the status. The entries made so far are good in every case. */
static enum apply_status apply_look_ahead(struct replica *r, struct apply_ahead *a, uint64_t most, uint64_t delay,
                                          uint64_t now, uint64_t *due) {
    uint64_t pos = r->pos, bytes = 0;
    a->count = 0;
    a->batch = false;
    __builtin_prefetch(ring_at(&r->domain->ring, pos + LAYOUT_LINE)); /* with the first header, not after it */
    while (a->count < APPLY_AHEAD && a->count < most && bytes < APPLY_AHEAD_BYTES) {
        struct apply_part *p = &a->parts[a->count];
        uint64_t index = r->applied + a->count + 1;
        if (delay != 0 && ring_header(&r->domain->ring, pos, index, &p->f) == RING_OK &&
            apply_is_early(p->f.commit_ts, delay, now)) {
            *due = a->count == 0 ? p->f.commit_ts + delay : 0;
            return APPLY_OK;
        }
        /* The leader's frames are in its own caches, or in none. If each entry waited for its own lines, too few
         * would be under way. */
        ring_prefetch(&r->domain->ring, pos, a->until - index);
        enum apply_status status = apply_make(r, p, pos, index, a->count > 0);
        if (status != APPLY_OK) {
            return status == APPLY_WAIT && a->count > 0 ? APPLY_OK
                                                        : status; /* perhaps once the entries before it are taken */
        }
        if ((p->f.flags & FRAME_MORE) != 0 && a->count > 0) {
            apply_drop(r, p, 1); /* the batch is made as a whole, next time */
            return APPLY_OK;
        }
        pos += p->f.length;
        bytes += p->f.length;
        if (a->count >= APPLY_BEHIND) {
            apply_ask(r, &a->parts[a->count - APPLY_BEHIND]);
        }
        a->count++;
        if ((p->f.flags & FRAME_MORE) != 0) {
            a->batch = true;
            return APPLY_OK;
        }
    }
    return APPLY_OK;
}

/* Entries that were committed within this time count with the lag of the first, and so do those of a run whose lags differ by less than
 * the histogram tells apart. A lag is overstated by no more than the larger of the two. */
#define APPLY_LAG_STEP_NS 500u
#define APPLY_LAG_STEP_SHIFT 8 /* of a lag: LAG_DIGITS is 2 */

/* The commit timestamps of a run. They are few, since the entries of a group share one. */
struct apply_lags {
    uint64_t ts[APPLY_RUN];
    uint32_t entries[APPLY_RUN];
    uint32_t count;
};

static void apply_lag_note(struct apply_lags *lags, uint64_t ts, uint64_t entries) {
    if (lags->count == 0 || ts - lags->ts[lags->count - 1] > APPLY_LAG_STEP_NS) {
        lags->count++; /* at most one for each step of a run */
        lags->ts[lags->count - 1] = ts;
        lags->entries[lags->count - 1] = 0;
    }
    lags->entries[lags->count - 1] += (uint32_t)entries;
}

static void apply_lag_record(struct replica *r, const struct apply_lags *lags) {
    uint64_t now = clock_now(&r->domain->log->clock);
    for (uint32_t i = 0; i < lags->count;) {
        uint64_t ts = lags->ts[i], lag = now > ts ? now - ts : 0, entries = 0;
        for (; i < lags->count && lags->ts[i] - ts <= lag >> APPLY_LAG_STEP_SHIFT; i++) {
            entries += lags->entries[i];
        }
        lag_record(r->view.lag_all, r->view.lag_windows, now, (int64_t)lag, entries);
    }
}

/* The instant up to which a state that lacks the entry at r->pos is complete: just before that entry's stamp. */
static uint64_t apply_complete_ts(const struct replica *r, uint64_t commit) {
    struct frame next;
    if (r->applied < commit && ring_header(&r->domain->ring, r->pos, r->applied + 1, &next) == RING_OK &&
        ring_intact(&r->domain->ring, r->pos) && next.commit_ts > r->last_ts) {
        return next.commit_ts - 1;
    }
    return r->last_ts;
}

/* Memory waits for a grace period, and the grace period for a publication: publish, then drain. */
static bool apply_make_room(struct replica *r) {
    if (r->applied != r->published) {
        replica_publish(r, r->last_ts);
    }
    return table_drain(&r->writer);
}

static enum apply_status apply_take_all(struct replica *r, const struct apply_ahead *a, struct apply_lags *lags) {
    uint32_t asked = a->count > APPLY_BEHIND ? a->count - APPLY_BEHIND : 0;
    for (uint32_t i = 0; i < a->count; i++) {
        if (asked < a->count) { /* one at a time: the buckets of the last are on their way yet */
            apply_ask(r, &a->parts[asked++]);
        }
        enum apply_status status = apply_take(r, &a->parts[i]);
        if (status != APPLY_OK) {
            apply_drop(r, &a->parts[i + 1], a->count - i - 1);
            return status;
        }
        KILL_POINT("apply.entry");
        apply_lag_note(lags, a->parts[i].f.commit_ts, 1);
    }
    return APPLY_OK;
}

/* One run of some steps, each an entry or a whole batch. */
static enum apply_status apply_run(struct replica *r, uint64_t until, uint64_t delay, uint64_t *due) {
    struct apply_lags lags;
    lags.count = 0;
    uint64_t now = delay != 0 ? clock_now(&r->domain->log->clock) : 0;
    enum apply_status status = APPLY_OK;
    for (uint32_t n = 0; n < APPLY_RUN && r->applied < until && status == APPLY_OK && *due == 0;) {
        struct apply_ahead ahead;
        ahead.until = until;
        uint64_t most = until - r->applied < APPLY_RUN - n ? until - r->applied : APPLY_RUN - n;
        status = apply_look_ahead(r, &ahead, most, delay, now, due);
        enum apply_status taken;
        if (ahead.batch) {
            uint64_t before = r->applied;
            struct frame last;
            taken = apply_batch(r, &ahead.parts[0], &last);
            if (taken == APPLY_OK) {
                KILL_POINT("apply.entry");
                apply_lag_note(&lags, last.commit_ts, r->applied - before);
            }
        } else {
            taken = apply_take_all(r, &ahead, &lags);
        }
        status = taken != APPLY_OK ? taken : status;
        n += ahead.count;
        if (taken == APPLY_OK && ahead.count != 0) {
            compact_placed(&r->writer);
        }
        if (status == APPLY_WAIT && apply_make_room(r)) {
            status = APPLY_OK;
        }
    }
    /* A batch that broke off in the middle is not published: the replica is lapped or broken, and starts anew. */
    if (r->applied != r->published && (status == APPLY_OK || status == APPLY_WAIT)) {
        /* Do not load `commit` again: the leader is writing that line, and readers wait for `applied`. */
        replica_publish(r, apply_complete_ts(r, until));
        if (r->exact) {
            apply_lag_record(r, &lags); /* entries that a newcomer catches up with are no lag */
        }
    }
    return status == APPLY_WAIT ? APPLY_FULL : status;
}

enum apply_status apply_catch_up(struct replica *r, uint64_t until, uint64_t *due) {
    *due = 0;
    while (r->applied < until) {
        /* MO(replica.delay): relaxed; a setting, it orders nothing. */
        uint64_t delay = atomic_load_explicit(&r->delay_ns, memory_order_relaxed);
        enum apply_status status = apply_run(r, until, delay, due);
        if (status != APPLY_OK || *due != 0 || atomic_load(&r->stop)) {
            return status;
        }
    }
    return APPLY_OK;
}
