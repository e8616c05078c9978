/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* status: who leads, how far every replica is, and what this node's reads were served by. */
#include <stdio.h>

#include "tools/node/bound.h"
#include "tools/node/node.h"

/* info: NULL for one that is not there. */
static void status_append_replica(struct protocol *p, const struct buf *id, const struct tide_replica_info *info) {
    struct json_out *out = &p->out;
    json_out_open(out, NULL, '{');
    json_out_raw(out, "id", id->data, id->size);
    json_out_text(out, "state", tide_state_name(info ? info->state : TIDE_STATE_FREE));
    json_out_u64(out, "applied_index", info ? info->applied_index : 0);
    json_out_u64(out, "lag", info ? info->lag : 0);
    reply_ms(p, "staleness_ms", info ? info->staleness_ns : 0);
    json_out_close(out, '}');
}

struct slots {
    struct tide_replica_info info[TIDE_REPLICAS];
    uint64_t left; /* bit k: slot k has a replica that is not in the answer yet */
};

/* In a shared domain look also at who owns the slots: the answer's first fields need it. */
static void status_look_at_slots(struct node *n, struct slots *s) {
    s->left = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        s->info[i] = (struct tide_replica_info)TIDE_REPLICA_INFO_INIT;
        if (tide_replica_info(n->domain, i, &s->info[i]) != 0) {
            continue;
        }
        if (node_is_shared(n) && s->info[i].state != TIDE_STATE_STOPPED) {
            shared_note_slot(n, &s->info[i]);
        }
        if (!node_is_shared(n) || s->info[i].state != TIDE_STATE_STOPPED) {
            s->left |= 1ull << i;
        }
    }
}

/* By position in node_ids, which is the slot. */
static void status_append_own(struct node *n, const struct slots *s) {
    for (uint32_t i = 0; i < n->n_ids; i++) {
        status_append_replica(&n->protocol, &n->ids[i], s->left >> i & 1 ? &s->info[i] : NULL);
    }
}

static void status_append_slots_of(struct node *n, struct slots *s, const struct buf *id) {
    int found = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        const struct buf *its = &n->slots[i].id;
        if (!(s->left >> i & 1) || (id && (its->size != id->size || memcmp(its->data, id->data, id->size) != 0))) {
            continue;
        }
        status_append_replica(&n->protocol, its, &s->info[i]);
        s->left &= ~(1ull << i);
        found = 1;
    }
    if (!found && id) {
        status_append_replica(&n->protocol, id, NULL);
    }
}

/* Every replica of the domain: those of node_ids in their order, there or not, then the others in order of slots. */
static void status_append_shared(struct node *n, struct slots *s) {
    for (size_t i = 0; i < n->n_ids; i++) {
        status_append_slots_of(n, s, &n->ids[i]);
    }
    status_append_slots_of(n, s, NULL);
}

static void status_append_reads(struct node *n) {
    struct json_out *out = &n->protocol.out;
    char ratio[32];
    json_out_open(out, "reads", '{');
    for (int i = 0; i < TIDE_REASONS; i++) {
        json_out_u64(out, tide_reason_name((enum tide_reason)i), n->reads[i]);
    }
    json_out_close(out, '}');
    int size = snprintf(ratio, sizeof(ratio), "%.6g",
                        n->bounded_reads ? (double)n->fallbacks / (double)n->bounded_reads : 0.0);
    json_out_raw(out, "fallback_ratio", ratio, (size_t)size);
}

void node_status(struct node *n, const struct request *q) {
    struct protocol *p = &n->protocol;
    struct tide_info info = TIDE_INFO_INIT;
    struct slots slots;
    size_t id_size;
    int rc = node_is_shared(n) ? shared_refresh(n) : 0;
    rc = rc != 0 ? rc : tide_info(n->domain, &info);
    if (rc != 0) {
        node_refuse(n, q, rc, 0);
        return;
    }
    status_look_at_slots(n, &slots);
    int is_led = info.leader >= 0 && (info.led || !node_is_shared(n));
    const char *leader = node_id_of(n, is_led ? (uint32_t)info.leader : UINT32_MAX, &id_size);
    reply_begin(p, q, "status_ok");
    json_out_raw(&p->out, "leader", leader, id_size);
    json_out_u64(&p->out, "term", info.term);
    json_out_u64(&p->out, "commit_index", info.commit_index);
    json_out_open(&p->out, "replicas", '[');
    if (node_is_shared(n)) {
        status_append_shared(n, &slots);
    } else {
        status_append_own(n, &slots);
    }
    json_out_close(&p->out, ']');
    status_append_reads(n);
    reply_end(p);
}
