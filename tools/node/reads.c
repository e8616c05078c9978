/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* read, follower_read and ryw_read of one key; snapshot_read and status are in snapshot_read.c and status.c. */
#include "tools/node/node.h"
#include "tools/node/bound.h"

const char *node_id_of(const struct node *n, uint32_t replica, size_t *size) {
    const struct buf *id = NULL;
    if (node_is_shared(n) && replica < TIDE_REPLICAS && n->slots[replica].id.size > 0) {
        id = &n->slots[replica].id;
    } else if (!node_is_shared(n) && replica < n->n_ids) {
        id = &n->ids[replica];
    }
    *size = id ? id->size : 4;
    return id ? id->data : "null";
}

void reply_served_by(struct node *n, uint32_t replica) {
    size_t size;
    const char *id = node_id_of(n, replica, &size);
    json_out_raw(&n->protocol.out, "served_by", id, size);
}

void reply_reason(struct node *n, enum tide_reason reason) {
    json_out_text(&n->protocol.out, "reason", tide_reason_name(reason));
}

void count_read(struct node *n, enum tide_reason reason) {
    if ((unsigned)reason < TIDE_REASONS) {
        n->reads[reason]++;
    }
}

void count_bounded_read(struct node *n, enum tide_reason reason) {
    count_read(n, reason);
    n->bounded_reads++;
    n->fallbacks += reason >= TIDE_REASON_REDIRECTED;
}

void refuse_bounded_read(struct node *n, const struct request *q, int error, const struct tide_bound *bound,
                         const struct tide_answer *a) {
    if (error != TIDE_ERR_REFUSED && error != TIDE_ERR_TIMEOUT) {
        node_refuse(n, q, error, 0);
        return;
    }
    count_bounded_read(n, TIDE_REASON_REFUSED);
    protocol_error_begin(&n->protocol, q, CODE_UNAVAILABLE,
                         error == TIDE_ERR_TIMEOUT ? "no follower keeps the bound within wait_ms"
                                                   : "no follower keeps the bound");
    if (bound->fallback == TIDE_FALLBACK_ERROR) {
        reply_ms(&n->protocol, "actual_staleness_ms", a->staleness_ns);
    }
    reply_end(&n->protocol);
}

static int reads_get_json(struct node *n, int at_leader, const struct tide_bound *bound, struct tide_answer *a,
                          int *found) {
    int rc = node_get(n, at_leader, bound, a, found);
    n->found = rc == 0 && *found;
    return rc != 0 ? rc : node_value_json(n);
}

int read_leader(struct node *n, const struct request *q, struct tide_answer *a) {
    const struct tide_bound bound = TIDE_BOUND_INIT;
    int found;
    int rc = reads_get_json(n, 1, &bound, a, &found);
    if (rc != 0) {
        node_refuse(n, q, rc, 0);
        return -1;
    }
    return refuse_missing(n, q, found);
}

int refuse_missing(struct node *n, const struct request *q, int found) {
    if (found || !n->opts.missing_is_error) {
        return 0;
    }
    protocol_error(&n->protocol, q, CODE_NO_KEY, "there is no such key");
    return -1;
}

/* The value, and behind it what is left of its life, where the request asks for that and the key is there. */
static void reads_begin_value(struct node *n, const struct request *q, const char *type, const struct tide_answer *a) {
    struct json_out *out = &n->protocol.out;
    reply_begin(&n->protocol, q, type);
    json_out_raw(out, "value", n->value.data, n->value.size);
    if (n->wants_ttl && n->found) {
        json_out_name(out, "ttl_ms");
        reply_ttl(out, a->ttl_ns);
    }
}

/* key and ttl. 0, or -1 when error 12 has been answered. */
static int reads_key(struct node *n, const struct request *q) {
    return field_key(&n->protocol, q, &n->key) != 0 ? -1 : field_bool(&n->protocol, q, "ttl", 0, &n->wants_ttl);
}

void node_read(struct node *n, const struct request *q) {
    struct tide_answer a;
    if (reads_key(n, q) != 0 || read_leader(n, q, &a) != 0) {
        return;
    }
    count_read(n, (enum tide_reason)a.reason);
    reads_begin_value(n, q, "read_ok", &a);
    reply_served_by(n, a.served_by);
    json_out_bool(&n->protocol.out, "linearizable", 1);
    reply_end(&n->protocol);
}

int read_bound(struct node *n, const struct request *q, uint64_t default_wait_ns, struct tide_bound *b) {
    static const char *const FALLBACKS[] = { "leader", "wait", "error", "stale", NULL };
    static const enum tide_fallback CODES[] = { TIDE_FALLBACK_LEADER, TIDE_FALLBACK_WAIT, TIDE_FALLBACK_ERROR,
                                                TIDE_FALLBACK_STALE };
    struct protocol *p = &n->protocol;
    unsigned fallback;
    if (field_ms(p, q, "max_staleness_ms", MAX_STALENESS_MISSING_NS, PROTOCOL_STALENESS_MAX_NS, &b->max_staleness_ns) !=
            0 ||
        field_whole(p, q, "max_lag", TIDE_UNBOUNDED, &b->max_lag) != 0 ||
        field_word(p, q, "fallback", FALLBACKS, 0, &fallback) != 0) {
        return -1;
    }
    b->fallback = CODES[fallback];
    if (b->fallback == TIDE_FALLBACK_WAIT) {
        default_wait_ns = n->opts.ryw_wait_ns;
    }
    return field_ms(p, q, "wait_ms", default_wait_ns, PROTOCOL_WAIT_MAX_NS, &b->wait_ns);
}

