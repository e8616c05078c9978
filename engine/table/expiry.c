/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/expiry.h"

#include "engine/table/table_slots.h"

/* Bounds on the work of one call: groups whose nodes are looked at, and words that are passed over. */
#define EXPIRY_GROUPS 8u
#define EXPIRY_WORDS 4096u

/* What was found in one group. */
struct expiry_look {
    struct expiry_due *due;
    uint32_t count, most;
    uint64_t now, least;
    bool whole; /* all of the group was looked at */
};

/* The node in a slot: its expiry, or 0 where it has none, is deleted, or stands in another bucket, too, and counts there. */
static uint64_t expiry_of_slot(const struct table_writer *w, const struct table_bucket *b, uint32_t i, uint64_t bucket,
                               struct expiry_due *at) {
    struct table_lengths len;
    uint32_t node = table_slot_node(&w->t, b, i);
    const struct table_node *n = table_node_at(&w->t, node);
    /* MO(node.fields), MO(node.deleted): relaxed; the writer's own nodes. */
    if (node == 0 || !node_has_expiry(atomic_load_explicit(&n->value_len, memory_order_relaxed)) ||
        atomic_load_explicit(&n->deleted, memory_order_relaxed) != 0 || !table_lengths_of(&w->t, n, &len)) {
        return 0;
    }
    *at = (struct expiry_due){ table_hash(&w->t, table_node_key(n), len.key), table_node_expiry(n, &len), node };
    return table_bucket_now(w, at->hash) == bucket && at->expiry != NEVER_EXPIRES ? at->expiry : 0;
}

static void expiry_look_at(struct table_writer *w, uint64_t bucket, struct expiry_look *l) {
    uint32_t links = 0;
    for (struct table_bucket *b = table_bucket_at(&w->t, bucket); b != NULL; b = table_overflow(&w->t, b, &links)) {
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            struct expiry_due at;
            uint64_t expiry = table_tag_at(b, i) != 0 ? expiry_of_slot(w, b, i, bucket, &at) : 0;
            if (expiry == 0 || expiry > l->now) {
                l->least = expiry_earlier(l->least, expiry);
            } else if (l->count == l->most) {
                l->whole = false;
                return;
            } else {
                l->due[l->count++] = at;
            }
        }
    }
}

static void expiry_look_at_group(struct table_writer *w, uint64_t group, struct expiry_look *l) {
    uint64_t first = group << EXPIRY_GROUP_SHIFT, end = first + (1u << EXPIRY_GROUP_SHIFT);
    end = end < w->buckets ? end : w->buckets;
    for (uint64_t b = first; b < end; b++) { /* each node is a cache miss */
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            __builtin_prefetch(table_node_at(&w->t, table_slot_at(table_bucket_at(&w->t, b), i)));
        }
    }
    l->least = 0;
    l->whole = true;
    for (uint64_t b = first; b < end && l->whole; b++) {
        expiry_look_at(w, b, l);
    }
}

/* The sweep leaves a block: what its groups have become. */
static void expiry_settle(struct expiry *e, uint64_t block) {
    if (e->stale) {
        uint64_t least = 0;
        for (uint64_t g = block << EXPIRY_BLOCK_SHIFT; g < (block + 1) << EXPIRY_BLOCK_SHIFT; g++) {
            least = expiry_earlier(least, e->groups[g]);
        }
        e->blocks[block] = least;
        e->stale = false;
    }
}

uint32_t expiry_sweep(struct table_writer *w, uint64_t now, struct expiry_due *due, uint32_t most, bool *more) {
    struct expiry *e = &w->expiry;
    const uint64_t each = UINT64_C(1) << EXPIRY_BLOCK_SHIFT;
    uint64_t groups = (w->buckets >> EXPIRY_GROUP_SHIFT) + 1;
    struct expiry_look look = { .due = due, .most = most, .now = now };
    *more = e->soonest - 1 < now;
    uint32_t looked = 0, words = 0;
    while (*more && looked < EXPIRY_GROUPS && words < EXPIRY_WORDS) {
        if (e->at == 0) {
            e->next = 0;
        }
        uint64_t block = e->at >> EXPIRY_BLOCK_SHIFT;
        words++;
        if (e->at % each == 0 && e->blocks[block] - 1 >= now) {
            e->next = expiry_earlier(e->next, e->blocks[block]);
            e->at += each;
        } else if (e->groups[e->at] - 1 >= now) {
            e->next = expiry_earlier(e->next, e->groups[e->at++]);
        } else {
            looked++;
            expiry_look_at_group(w, e->at, &look);
            if (!look.whole) {
                break; /* go on in this group, once what was found is removed */
            }
            e->groups[e->at++] = look.least;
            e->next = expiry_earlier(e->next, look.least);
            e->stale = true;
        }
        if (e->at % each == 0) {
            expiry_settle(e, block);
        }
        if (e->at >= groups) {
            expiry_settle(e, block);
            e->at = 0;
            e->soonest = e->next;
            *more = e->soonest - 1 < now;
        }
    }
    return look.count;
}

void expiry_put_back(struct table_writer *w, const struct expiry_due *due) {
    expiry_lower(&w->expiry, table_bucket_now(w, due->hash), due->expiry);
}
