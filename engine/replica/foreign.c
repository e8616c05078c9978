/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/foreign.h"

#include <stdlib.h>

#include "engine/table/kill.h"
#include "engine/table/rcu.h"
#include "shm/bytes.h"
#include "shm/crc.h"
#include "shm/park.h"

#define FOREIGN_TRIES 64u /* tries at one node that changes during the copy */

static uint32_t foreign_reused(const struct table *t) {
    /* MO(arena.use): acquire; pairs with arena_reuse(): later loads are at least as new. */
    return atomic_load_explicit(&t->seg->reused, memory_order_acquire);
}

uint64_t foreign_epoch(const struct table *t) {
    /* MO(table.reorganised): acquire; pairs with table_reorganise(): later loads are at least as new. */
    uint64_t reorganised = atomic_load_explicit(&t->seg->reorganised, memory_order_acquire);
    return (uint64_t)foreign_reused(t) << 32 | (uint32_t)reorganised;
}

/* Was no slot cleared since `epoch`? If so, a key that was not found was not there. */
bool foreign_quiet(const struct table *t, uint64_t epoch) {
    atomic_thread_fence(memory_order_acquire); /* MO(table.reorganised): the slots were loaded before */
    uint64_t now = atomic_load_explicit(&t->seg->reorganised, memory_order_relaxed); /* MO(table.reorganised) */
    return epoch % 2 == 0 && (uint32_t)now == (uint32_t)epoch;
}

enum foreign_match { MATCH_YES, MATCH_NO, MATCH_CHANGED };

static enum foreign_match foreign_key_is(const struct foreign_node *n, const void *key, size_t key_len) {
    bool same = n->key_len == key_len;
    if (same) {
        uint8_t chunk[256];
        const uint8_t *theirs = table_node_key(n->at), *ours = key;
        for (size_t done = 0; same && done < key_len; done += sizeof(chunk)) {
            size_t part = key_len - done < sizeof(chunk) ? key_len - done : sizeof(chunk);
            bytes_copy_racy(chunk, theirs + done, part);
            same = memcmp(chunk, ours + done, part) == 0;
        }
    }
    return !foreign_whole(n) ? MATCH_CHANGED : same ? MATCH_YES : MATCH_NO;
}

/* Go from the newest version back to the version of index `at`, which was loaded after `epoch`. */
static enum foreign_status foreign_version(const struct view *v, struct foreign_node *n, uint64_t at, uint64_t epoch) {
    enum visible seen;
    while ((seen = visible_at(at, n->index, n->deleted)) == VISIBLE_LATER) {
        uint32_t prev = n->prev;
        if (!foreign_whole(n)) {
            return FOREIGN_LOST;
        }
        if (prev == 0) {
            return FOREIGN_LATER;
        }
        uint64_t newer = n->index;
        if (!foreign_load(v, prev, n) || n->index >= newer || foreign_reused(&v->table) != epoch >> 32) {
            return FOREIGN_LOST; /* the version was freed, its node belongs to another write, or its memory serves another use */
        }
    }
    return seen == VISIBLE ? FOREIGN_OK : FOREIGN_NONE;
}

/* When a node expires. The caller checks afterwards that the node is whole. */
static uint64_t foreign_expiry(const struct foreign_node *n) {
    uint64_t expiry = NEVER_EXPIRES;
    if (n->extra != 0) {
        bytes_copy_racy(&expiry, table_node_key(n->at) + n->key_len + n->value_len, EXPIRY_BYTES);
    }
    return expiry;
}

/* The version that reads tell: the source's, where the node has one. Checked as above. */
static uint64_t foreign_told_version(const struct foreign_node *n) {
    uint64_t version = n->index;
    if (n->extra > EXPIRY_BYTES) {
        bytes_copy_racy(&version, table_node_key(n->at) + n->key_len + n->value_len + EXPIRY_BYTES, SOURCED_BYTES);
    }
    return version;
}

