/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/upstream_copy.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/lib/buf.h"

#define GROUP_OPS 60000u
#define GROUP_BYTES                                                                                                    \
    (2u << 20) /* the smallest quarter of a ring that --upstream is sensible with; halved where it is too big */
#define SLOTS_FIRST 1024u

/* A key that the domain has. */
struct held {
    uint64_t hash, version;
    size_t at; /* in `names` */
    uint32_t size;
    bool seen; /* in the snapshot, too */
    bool used;
};

struct wanted {
    struct tide_feed_op op;
    size_t key_at, value_at; /* in `bytes`, which moves as it grows */
};

struct upstream_copy {
    struct tide_feed *feed;
    uint64_t revision;
    bool same;     /* the domain holds this revision already */
    uint64_t held; /* the domain holds everything up to this revision; 0: that is not known */
    struct held *slots;
    uint64_t room, n; /* room is a power of two */
    struct buf names;
    struct wanted *list;
    struct tide_feed_op *ops;
    size_t listed;
    struct buf bytes;
    struct upstream_copy_counts counts;
};

static void *upstream_copy_must(void *p) {
    if (!p) {
        fputs("tide: out of memory\n", stderr);
        exit(1);
    }
    return p;
}

struct tide_feed_op upstream_op(const struct etcd_change *change) {
    struct tide_feed_op op = TIDE_FEED_OP_INIT;
    op.kind = change->deleted ? TIDE_OP_DELETE : TIDE_OP_PUT;
    op.key = change->key.data;
    op.key_len = change->key.size;
    op.value = change->deleted ? NULL : change->value.data;
    op.value_size = change->deleted ? 0 : change->value.size;
    op.version = change->mod_revision;
    return op;
}

struct upstream_copy *upstream_copy_new(void) {
    struct upstream_copy *c = upstream_copy_must(calloc(1, sizeof(*c)));
    return c;
}

static void upstream_copy_forget(struct upstream_copy *c) {
    free(c->slots);
    c->slots = NULL;
    c->room = c->n = 0;
    buf_free(&c->names);
    buf_free(&c->bytes);
    free(c->list);
    free(c->ops);
    c->list = NULL;
    c->ops = NULL;
    c->listed = 0;
}

void upstream_copy_free(struct upstream_copy *c) {
    if (c) {
        upstream_copy_forget(c);
        free(c);
    }
}

uint64_t upstream_copy_revision(const struct upstream_copy *c) {
    return c->revision;
}

/* ---- what the domain has ----------------------------------------------------------------------------------------- */

static uint64_t upstream_copy_hash(const void *bytes, size_t size) {
    const unsigned char *b = bytes;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) {
        h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    }
    return h ^ h >> 32;
}

static struct held *upstream_copy_place(struct held *slots, uint64_t room, const struct upstream_copy *c,
                                        uint64_t hash_of, const void *key, size_t size) {
    uint64_t at = hash_of & (room - 1);
    while (slots[at].used && (slots[at].hash != hash_of || slots[at].size != size ||
                              memcmp(c->names.data + slots[at].at, key, size) != 0)) {
        at = (at + 1) & (room - 1);
    }
    return &slots[at];
}

static void upstream_copy_grow(struct upstream_copy *c) {
    uint64_t room = c->room ? c->room * 2 : SLOTS_FIRST;
    struct held *slots = upstream_copy_must(calloc(room, sizeof(*slots)));
    for (uint64_t i = 0; i < c->room; i++) {
        const struct held *h = &c->slots[i];
        if (h->used) {
            *upstream_copy_place(slots, room, c, h->hash, c->names.data + h->at, h->size) = *h;
        }
    }
    free(c->slots);
    c->slots = slots;
    c->room = room;
}

static int upstream_copy_hold(void *ctx, const struct tide_entry *e) {
    struct upstream_copy *c = ctx;
    if (c->n * 2 >= c->room) {
        upstream_copy_grow(c);
    }
    uint64_t h = upstream_copy_hash(e->key, e->key_len);
    struct held *to = upstream_copy_place(c->slots, c->room, c, h, e->key, e->key_len);
    if (!to->used) {
        *to = (struct held){ h, e->version, c->names.size, (uint32_t)e->key_len, false, true };
        buf_add(&c->names, e->key, e->key_len);
        c->n++;
    }
    return 0;
}

