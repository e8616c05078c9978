/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/life/join_quick.h"

#include "engine/table/kill.h"
#include "engine/table/table_slots.h"
#include "shm/crc.h"

#define JOIN_AHEAD 6u       /* buckets, from one that is loaded to one that is asked for */
#define JOIN_NODES_AHEAD 2u /* the same, to one whose nodes are asked for */
#define JOIN_SLOTS ((UINT32_C(1) << TABLE_SLOTS) - 1)

/* The slots in use of a bucket, by its words of tags. */
static inline uint32_t join_in_use(uint64_t lo, uint64_t hi) {
    return ~table_match(lo, hi, 0) & JOIN_SLOTS;
}

/*
 * The nodes of a bucket that is copied soon. The donor's nodes lie anywhere, and memory answers only so many questions at a time: so one is asked
 * for with each that is copied. Nothing that is loaded here is believed; to ask for an impossible address does nothing.
 */
struct join_ahead {
    const struct table_bucket *b;
    uint32_t left; /* a bit for each slot whose node is still to be asked for */
};

static inline struct join_ahead join_look_ahead(const struct view *donor, uint64_t bucket, uint64_t buckets) {
    if (bucket + JOIN_AHEAD >= buckets || buckets > donor->buckets_most) {
        return (struct join_ahead){ .left = 0 };
    }
    const struct table *t = &donor->table;
    __builtin_prefetch(table_bucket_at(t, bucket + JOIN_AHEAD));
    const struct table_bucket *b = table_bucket_at(t, bucket + JOIN_NODES_AHEAD);
    uint64_t lo = atomic_load_explicit(&b->tags[0], memory_order_acquire); /* MO(table.tag) */
    uint64_t hi = atomic_load_explicit(&b->tags[1], memory_order_acquire); /* MO(table.tag) */
    if (__builtin_expect(hi >> 32 != 0, 0)) {
        __builtin_prefetch(t->base + (hi >> 32) * sizeof(*b));
    }
    return (struct join_ahead){ b, join_in_use(lo, hi) };
}

static inline void join_ask(const struct table *t, struct join_ahead *a, uint64_t bytes) {
    if (a->left == 0) {
        return;
    }
    uint32_t node =
        atomic_load_explicit(&a->b->slots[__builtin_ctz(a->left)], memory_order_acquire); /* MO(table.slot) */
    a->left &= a->left - 1;
    const uint8_t *at = (const uint8_t *)table_node_at(t, node);
    __builtin_prefetch(at);
    __builtin_prefetch(at + LAYOUT_LINE);
    /* Most nodes are about as long as the last one. Of longer ones the other lines follow from these. */
    __builtin_prefetch(at + (bytes < 3 * LAYOUT_LINE ? bytes - 1 : 2 * LAYOUT_LINE));
}

/* Copy what slot i leads to, if that is to be copied. False: as join_quick(). */
static inline bool join_quick_slot(struct join_copy *copy, const struct view *donor, const struct foreign_stand *stand,
                                   uint32_t i, uint64_t bucket, uint64_t buckets) {
    struct table_writer *w = &copy->r->writer;
    uint32_t slot = atomic_load_explicit(&stand->b->slots[i], memory_order_acquire); /* MO(table.slot) */
    KILL_POINT("join.slot");
    struct foreign_node from;
    if (__builtin_expect(!foreign_load(donor, slot, &from) || !foreign_in_slot(stand->b, i, slot, &from) ||
                             !foreign_stands(stand),
                         0)) {
        return false;
    }
    if (__builtin_expect(from.deleted != 0 || from.index > copy->r->applied, 0)) {
        return true; /* a newer one the log brings */
    }
    size_t payload = (size_t)from.key_len + from.value_len + from.extra;
    uint32_t class = arena_class(&w->arena, payload);
    uint32_t node = class != ARENA_LARGE ? arena_take_next(&w->arena, class) : 0;
    if (__builtin_expect(node == 0, 0)) {
        return false;
    }
    struct table_node *n = table_node_at(&w->t, node);
    uint8_t *key = table_node_key(n);
    table_node_begin(n, from.key_len, node_word(from.value_len, from.extra), 0, from.crc);
    bytes_copy_racy(key, table_node_key(from.at), payload);
    uint64_t hash = table_hash(&w->t, key, from.key_len);
    bool whole = foreign_whole(&from) && crc32c_short(0, key, payload) == from.crc;
    /* A node that a split moved, and that nobody has cleared yet, stands in its new bucket too. */
    bool moved = !donor->foreign && table_bucket_of(hash, buckets) != bucket;
    if (__builtin_expect(!whole || moved, 0)) {
        arena_free(&w->arena, node);
        return whole;
    }
    if (__builtin_expect((from.flags & NODE_KEEP) != 0, 0)) {
        table_node_keep(n);
    }
    w->arena.live += w->arena.class[class].cost;
    copy->bytes = NODE_HEADER_BYTES + payload;
    copy->scratch->total += copy->bytes;
    if (__builtin_expect(from.extra != 0, 0)) {
        uint64_t expiry;
        memcpy(&expiry, key + from.key_len + from.value_len, EXPIRY_BYTES);
        if (expiry != NEVER_EXPIRES) {
            table_note_expiry(w, hash, expiry);
        }
    }
    return __builtin_expect(table_publish_new(w, node, hash, from.index, from.key_len, from.value_len, from.crc), 1) ||
           table_publish(w, node, hash, from.index, from.crc) == 0;
}

bool join_quick(struct join_copy *copy, const struct view *donor, uint64_t bucket, uint64_t buckets) {
    const struct table_writer *w = &copy->r->writer;
    struct join_ahead ahead = join_look_ahead(donor, bucket, buckets);
    bytes_prefetch_own(table_bucket_at(&w->t, bucket + JOIN_NODES_AHEAD));
    struct foreign_stand stand = { .b = foreign_bucket(donor, bucket) };
    for (uint32_t links = 0; stand.b != NULL && links < FOREIGN_CHAIN; links++) {
        uint64_t lo = atomic_load_explicit(&stand.b->tags[0], memory_order_acquire); /* MO(table.tag) */
        uint64_t hi = atomic_load_explicit(&stand.b->tags[1], memory_order_acquire); /* MO(table.tag) */
        if (!table_is_roomy(w, TABLE_SLOTS) || copy->scratch->total > copy->most) {
            return false;
        }
        for (uint32_t slots = join_in_use(lo, hi); slots != 0; slots &= slots - 1) {
            join_ask(&donor->table, &ahead, copy->bytes);
            if (!join_quick_slot(copy, donor, &stand, (uint32_t)__builtin_ctz(slots), bucket, buckets)) {
                return false;
            }
        }
        if (__builtin_expect(hi >> 32 == 0, 1)) {
            while (ahead.left != 0) {
                join_ask(&donor->table, &ahead, copy->bytes);
            }
            return foreign_stands(&stand);
        }
        if (foreign_overflow(donor, &stand, hi) != FOREIGN_OK) {
            return false;
        }
    }
    return false;
}