static enum foreign_status foreign_take(const struct view *v, struct foreign_node *n, uint64_t at, struct instant *when,
                                        uint64_t epoch, void *buf, size_t buf_size, struct found *out) {
    enum foreign_status status = foreign_version(v, n, at, epoch);
    if (status == FOREIGN_NONE || status == FOREIGN_LATER) {
        return foreign_whole(n) ? status : FOREIGN_LOST;
    }
    if (status != FOREIGN_OK) {
        return status;
    }
    uint64_t expiry = foreign_expiry(n), version = foreign_told_version(n);
    if (n->extra != 0 && !foreign_whole(n)) {
        return FOREIGN_LOST;
    }
    if (instant_expired(when, expiry)) {
        return FOREIGN_EXPIRED;
    }
    bool fits = n->value_len <= buf_size;
    if (fits && n->value_len != 0) {
        bytes_copy_racy(buf, table_node_key(n->at) + n->key_len, n->value_len);
        KILL_POINT("read.copied");
    }
    if (!foreign_whole(n)) {
        return FOREIGN_LOST;
    }
    out->size = n->value_len;
    out->version = version;
    out->expiry = expiry;
    return fits ? FOREIGN_OK : FOREIGN_SMALL;
}

enum foreign_status foreign_overflow(const struct view *v, struct foreign_stand *s, uint64_t hi) {
    if (!foreign_stands(s)) {
        return FOREIGN_LOST;
    }
    uint64_t off = (hi >> 32) * sizeof(struct table_bucket);
    if (off < v->table.buckets_off || off > v->segment.size_bytes - sizeof(struct table_bucket)) {
        return FOREIGN_STUCK;
    }
    struct foreign_stand next = { .b = (const struct table_bucket *)(v->table.base + off) };
    if (__builtin_expect(off >= v->table.pages_off, 0)) {
        next.use = &v->table.uses[(off - v->table.pages_off) >> v->table.page_shift];
        next.uses = atomic_load_explicit(next.use,
                                         memory_order_acquire); /* MO(arena.use): before the link is looked at again */
        /* MO(table.tag): acquire. Had the page changed its use before `uses` was loaded, the link would lead elsewhere here. */
        if (atomic_load_explicit(&s->b->tags[1], memory_order_acquire) >> 32 != hi >> 32 || !foreign_stands(s)) {
            return FOREIGN_LOST;
        }
    }
    *s = next;
    return FOREIGN_OK;
}

uint64_t foreign_buckets(const struct view *v) {
    uint64_t n = atomic_load_explicit(v->table.buckets, memory_order_acquire); /* MO(table.buckets) */
    return n >= 2 && foreign_bucket(v, n - 1) != NULL ? n : 0;
}

enum foreign_status foreign_find(const struct view *v, uint64_t epoch, uint64_t at, struct instant *when, uint64_t hash,
                                 const void *key, size_t key_len, void *buf, size_t buf_size, struct found *out) {
    const struct table *t = &v->table;
    uint64_t buckets = foreign_buckets(v), tag = table_tag(hash);
    if (buckets == 0) {
        return FOREIGN_STUCK;
    }
    struct foreign_stand s = { .b = foreign_bucket(v, table_bucket_of(hash, buckets)) };
    for (uint32_t links = 0; links < FOREIGN_CHAIN; links++) {
        const struct table_bucket *b = s.b;
        uint64_t lo = atomic_load_explicit(&b->tags[0], memory_order_acquire); /* MO(table.tag) */
        uint64_t hi = atomic_load_explicit(&b->tags[1], memory_order_acquire); /* MO(table.tag) */
        for (uint32_t m = table_match(lo, hi, tag); m != 0; m &= m - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(m);
            uint32_t slot = atomic_load_explicit(&b->slots[i], memory_order_acquire); /* MO(table.slot) */
            KILL_POINT("read.slot");
            struct foreign_node n;
            if (slot == 0 || !foreign_stands(&s) || !foreign_load(v, slot, &n)) {
                return FOREIGN_LOST;
            }
            enum foreign_match match = foreign_key_is(&n, key, key_len);
            if (match == MATCH_CHANGED || !foreign_in_slot(b, i, slot, &n)) {
                return FOREIGN_LOST;
            }
            KILL_POINT("read.found");
            if (match == MATCH_YES) {
                enum foreign_status status = foreign_take(v, &n, at, when, epoch, buf, buf_size, out);
                /* There is no older version now, but there may have been one of index `at`: it was deleted and cleared,
                 * and the key was put anew. */
                return status != FOREIGN_LATER ? status : foreign_quiet(t, epoch) ? FOREIGN_NONE : FOREIGN_LOST;
            }
        }
        if (hi >> 32 == 0) {
            bool same = atomic_load_explicit(&t->seg->buckets, memory_order_acquire) == buckets; /* MO(table.buckets) */
            return same && foreign_quiet(t, epoch) ? FOREIGN_NONE : FOREIGN_LOST;
        }
        enum foreign_status next = foreign_overflow(v, &s, hi);
        if (next != FOREIGN_OK) {
            return next;
        }
    }
    return FOREIGN_STUCK;
}