int upstream_copy_begin(struct upstream_copy *c, struct tide_feed *feed, uint64_t revision) {
    uint64_t held_revision = 0;
    uint32_t whole = 0;
    upstream_copy_forget(c);
    c->feed = feed;
    c->revision = revision;
    c->counts = (struct upstream_copy_counts){ 0 };
    int rc = tide_feed_revision(feed, &held_revision, &whole);
    c->same = rc == 0 && whole && held_revision == revision && revision != 0;
    c->held = rc == 0 && whole ? held_revision : 0;
    c->list = upstream_copy_must(calloc(GROUP_OPS, sizeof(*c->list)));
    c->ops = upstream_copy_must(calloc(GROUP_OPS, sizeof(*c->ops)));
    upstream_copy_grow(c);
    return rc != 0 || c->same ? rc : tide_feed_visit(feed, upstream_copy_hold, c);
}

/* ---- the difference ---------------------------------------------------------------------------------------------- */

/* A part of the list; in halves where the log does not take it whole. */
static int upstream_copy_append_part(struct upstream_copy *c, size_t from, size_t n, uint32_t flags) {
    int rc = tide_feed_append(c->feed, c->revision, c->ops + from, n, flags);
    if (rc != TIDE_ERR_TOO_BIG || n < 2) {
        return rc;
    }
    rc = upstream_copy_append_part(c, from, n / 2, TIDE_FEED_MORE);
    return rc ? rc : upstream_copy_append_part(c, from + n / 2, n - n / 2, flags);
}

static int upstream_copy_flush(struct upstream_copy *c, uint32_t flags) {
    for (size_t i = 0; i < c->listed; i++) {
        c->ops[i] = c->list[i].op;
        c->ops[i].key = c->bytes.data + c->list[i].key_at;
        c->ops[i].value = c->list[i].op.kind == TIDE_OP_PUT ? c->bytes.data + c->list[i].value_at : NULL;
    }
    int rc = upstream_copy_append_part(c, 0, c->listed, flags);
    c->listed = 0;
    c->bytes.size = 0;
    return rc;
}

static int upstream_copy_want(struct upstream_copy *c, const struct tide_feed_op *op) {
    int rc = 0;
    if (c->listed == GROUP_OPS || (c->listed > 0 && c->bytes.size + op->key_len + op->value_size > GROUP_BYTES)) {
        rc = upstream_copy_flush(c, TIDE_FEED_MORE);
    }
    struct wanted *w = &c->list[c->listed++];
    w->op = *op;
    w->key_at = c->bytes.size;
    buf_add(&c->bytes, op->key, op->key_len);
    w->value_at = c->bytes.size;
    buf_add(&c->bytes, op->value, op->value_size);
    return rc;
}

int upstream_copy_keys(struct upstream_copy *c, const struct etcd_change *keys, size_t n) {
    int rc = 0;
    c->counts.keys += n;
    for (size_t i = 0; i < n && rc == 0 && !c->same; i++) {
        const struct etcd_change *k = &keys[i];
        struct held *h = upstream_copy_place(c->slots, c->room, c, upstream_copy_hash(k->key.data, k->key.size),
                                             k->key.data, k->key.size);
        bool there = h->used;
        h->seen = there;
        if (k->mod_revision <= c->held && (!there || h->version != k->mod_revision)) {
            return UPSTREAM_COPY_ANOTHER;
        }
        if (!there || h->version != k->mod_revision) {
            struct tide_feed_op op = upstream_op(k);
            rc = upstream_copy_want(c, &op);
            c->counts.put++;
        }
    }
    return rc;
}

int upstream_copy_end(struct upstream_copy *c, struct upstream_copy_counts *counts) {
    int rc = 0;
    for (uint64_t i = 0; i < c->room && rc == 0 && !c->same; i++) {
        const struct held *h = &c->slots[i];
        if (h->used && !h->seen) {
            struct tide_feed_op op = TIDE_FEED_OP_INIT;
            op.kind = TIDE_OP_DELETE;
            op.key = c->names.data + h->at;
            op.key_len = h->size;
            rc = upstream_copy_want(c, &op);
            c->counts.removed++;
        }
    }
    rc = rc == 0 && !c->same ? upstream_copy_flush(c, 0) : rc;
    *counts = c->counts;
    upstream_copy_forget(c);
    return rc;
}
