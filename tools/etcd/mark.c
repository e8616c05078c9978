/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Is it still the history that we follow? A cluster that was restored from a backup has the same id where its members have the same names and
 * addresses, and as soon as enough is written its revisions are beyond ours again. But its raft log began anew: it takes as many writes as the
 * cluster ever had until its index is where it was.
 *
 * A mark is an index that a member had applied, and a revision that the cluster had at a later instant. In the same history, a member with
 * a higher revision than that has applied the index: whatever made the higher revision lies behind it in the log. A member of which that is
 * not true has another history. One that only lags has no higher revision.
 *
 * A log that began with nothing, and not from a backup, may look alike. So the cluster is also asked for a key, as it was at the revision where
 * we were: the one that we were told of last.
 */
#include <stdlib.h>

#include "tools/etcd/inside.h"

#define STATUS_MS 2000u
#define MARK_NS                                                                                                        \
    (2 *                                                                                                               \
     SECOND) /* while revisions come: so much of the history may be lost, and another one as long not be told from it */

bool mark_read_status(struct etcd_client *c, const struct etcd_reply *reply) {
    char why[300], digits[24];
    bool says = !endpoint_error(c, reply, why, sizeof(why)) &&
                wire_string(&c->wire, "raftAppliedIndex", digits, sizeof(digits)) == 0;
    c->marking.index = says ? strtoull(digits, NULL, 10) : 0;
    return c->marking.index != 0;
}

bool mark_take_status(struct etcd_client *c, unsigned at) {
    if (!client_is_ours(c, at)) {
        return false;
    }
    if (c->marking.index >= c->mark.index || c->wire.header.revision <= c->mark.revision) {
        return true;
    }
    client_gone_back(c, "its log is another one", &c->wire.header);
    return false;
}

void mark_take_revision(struct etcd_client *c, uint64_t revision) {
    if (c->marking.index > c->mark.index) {
        c->mark = (struct etcd_mark){ c->marking.index, revision };
    }
}

static void mark_on_revision(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    char why[300];
    c->marking.call = NULL;
    if (endpoint_error(c, reply, why, sizeof(why))) {
        if (!reply->why) {
            (void)login_drop_refused(c);
        }
    } else if (client_check(c, c->marking.at, &c->wire.header, c->marking.known)) {
        mark_take_revision(c, c->wire.header.revision);
    }
}

static void mark_on_status(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    struct wire_range r = { .key = { c->prefix_key.data, c->prefix_key.size }, .limit = 1, .count_only = true };
    struct buf body = { 0 };
    c->marking.call = NULL;
    if (!mark_read_status(c, reply) || !mark_take_status(c, c->marking.at)) {
        return;
    }
    c->marking.known = client_known(c);
    wire_add_range(&body, &r);
    c->marking.call = client_call(c, c->marking.at, "/v3/kv/range", &body, STATUS_MS, mark_on_revision, c);
    buf_free(&body);
}

struct etcd_call *mark_ask(struct etcd_client *c, unsigned at, etcd_done_fn *done) {
    struct buf body = { 0 };
    buf_add_text(&body, "{}");
    struct etcd_call *call = client_call(c, at, "/v3/maintenance/status", &body, STATUS_MS, done, c);
    buf_free(&body);
    c->marking.asked_ns = client_now();
    return call;
}

uint64_t mark_step(struct etcd_client *c, uint64_t now_ns) {
    if (c->stream.phase != PHASE_WATCH || !c->stream.open || !login_done(c) || c->marking.call ||
        c->stream.seen <= c->mark.revision) {
        return UINT64_MAX;
    }
    uint64_t due = c->marking.asked_ns + MARK_NS;
    if (due > now_ns) {
        return due;
    }
    c->marking.at = c->unary_at;
    c->marking.call = mark_ask(c, c->marking.at, mark_on_status);
    return UINT64_MAX;
}

void mark_forget(struct etcd_client *c) {
    if (c->marking.call) {
        etcd_http_cancel(c->http, c->marking.call);
        c->marking.call = NULL;
    }
}

/* ---- a witness --------------------------------------------------------------------------------------------------- */

void mark_take_changes(struct etcd_client *c, const struct etcd_change *changes, size_t n) {
    struct marking *m = &c->marking;
    const struct etcd_change *newest = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct etcd_change *change = &changes[i];
        if (change->deleted) {
            bool same = change->key.size == m->key.size && memcmp(change->key.data, m->key.data, m->key.size) == 0;
            m->key.size = same ? 0 : m->key.size;
        } else if (!newest || change->mod_revision >= newest->mod_revision) {
            newest = change;
        }
    }
    if (newest && (m->key.size == 0 || newest->mod_revision > m->witness.mod_revision)) {
        m->key.size = 0;
        buf_add(&m->key, newest->key.data, newest->key.size);
        m->witness = (struct witness){ newest->mod_revision, etcd_hash(newest->value.data, newest->value.size) };
    }
}

bool mark_ask_witness(const struct etcd_client *c, uint64_t revision, struct buf *body) {
    struct buf whole = { 0 };
    /* One of a snapshot that was broken off may be newer. */
    if (c->marking.key.size == 0 || c->marking.witness.mod_revision > revision) {
        return false;
    }
    buf_add(&whole, c->opts.address.prefix, c->opts.address.prefix_len);
    buf_add(&whole, c->marking.key.data, c->marking.key.size);
    wire_add_range(body, &(struct wire_range){ .key = { whole.data, whole.size }, .revision = revision });
    buf_free(&whole);
    return true;
}

bool mark_take_witness(struct etcd_client *c) {
    const struct witness *w = &c->marking.witness;
    const struct wire_kv *kv = c->wire.kvs;
    if (c->wire.n == 1 && kv->mod_revision == w->mod_revision &&
        etcd_hash(kv->value.data, kv->value.size) == w->value_hash) {
        return true;
    }
    client_gone_back(c, "what we hold was never there", &c->wire.header);
    return false;
}