/* ---- visiting ----------------------------------------------------------------------------------------------------- */

static int foreign_room(struct foreign_scratch *s, size_t bytes) {
    if (bytes <= s->room) {
        return 0;
    }
    uint8_t *more = realloc(s->bytes, bytes * 2);
    if (more == NULL) {
        return TIDE_ERR_NOMEM;
    }
    s->bytes = more;
    s->room = bytes * 2;
    return 0;
}

/* Copy the node that a slot leads to, whole. 1: there is none (cleared, deleted). */
static int foreign_copy_slot(const struct view *v, const struct foreign_stand *stand, uint32_t i, uint64_t at,
                             struct foreign_scratch *s, struct foreign_node *n) {
    const struct table_bucket *b = stand->b;
    for (uint32_t tries = 0; tries < FOREIGN_TRIES; tries++) {
        uint64_t tags = atomic_load_explicit(&b->tags[i / 8], memory_order_acquire); /* MO(table.tag) */
        uint32_t slot = atomic_load_explicit(&b->slots[i], memory_order_acquire);    /* MO(table.slot) */
        if (!foreign_stands(stand)) {
            return TIDE_ERR_LOST;
        }
        if ((tags >> (i % 8 * 8) & 0xff) == 0 || slot == 0) {
            return 1;
        }
        KILL_POINT("read.slot");
        if (!foreign_load(v, slot, n) || !foreign_in_slot(b, i, slot, n)) {
            park_relax();
            continue;
        }
        KILL_POINT("read.found");
        enum foreign_status status = foreign_version(v, n, at, s->epoch);
        if (status == FOREIGN_LOST) {
            continue;
        }
        size_t payload = (size_t)n->key_len + n->value_len + n->extra;
        if (s->total > FOREIGN_TIMES * v->segment.size_bytes) {
            return TIDE_ERR_CORRUPT;
        }
        int error = foreign_room(s, payload);
        if (error != 0) {
            return error;
        }
        bytes_copy_racy(s->bytes, table_node_key(n->at), payload);
        if (foreign_whole(n)) {
            bool none = status == FOREIGN_NONE || status == FOREIGN_LATER; /* LATER: the caller checks the epoch */
            s->total += none ? 0 : NODE_HEADER_BYTES + payload;
            return none ? 1 : 0;
        }
    }
    return TIDE_ERR_CORRUPT;
}

int foreign_visit_bucket(const struct view *v, uint64_t b, uint64_t at, struct foreign_scratch *scratch,
                         foreign_visit_fn *fn, void *ctx) {
    struct foreign_stand stand = { .b = foreign_bucket(v, b) };
    for (uint32_t links = 0; stand.b != NULL && links < FOREIGN_CHAIN; links++) {
        uint64_t hi = atomic_load_explicit(&stand.b->tags[1], memory_order_acquire); /* MO(table.tag) */
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            struct foreign_node n;
            int got = foreign_copy_slot(v, &stand, i, at, scratch, &n);
            if (got == 1) {
                continue;
            }
            if (got != 0) {
                return got;
            }
            struct visited node = {
                .key = scratch->bytes,
                .value = scratch->bytes + n.key_len,
                .key_len = n.key_len,
                .value_len = n.value_len,
                .payload_bytes = (size_t)n.key_len + n.value_len + n.extra,
                .index = n.index,
                .version = n.index,
                .expiry = NEVER_EXPIRES,
                .payload_crc = n.crc,
                .flags = n.flags,
            };
            if (n.extra != 0) {
                memcpy(&node.expiry, node.value + n.value_len, EXPIRY_BYTES);
            }
            if (n.extra > EXPIRY_BYTES) {
                memcpy(&node.version, node.value + n.value_len + EXPIRY_BYTES, SOURCED_BYTES);
            }
            got = fn(ctx, &node);
            if (got != 0) {
                return got;
            }
        }
        if (hi >> 32 == 0) {
            return foreign_stands(&stand) ? 0 : TIDE_ERR_LOST;
        }
        enum foreign_status next = foreign_overflow(v, &stand, hi);
        if (next != FOREIGN_OK) {
            return next == FOREIGN_LOST ? TIDE_ERR_LOST : TIDE_ERR_CORRUPT;
        }
    }
    return TIDE_ERR_CORRUPT;
}

