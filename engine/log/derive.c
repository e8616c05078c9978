/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/log/derive.h"

#include <stdlib.h>

#include "shm/bytes.h"
#include "shm/crc.h"
#include "shm/ring.h"

/* What a key is when an operation of the request has its turn. */
struct derive_state {
    bool there;
    const void *value;
    size_t value_size;
    uint64_t expiry;
    bool keep;
    const struct table_node *node; /* the value stands in the table; NULL: an earlier operation put it */
    struct table_lengths len;
};

/* Is a key with this expiry there? If it may expire before the request is committed, the board says first that this is being decided. */
static bool derive_is_there(const struct replica *r, uint64_t expiry, struct instant *when) {
    if (instant_expired(when, expiry)) {
        return false;
    }
    if (expiry != NEVER_EXPIRES && r->domain->seq.deciding == 0) {
        seq_decide(r->domain, when->now);
        when->now = clock_now(when->clock);
    }
    return !visible_expired(expiry, when->now);
}

static struct derive_state derive_in_table(const struct replica *r, const struct seq_request *q, size_t i,
                                           struct instant *when) {
    const struct tide_op *op = &q->ops[i];
    const struct table_node *n = table_newest(&r->writer, q->prepared[i].hash, op->key, op->key_len);
    struct derive_state s = { .node = n };
    if (n == NULL || !table_lengths_of(&r->writer.t, n, &s.len)) {
        return s;
    }
    s.expiry = table_node_expiry(n, &s.len);
    s.there = derive_is_there(r, s.expiry, when);
    s.value = table_node_key(n) + s.len.key;
    s.value_size = s.len.value;
    /* MO(node.fields): relaxed; the writer's own node. */
    s.keep = (atomic_load_explicit(&n->flags, memory_order_relaxed) & NODE_KEEP) != 0;
    return s;
}

static struct derive_state derive_state_of(const struct replica *r, const struct seq_request *q, size_t i,
                                           struct instant *when) {
    uint32_t before = q->more[i].before;
    if (before == 0) {
        return derive_in_table(r, q, i, when);
    }
    const struct seq_more *m = &q->more[before - 1];
    return (struct derive_state){ .there = !seq_removes(&q->ops[before - 1]),
                                  .value = derive_value(q, before - 1),
                                  .value_size = derive_value_size(q, before - 1),
                                  .expiry = m->expiry,
                                  .keep = m->keep };
}

int derive_check_cas(const struct replica *r, struct seq_request *q, struct instant *when) {
    for (size_t i = 0; i < q->count; i++) {
        const struct tide_op *op = &q->ops[i];
        if (op->kind != TIDE_OP_CAS) {
            continue;
        }
        struct derive_state s = derive_in_table(r, q, i, when);
        /* MO(node.index): relaxed; the writer's own word. */
        uint64_t found = s.there ? atomic_load_explicit(&s.node->index, memory_order_relaxed) : 0;
        if (found != op->expected) {
            q->found = found;
            q->failed = i;
            return TIDE_ERR_MISMATCH;
        }
    }
    return 0;
}

/* The instant at which a value expires that is put now with this ttl. */
static uint64_t derive_expiry(const struct tide *d, uint64_t ttl_ns, struct instant *when) {
    ttl_ns = ttl_ns != 0 ? ttl_ns : d->words.default_ttl_ns;
    if (ttl_ns == 0 || ttl_ns > DERIVE_TTL_MOST) {
        return NEVER_EXPIRES;
    }
    return clock_after(instant_now(when), ttl_ns);
}

/* Take the value for a touch. Another process may change the table's bytes at any time, so a copy is checked and used. */
static int derive_touch(const struct replica *r, struct seq_more *m, const struct derive_state *s) {
    m->value = s->value;
    m->value_size = s->value_size;
    m->keep |= s->keep;
    if (s->node == NULL) {
        return 0;
    }
    size_t bytes = s->len.key + s->len.value + s->len.extra;
    uint8_t *copy = malloc(bytes);
    if (copy == NULL) {
        return TIDE_ERR_NOMEM;
    }
    m->owned = copy;
    memcpy(copy, table_node_key(s->node), bytes);
    m->value = copy + s->len.key;
    /* MO(node.fields): relaxed; the writer's own node. */
    if (crc32c(0, copy, bytes) != atomic_load_explicit(&s->node->crc, memory_order_relaxed)) {
        table_note_damage(&r->writer.t, s->node, "a value");
        return TIDE_ERR_CORRUPT;
    }
    return 0;
}