static void reads_answer_zero_staleness(struct node *n, const struct request *q) {
    struct tide_answer a;
    if (read_leader(n, q, &a) != 0) {
        return;
    }
    count_read(n, TIDE_REASON_REDIRECTED);
    reads_begin_value(n, q, "follower_read_ok", &a);
    reply_served_by(n, a.served_by);
    json_out_bool(&n->protocol.out, "linearizable", 1);
    reply_reason(n, TIDE_REASON_REDIRECTED);
    reply_end(&n->protocol);
}

/* Read by a reader of its own. Where it may have to wait, the answers so far leave first. */
static int reads_get_bounded(struct node *n, int alone, const struct tide_bound *bound, struct tide_answer *a,
                             int *found) {
    if (bound->wait_ns > 0) {
        node_flush(n);
    }
    return reads_get_json(n, alone, bound, a, found);
}

void reply_freshness(struct node *n, const struct tide_answer *a, int linearizable) {
    reply_ms(&n->protocol, "actual_staleness_ms", a->staleness_ns);
    reply_served_by(n, a->served_by);
    json_out_bool(&n->protocol.out, "linearizable", linearizable);
    if (a->stale) {
        json_out_bool(&n->protocol.out, "stale", 1);
    }
    if (a->reason >= TIDE_REASON_WAITED) {
        reply_reason(n, (enum tide_reason)a->reason);
    }
}

void node_follower_read(struct node *n, const struct request *q) {
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    int found;
    if (reads_key(n, q) != 0 || read_bound(n, q, 0, &bound) != 0) {
        return;
    }
    if (bound.max_staleness_ns == 0) {
        reads_answer_zero_staleness(n, q);
        return;
    }
    int alone = node_is_alone(n);
    int rc = reads_get_bounded(n, alone, &bound, &a, &found);
    if (rc != 0) {
        refuse_bounded_read(n, q, rc, &bound, &a);
        return;
    }
    if (refuse_missing(n, q, found) != 0) {
        return;
    }
    count_bounded_read(n, (enum tide_reason)a.reason);
    reads_begin_value(n, q, "follower_read_ok", &a);
    reply_freshness(n, &a, alone);
    reply_end(&n->protocol);
}

int read_fence(struct node *n, const struct request *q, struct tide_bound *b, int *prefer_follower) {
    uint64_t index;
    if (field_whole(&n->protocol, q, "last_write_index", 0, &index) != 0 ||
        field_bool(&n->protocol, q, "prefer_follower", 1, prefer_follower) != 0) {
        return -1;
    }
    b->min = (struct tide_token){ index ? n->incarnation : 0, index };
    return 0;
}

void reply_fence_ahead(struct node *n, uint64_t fence, uint64_t commit_index) {
    if (fence <= commit_index || n->incarnation == TIDE_REVISION) {
        return;
    }
    json_out_u64(&n->protocol.out, "leader_commit_index", commit_index);
    json_out_bool(&n->protocol.out, "fence_ahead", 1);
}

/* From the leader: because the client wants it so, because there is no follower, or because the fence is ahead. */
static void reads_answer_ryw_leader(struct node *n, const struct request *q, uint64_t fence, int redirected) {
    struct tide_answer a;
    if (read_leader(n, q, &a) != 0) {
        return;
    }
    if (redirected) {
        count_bounded_read(n, TIDE_REASON_BEHIND_REDIRECTED);
    } else {
        count_read(n, (enum tide_reason)a.reason);
    }
    reads_begin_value(n, q, "ryw_read_ok", &a);
    reply_served_by(n, a.served_by);
    if (redirected) {
        reply_reason(n, TIDE_REASON_BEHIND_REDIRECTED);
    }
    reply_fence_ahead(n, fence, a.commit_index);
    reply_end(&n->protocol);
}

static void reads_answer_ryw(struct node *n, const struct request *q, const struct tide_answer *a) {
    enum tide_reason reason = a->from_leader ? TIDE_REASON_BEHIND_REDIRECTED : (enum tide_reason)a->reason;
    count_bounded_read(n, reason);
    reads_begin_value(n, q, "ryw_read_ok", a);
    reply_served_by(n, a->served_by);
    if (a->from_leader) {
        reply_reason(n, reason);
    } else {
        json_out_u64(&n->protocol.out, "follower_applied_index", a->index);
        reply_ms(&n->protocol, "waited_ms", a->waited_ns);
    }
    reply_end(&n->protocol);
}

void node_ryw_read(struct node *n, const struct request *q) {
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    int prefer_follower, found;
    if (reads_key(n, q) != 0 || read_fence(n, q, &bound, &prefer_follower) != 0) {
        return;
    }
    if (!prefer_follower || node_is_alone(n)) {
        reads_answer_ryw_leader(n, q, bound.min.index, 0);
        return;
    }
    bound.max_staleness_ns = TIDE_UNBOUNDED;
    bound.wait_ns = n->opts.ryw_wait_ns;
    int rc = reads_get_bounded(n, 0, &bound, &a, &found);
    if (rc == TIDE_ERR_FENCE_AHEAD) {
        reads_answer_ryw_leader(n, q, bound.min.index, 1);
    } else if (rc != 0) {
        refuse_bounded_read(n, q, rc, &bound, &a);
    } else if (refuse_missing(n, q, found) == 0) {
        reads_answer_ryw(n, q, &a);
    }
}