/* ---- mappings ------------------------------------------------------------------------------------------------------ */

/* The words of a table segment that never change, in the order in which struct table_segment begins. */
struct foreign_words {
    struct segment_header header;
    uint64_t buckets_off;
    uint64_t nodes_end;
    uint64_t lag_all_off;
    uint64_t lag_windows_off;
    uint64_t hash_seed;
    uint64_t pages_off;
    uint64_t uses_off;
    uint64_t page_bytes;
};
_Static_assert(offsetof(struct foreign_words, page_bytes) == offsetof(struct table_segment, page_bytes),
               "the start of struct table_segment, word for word");

/* Do `bytes` at `off` lie between the header's words and the buckets? */
static bool foreign_fits(const struct foreign_words *w, uint64_t off, uint64_t bytes) {
    return off >= sizeof(struct table_segment) && off % LAYOUT_LINE == 0 && off < w->buckets_off &&
           bytes <= w->buckets_off - off;
}

/* Is the page size possible, do the pages lie between the buckets and the end, and is there a word for each? */
static bool foreign_pages_sane(const struct foreign_words *w, uint64_t size) {
    uint64_t page = w->page_bytes;
    return page >= ARENA_PAGE_MIN && page <= ARENA_PAGE_MAX && (page & (page - 1)) == 0 &&
           w->pages_off > w->buckets_off && w->pages_off < size && (size - w->pages_off) % page == 0 &&
           w->pages_off % LAYOUT_LINE == 0 &&
           foreign_fits(w, w->uses_off, (size - w->pages_off) / page * sizeof(uint32_t));
}

/* Are these words possible? They are a copy, and only the copy is used afterwards: another process may change the
 * segment's own words. */
static bool foreign_words_sane(const struct view *v, const struct foreign_words *w) {
    uint64_t size = v->segment.size_bytes;
    const uint8_t *base = v->segment.base;
    return size > sizeof(struct table_segment) && segment_check_header(&w->header, size, SEGMENT_TABLE) == 0 &&
           w->buckets_off >= sizeof(struct table_segment) && w->buckets_off % LAYOUT_LINE == 0 &&
           w->buckets_off < size && size - w->buckets_off > 2 * sizeof(struct table_bucket) && w->nodes_end == size &&
           foreign_pages_sane(w, size) && foreign_fits(w, w->lag_all_off, lag_all_size_bytes()) &&
           foreign_fits(w, w->lag_windows_off, lag_windows_size_bytes()) &&
           lag_check((const struct hdr *)(base + w->lag_all_off), w->buckets_off - w->lag_all_off,
                     (const struct lag_windows *)(base + w->lag_windows_off), w->buckets_off - w->lag_windows_off) == 0;
}

static int foreign_map(struct tide *d, uint32_t id, struct view **out) {
    struct view *v = aligned_alloc(LAYOUT_PAIR, (sizeof(*v) + LAYOUT_PAIR - 1) / LAYOUT_PAIR * LAYOUT_PAIR);
    if (v == NULL) {
        return TIDE_ERR_NOMEM;
    }
    memset(v, 0, sizeof(*v));
    v->id = id;
    v->foreign = true;
    v->board = &d->log->replicas[id];
    int error = segment_attach(&v->segment, d->dir, d->name, SEGMENT_TABLE, id, false);
    if (error != 0) {
        free(v);
        return error;
    }
    KILL_POINT("read.mapped");
    if (d->dumped) {
        segment_let_dump(v->segment.base, v->segment.size_bytes);
    }
    struct table_segment *seg = (struct table_segment *)v->segment.base;
    struct foreign_words w;
    bytes_copy_racy(&w, seg, sizeof(w));
    v->segment_id = w.header.segment_id;
    if (w.header.incarnation != d->words.header.incarnation || !view_is_current(v) || !foreign_words_sane(v, &w)) {
        segment_detach(&v->segment);
        free(v);
        return TIDE_ERR_CORRUPT;
    }
    v->table = (struct table){ .base = v->segment.base,
                               .seg = seg,
                               .buckets = &seg->buckets,
                               .buckets_off = w.buckets_off,
                               .seed = w.hash_seed,
                               .pages_off = w.pages_off,
                               .uses = (const _Atomic uint32_t *)(v->segment.base + w.uses_off),
                               .page_shift = 63u - (uint32_t)__builtin_clzll(w.page_bytes),
                               .room = v->segment.size_bytes - w.buckets_off - NODE_HEADER_BYTES };
    v->lag_all = (struct hdr *)(v->segment.base + w.lag_all_off);
    v->lag_windows = (struct lag_windows *)(v->segment.base + w.lag_windows_off);
    v->buckets_most = view_buckets_most(v);
    *out = v;
    return 0;
}

