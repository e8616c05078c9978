/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status: who leads, how far every replica is, and what this node's reads were served by. */
#include "tools/node.h"
#include "tools/node_bound.h"

static void append_field(struct buf *out, const char *name, uint64_t value) {
    buf_printf(out, ", \"%s\": %llu", name, (unsigned long long)value);
}

/* info: NULL for one that is not there. */
static void append_replica(struct buf *out, const char *id, size_t id_size, const struct tide_replica_info *info) {
    buf_add_text(out, out->size > 1 ? ", {\"id\": " : "{\"id\": ");
    buf_add(out, id, id_size);
    buf_printf(out, ", \"state\": \"%s\"", tide_state_name(info ? info->state : TIDE_STATE_FREE));
    append_field(out, "applied_index", info ? info->applied_index : 0);
    append_field(out, "lag", info ? info->lag : 0);
    buf_add_text(out, ", \"staleness_ms\": ");
    append_ms(out, info ? info->staleness_ns : 0);
    buf_add_char(out, '}');
}

/* By position in node_ids, which is the slot. */
static void append_own(struct node *n, struct buf *out) {
    for (uint32_t i = 0; i < n->n_ids; i++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        int known = tide_replica_info(n->domain, i, &info) == 0;
        append_replica(out, n->ids[i].data, n->ids[i].size, known ? &info : NULL);
    }
}

struct slots {
    struct tide_replica_info info[TIDE_REPLICAS];
    uint64_t left; /* bit k: slot k has a replica that is not in the answer yet */
};

static void append_slots_of(struct node *n, struct slots *s, const struct buf *id, struct buf *out) {
    int found = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        const struct buf *its = &n->slots[i].id;
        if (!(s->left >> i & 1) || (id && (its->size != id->size || memcmp(its->data, id->data, id->size) != 0)))
            continue;
        append_replica(out, its->data, its->size, &s->info[i]);
        s->left &= ~(1ull << i);
        found = 1;
    }
    if (!found && id)
        append_replica(out, id->data, id->size, NULL);
}

/* Every replica of the domain: those of node_ids in their order, there or not, then the others in order of slots. */
static void append_shared(struct node *n, struct buf *out) {
    struct slots s = { .left = 0 };
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        s.info[i].size = sizeof(s.info[i]);
        if (tide_replica_info(n->domain, i, &s.info[i]) == 0 && s.info[i].state != TIDE_STATE_STOPPED) {
            shared_note_slot(n, &s.info[i]);
            s.left |= 1ull << i;
        }
    }
    for (size_t i = 0; i < n->n_ids; i++)
        append_slots_of(n, &s, &n->ids[i], out);
    append_slots_of(n, &s, NULL, out);
}

static void append_reads(const struct node *n, struct buf *out) {
    buf_add_char(out, '{');
    for (int i = 0; i < TIDE_REASONS; i++)
        buf_printf(out, "%s\"%s\": %llu", i ? ", " : "", tide_reason_name((enum tide_reason)i),
                   (unsigned long long)n->reads[i]);
    buf_add_char(out, '}');
}

static void append_replicas(struct node *n, struct buf *out) {
    buf_add_char(out, '[');
    if (node_is_shared(n))
        append_shared(n, out);
    else
        append_own(n, out);
    buf_add_char(out, ']');
}

void node_status(struct node *n, const struct request *q) {
    struct protocol *p = &n->protocol;
    struct tide_info info = TIDE_INFO_INIT;
    struct buf *text = &n->value;
    size_t id_size;
    int rc = node_is_shared(n) ? shared_refresh(n) : 0;
    rc = rc != 0 ? rc : tide_info(n->domain, &info);
    if (rc != 0) {
        node_refuse(n, q, rc, 0);
        return;
    }
    text->size = 0;
    append_replicas(n, text);
    int is_led = info.leader >= 0 && (info.led || !node_is_shared(n));
    const char *leader = node_id_of(n, is_led ? (uint32_t)info.leader : UINT32_MAX, &id_size);
    reply_begin(p, q, "status_ok");
    reply_json(p, "leader", leader, id_size);
    reply_u64(p, "term", info.term);
    reply_u64(p, "commit_index", info.commit_index);
    reply_json(p, "replicas", text->data, text->size);
    text->size = 0;
    append_reads(n, text);
    reply_json(p, "reads", text->data, text->size);
    text->size = 0;
    buf_printf(text, "%.6g", n->bounded_reads ? (double)n->fallbacks / (double)n->bounded_reads : 0.0);
    reply_json(p, "fallback_ratio", text->data, text->size);
    reply_end(p);
}
