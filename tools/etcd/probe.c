/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Up to which revision is everything? One linearizable read of a key tells where the cluster is, and serves everybody who waited when it was
 * sent. It is complete once the watch has told that revision, or one behind it.
 *
 * A probe that hangs (its member is stopped, say) keeps nobody waiting: after a moment another member is asked as well.
 */
#include <stdio.h>

#include "tools/etcd/inside.h"

#define CALL_MS 2000u
#define HANGS_NS (150 * MS)
#define AGAIN_NS (5 * MS)

void probe_forget(struct etcd_client *c) {
    struct probing *p = &c->probing;
    for (unsigned i = 0; i < PROBES; i++) {
        if (p->calls[i].call) {
            etcd_http_cancel(c->http, p->calls[i].call);
            p->calls[i].call = NULL;
        }
    }
    p->n = 0;
}

/* The sink's log must have this revision, since somebody waits until it has. */
static void probe_tell_expected(struct etcd_client *c) {
    struct stream *s = &c->stream;
    struct etcd_sink *sink = &c->opts.sink;
    if (c->expected_write > s->told && s->seen >= c->expected_write) {
        const char *why = sink->append(sink->ctx, s->seen, NULL, 0);
        if (why) {
            stream_refused(c, why);
        } else {
            s->told = s->seen;
        }
    }
}

void probe_told(struct etcd_client *c) {
    struct probing *p = &c->probing;
    uint32_t kept = 0;
    probe_tell_expected(c);
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->pending[i].revision <= c->stream.seen) {
            c->complete = true;
            c->opts.sink.complete(c->opts.sink.ctx, &p->pending[i].probe, p->pending[i].revision);
        } else {
            p->pending[kept++] = p->pending[i];
        }
    }
    p->n = kept;
}

void probe_expect(struct etcd_client *c, uint64_t revision) {
    if (c->stream.seen >= revision) {
        return;
    }
    /* Of the first that is not there yet, or each probe would put the end of patience off. */
    if (c->expected <= c->stream.seen) {
        c->expected_ns = client_now();
        c->expected = revision;
    }
}

/* What waits longest is kept: it is complete first. */
static void probe_add_pending(struct etcd_client *c, const struct probe_call *call, uint64_t revision) {
    struct probing *p = &c->probing;
    uint32_t at = p->n < PENDING ? p->n++ : PENDING - 1;
    p->pending[at] = (struct completion){ call->probe, revision };
}

static void probe_take_answer(struct etcd_client *c, const struct probe_call *call) {
    struct stream *s = &c->stream;
    uint64_t revision = c->wire.header.revision;
    bool whole = !s->prefix_alone;
    if (s->prefix_alone && s->open && c->wire.n == 0 && c->wire.count == call->count && s->seen == call->known.seen) {
        /* No key is newer than what the watch had told when this was asked, and none is missing: the prefix is as it was then. That says
         * nothing about a state that the watch has told meanwhile: a key of it may be deleted again by this revision. */
        s->seen = revision > s->seen ? revision : s->seen;
        whole = true;
    }
    probe_add_pending(c, call, revision);
    if (whole) {
        probe_expect(c, revision);
    } else if (s->seen < revision) {
        c->probing.asked = true;
        c->probing.not_before_ns = client_now() + AGAIN_NS;
    }
    probe_told(c);
}

static void probe_on_answer(void *ctx, const struct etcd_reply *reply) {
    struct probe_call *call = ctx;
    struct etcd_client *c = call->client;
    char why[300];
    call->call = NULL;
    const char *wrong = endpoint_error(c, reply, why, sizeof(why));
    if (!wrong) {
        if (client_check(c, call->at, &c->wire.header, call->known)) {
            c->probing.took_ns = client_now() - call->begun_ns;
            endpoint_works(c, call->at);
            probe_take_answer(c, call);
            return;
        }
    }
    c->probing.asked = true;
    c->probing.not_before_ns = client_now() + AGAIN_NS;
    if (!wrong || (!reply->why && login_drop_refused(c))) {
        return;
    }
    if (endpoint_failed(c, call->at, false, "probe: %s", wrong)) {
        client_say(c, ETCD_WARN, "%s: probe: %s", c->opts.address.endpoints[call->at], wrong);
    }
    endpoint_leave(c, call->at);
}

static void probe_begin(struct etcd_client *c, struct probe_call *call, uint64_t now_ns) {
    struct etcd_sink *sink = &c->opts.sink;
    struct wire_range r = { .key = { c->prefix_key.data, c->prefix_key.size }, .limit = 1, .count_only = true };
    struct buf body = { 0 };
    c->probing.asked = false;
    *call = (struct probe_call){
        .client = c, .begun_ns = now_ns, .at = c->unary_at, .count = c->stream.count, .known = client_known(c)
    };
    if (!sink->probe(sink->ctx, &call->probe)) {
        c->probing.not_before_ns = now_ns + HANGS_NS;
        return;
    }
    if (c->stream.prefix_alone) {
        r.end = (struct wire_bytes){ c->prefix_end.data, c->prefix_end.size };
        r.count_only = false;
        r.keys_only = true;
        r.min_mod_revision = c->stream.seen + 1;
    }
    wire_add_range(&body, &r);
    call->call = client_call(c, c->unary_at, "/v3/kv/range", &body, CALL_MS, probe_on_answer, call);
    c->probing.last_ns = now_ns;
    buf_free(&body);
}

uint64_t probe_step(struct etcd_client *c, uint64_t now_ns) {
    struct probing *p = &c->probing;
    struct probe_call *spare = NULL;
    uint64_t newest = 0;
    unsigned newest_at = c->unary_at;
    if (c->stream.phase != PHASE_WATCH || !c->stream.open || !login_done(c)) {
        return UINT64_MAX;
    }
    for (unsigned i = 0; i < PROBES; i++) {
        if (!p->calls[i].call) {
            spare = &p->calls[i];
        } else if (p->calls[i].begun_ns > newest) {
            newest = p->calls[i].begun_ns;
            newest_at = p->calls[i].at;
        }
    }
    uint64_t periodic = p->period_ns ? p->last_ns + p->period_ns : UINT64_MAX;
    uint64_t due = p->asked ? 0 : periodic;
    if (newest != 0) { /* one is under way: another where it hangs, also for those whom it was to serve */
        due = newest + HANGS_NS;
    }
    due = due > p->not_before_ns ? due : p->not_before_ns;
    if (due > now_ns || !spare) {
        return spare ? due : UINT64_MAX;
    }
    if (newest != 0) {
        endpoint_leave(c, newest_at);
    }
    probe_begin(c, spare, now_ns);
    return p->period_ns ? now_ns + p->period_ns : UINT64_MAX;
}