static void foreign_unmap(struct view *v) {
    segment_detach(&v->segment);
    free(v);
}

int foreign_attach(struct tide *d, uint32_t id) {
    if (rcu_inside()) {
        /* Another reader of this thread has a section open, and releasing an old mapping would wait for it. */
        return TIDE_ERR_NO_REPLICA;
    }
    uint32_t state = board_state(&d->log->replicas[id]);
    pthread_mutex_lock(&d->foreign_lock);
    struct view *old = atomic_load(&d->views[id]), *fresh = NULL;
    int error = 0;
    if (atomic_load(&d->closed) != 0) {
        old = NULL; /* the old mapping stays for readers that still use it */
        error = -(int)atomic_load(&d->closed);
    } else if (old != NULL && view_is_current(old)) {
        old = NULL; /* another thread was faster */
    } else if (atomic_load(&d->running[id]) != NULL || (state != REPLICA_SERVING && state != REPLICA_ORPHAN)) {
        error = TIDE_ERR_NO_REPLICA;
    } else {
        error = foreign_map(d, id, &fresh);
    }
    if (error == 0 && fresh != NULL) {
        view_show(d, fresh);
        atomic_store(&d->troubled, 0);
    } else if (error != 0 && old != NULL) {
        atomic_store(&d->views[id], NULL);
    }
    if (old != NULL) {
        rcu_wait();
        foreign_unmap(old);
    }
    pthread_mutex_unlock(&d->foreign_lock);
    return error;
}

void foreign_tell_trouble(struct tide *d, int error) {
    if (atomic_exchange(&d->troubled, error) != error) {
        tide_log_fault(d, error);
    }
}

void foreign_release(struct tide *d, uint32_t id) {
    pthread_mutex_lock(&d->foreign_lock);
    struct view *v = atomic_load(&d->views[id]);
    if (v != NULL && v->foreign) {
        view_hide(d, v);
        foreign_unmap(v);
    }
    pthread_mutex_unlock(&d->foreign_lock);
}

/* ---- proof ----------------------------------------------------------------------------------------------------------- */

struct foreign_sum {
    const struct table *t;
    uint64_t bucket, buckets, digest;
};

static int foreign_sum_node(void *ctx, const struct visited *n) {
    struct foreign_sum *sum = ctx;
    if (crc32c(0, n->key, n->payload_bytes) != n->payload_crc) {
        return TIDE_ERR_CORRUPT;
    }
    if (table_bucket_of(table_hash(sum->t, n->key, n->key_len), sum->buckets) == sum->bucket) {
        sum->digest += table_node_digest(n->index, n->payload_crc);
    }
    return 0;
}

static int foreign_verify_at(const struct view *v, uint64_t at, uint64_t digest) {
    struct foreign_scratch scratch = { .epoch = foreign_epoch(&v->table) };
    struct foreign_sum sum = { &v->table, 0, foreign_buckets(v), 0 };
    int error = sum.buckets == 0 ? TIDE_ERR_CORRUPT : 0;
    for (; error == 0 && sum.bucket < sum.buckets; sum.bucket++) {
        error = foreign_visit_bucket(v, sum.bucket, at, &scratch, foreign_sum_node, &sum);
    }
    free(scratch.bytes);
    return error != 0 ? error : sum.digest == digest ? 0 : TIDE_ERR_DIVERGED;
}

int foreign_verify(const struct view *v) {
    /* The table's writer may have died between publishing an index and storing its digest, or between storing the
     * digest and storing the digest's index (in this order: board_put_digest()). So the digest belongs to one of two
     * indexes. The table still has the versions that either index needs: the writer releases them after it has stored
     * both. */
    uint64_t index, digest, applied = board_applied(v->board);
    board_last_digest(v->board, &index, &digest);
    int error = index <= applied ? foreign_verify_at(v, index, digest) : TIDE_ERR_CORRUPT;
    return error == 0 || index == applied ? error : foreign_verify_at(v, applied, digest);
}