/* Read a number as add takes it. */
static bool derive_parse(const char *text, size_t size, int64_t *out) {
    size_t sign = size != 0 && text[0] == '-';
    uint64_t most = (uint64_t)INT64_MAX + sign, n = 0;
    if (size == sign || size > SEQ_NUMBER_MOST) {
        return false;
    }
    for (size_t i = sign; i < size; i++) {
        uint32_t digit = (uint32_t)(uint8_t)text[i] - '0';
        if (digit > 9 || n > (most - digit) / 10) {
            return false;
        }
        n = n * 10 + digit;
    }
    *out = (int64_t)(sign != 0 ? 0 - n : n);
    return true;
}

static size_t derive_print(int64_t value, char to[SEQ_NUMBER_MOST]) {
    char reversed[SEQ_NUMBER_MOST];
    uint64_t n = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t digits = 0, at = 0;
    do {
        reversed[digits++] = (char)('0' + n % 10);
        n /= 10;
    } while (n != 0);
    if (value < 0) {
        to[at++] = '-';
    }
    while (digits != 0) {
        to[at++] = reversed[--digits];
    }
    return at;
}

static int derive_add(struct seq_more *m, const struct derive_state *s) {
    int64_t old = 0;
    if (s->there) {
        char text[SEQ_NUMBER_MOST + 1];
        size_t size = s->value_size < sizeof(text) ? s->value_size : sizeof(text);
        if (size != 0) {
            memcpy(text, s->value, size);
        }
        if (!derive_parse(text, size, &old)) {
            return TIDE_ERR_NUMBER;
        }
        m->keep |= s->keep;
    }
    if (__builtin_add_overflow(old, m->delta, &m->result)) {
        return TIDE_ERR_OVERFLOW;
    }
    m->value = m->number;
    m->value_size = derive_print(m->result, m->number);
    return 0;
}

static int derive_one(const struct tide *d, const struct replica *r, struct seq_request *q, size_t i,
                      struct instant *when) {
    const struct tide_op *op = &q->ops[i];
    struct seq_more *m = &q->more[i];
    m->expiry = NEVER_EXPIRES;
    m->keep = (m->flags & TIDE_KEEP) != 0; /* an earlier look may have found a key that is over by now */
    if (seq_removes(op)) {
        return 0;
    }
    if (op->kind != TIDE_OP_ADD && op->kind != TIDE_OP_TOUCH) {
        m->expiry = derive_expiry(d, m->ttl_ns, when);
        return 0;
    }
    struct derive_state s = derive_state_of(r, q, i, when);
    if (op->kind == TIDE_OP_TOUCH && !s.there) {
        return TIDE_ERR_NOT_FOUND;
    }
    int error = op->kind == TIDE_OP_TOUCH ? derive_touch(r, m, &s) : derive_add(m, &s);
    bool keeps = op->kind == TIDE_OP_ADD && s.there && m->ttl_ns == 0;
    m->expiry = keeps ? s.expiry : derive_expiry(d, m->ttl_ns, when);
    return error;
}

int derive_all(const struct tide *d, const struct replica *r, struct seq_request *q, struct instant *when) {
    q->ring_bytes = 0;
    for (size_t i = 0; i < q->count; i++) {
        int error = derive_one(d, r, q, i, when);
        if (error != 0) {
            q->failed = i;
            return error;
        }
        const struct tide_op *op = &q->ops[i];
        struct seq_more *m = &q->more[i];
        uint32_t *crc = &q->prepared[i].payload_crc;
        if (!m->looked) {
            m->own_crc = *crc;
            m->looked = true;
        }
        *crc = m->value == NULL ? m->own_crc : crc32c(crc32c(0, op->key, op->key_len), m->value, m->value_size);
        if (!seq_removes(op) && derive_expires(q, i)) {
            *crc = crc32c(*crc, &m->expiry, EXPIRY_BYTES);
        }
        if (q->source != NULL) {
            *crc = crc32c(*crc, &m->version, SOURCED_BYTES);
        }
        uint64_t value_bytes =
            seq_removes(op) ? (q->source != NULL ? SOURCED_BYTES : 0) : derive_value_size(q, i) + derive_extra(q, i);
        q->ring_bytes += ring_frame_bytes(op->key_len, value_bytes);
    }
    return q->ring_bytes <= ring_group_max(&d->ring) ? 0 : TIDE_ERR_TOO_BIG;
}

void derive_release(struct seq_request *q) {
    for (size_t i = 0; i < q->count; i++) {
        free(q->more[i].owned);
        q->more[i].owned = NULL;
    }
}
