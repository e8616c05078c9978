/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a member's address to a watch: is it etcd, who are we, which cluster is it, a snapshot in pages where one is needed. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/etcd/inside.h"

#define CALL_MS 5000u
#define PAGE_MS 30000u
/*
 * A page is about so many bytes of JSON, and takes about so long, whatever the values' sizes and the link. The first one is small: nobody
 * knows yet how large values are, and 32 of etcd's largest are 64 MiB. A page that was too much for the link or for us is asked for again with
 * fewer keys.
 */
#define PAGE_BYTES (4u << 20)
#define PAGE_TAKES_NS (2 * SECOND)
#define PAGE_FIRST 32u
#define PAGE_MOST 50000u
#define PAGE_SHRINKS 16u

static const char *stream_endpoint_of(const struct etcd_client *c) {
    return c->opts.address.endpoints[c->stream.at];
}

/* ---- ends -------------------------------------------------------------------------------------------------------- */

static void stream_drop(struct etcd_client *c) {
    if (c->stream.call) {
        etcd_http_cancel(c->http, c->stream.call);
        c->stream.call = NULL;
    }
    watch_end(c);
}

void stream_rest(struct etcd_client *c) {
    stream_drop(c);
    probe_forget(c);
    write_forget_asking(c);
    c->stream.phase = PHASE_REST;
}

void stream_follow(struct etcd_client *c, uint64_t revision, bool snapshot) {
    struct stream *s = &c->stream;
    s->seen = s->told = revision;
    s->snapshot = snapshot || revision == 0;
    s->counted = false;
    s->phase = PHASE_WAIT;
    s->at = endpoint_choose(c, ETCD_ENDPOINTS);
    c->gone_back = c->complete = false;
    c->expected = c->expected_write = 0;
    for (size_t i = 0; i < c->opts.address.n; i++) {
        c->endpoints[i].ours = c->endpoints[i].ours && revision != 0;
    }
    if (revision == 0) {
        c->cluster = c->term = 0;
        c->mark = (struct etcd_mark){ 0 };
    }
}

void stream_fail(struct etcd_client *c, bool hopeless, const char *format, ...) {
    struct stream *s = &c->stream;
    char text[300];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    stream_drop(c);
    if (endpoint_failed(c, s->at, hopeless, "%s", text)) {
        client_say(c, ETCD_WARN, "%s: %s", stream_endpoint_of(c), text);
    }
    s->phase = PHASE_WAIT;
    s->at = endpoint_choose(c, s->at);
}

/* Not the member's fault, so that another one helps as little. */
void stream_refused(struct etcd_client *c, const char *why) {
    struct stream *s = &c->stream;
    s->snapshot = true;
    s->counted = false;
    stream_fail(c, false, "what it told cannot be taken: %s", why);
    /* Room does not come in milliseconds. */
    for (size_t i = 0; i < c->opts.address.n; i++) {
        uint64_t later = client_now() + SECOND;
        c->endpoints[i].not_before_ns = later > c->endpoints[i].not_before_ns ? later : c->endpoints[i].not_before_ns;
    }
}

/* A short call of the stream ended: true where its answer is good and in c->wire. */
static bool stream_came_well(struct etcd_client *c, const struct etcd_reply *reply, const char *what) {
    char why[300];
    c->stream.call = NULL;
    const char *wrong = endpoint_error(c, reply, why, sizeof(why));
    if (!wrong) {
        return true;
    }
    bool told = !reply->why && c->wire.code >= 0;
    if (told && login_drop_refused(c)) {
        c->stream.phase = PHASE_LOGIN;
        return false;
    }
    if (!reply->why && reply->status == 404 && c->wire.code < 0) {
        stream_fail(
            c, true,
            "it answers /version, and /v3/kv/range with status 404: is this its port for peers? Name the one for "
            "clients (2379 by default)");
        return false;
    }
    if (told && c->wire.code == WIRE_OUT_OF_RANGE && c->stream.phase == PHASE_COPY) {
        stream_fail(c, false, "%s: %s: beginning again", what, wrong);
        return false;
    }
    bool hopeless = reply->mistrusted || (told && (c->wire.code == WIRE_DENIED || c->wire.code == WIRE_INVALID)) ||
                    (!reply->why && c->wire.code < 0);
    const char *user = c->opts.user;
    bool denied = told && c->wire.code == WIRE_DENIED;
    stream_fail(c, hopeless, "%s: %s%s%s%s", what, wrong, denied ? ": " : "",
                denied ? (user ? user : "whoever asks") : "",
                denied ? " needs a role that may read every key under the prefix (etcdctl role grant-permission)" : "");
    return false;
}

static void stream_call(struct etcd_client *c, const char *path, const struct buf *body, uint32_t ms,
                        etcd_done_fn *done) {
    c->stream.call = client_call(c, c->stream.at, path, body, ms, done, c);
    if (!c->stream.call) {
        stream_fail(c, false, "no request can be begun: out of memory");
    }
}

/* ---- a snapshot -------------------------------------------------------------------------------------------------- */

static void stream_on_page(void *ctx, const struct etcd_reply *reply);

static void stream_ask_page(struct etcd_client *c) {
    struct stream *s = &c->stream;
    struct buf body = { 0 };
    struct wire_range r = { .key = { c->prefix_key.data, c->prefix_key.size },
                            .end = { c->prefix_end.data, c->prefix_end.size },
                            .revision = s->copied,
                            .limit = s->limit };
    if (s->after.size > 0) {
        r.key = (struct wire_bytes){ s->after.data, s->after.size };
    }
    wire_add_range(&body, &r);
    s->page_ns = client_now();
    stream_call(c, "/v3/kv/range", &body, PAGE_MS, stream_on_page);
    buf_free(&body);
}

static const char *stream_begin_copy(struct etcd_client *c) {
    struct etcd_sink *sink = &c->opts.sink;
    c->marking.key.size = 0;
    c->stream.copied = c->wire.header.revision;
    c->stream.count = c->wire.count;
    return sink->snapshot_begin(sink->ctx, c->stream.copied);
}

static void stream_end_copy(struct etcd_client *c) {
    struct stream *s = &c->stream;
    const char *why = c->opts.sink.snapshot_end(c->opts.sink.ctx);
    if (why) {
        stream_refused(c, why);
        return;
    }
    s->snapshot = false;
    s->counted = true;
    s->seen = s->told = s->copied;
    probe_told(c);
    watch_begin(c);
}

static void stream_fit_limit(struct stream *s, size_t answer_bytes) {
    uint64_t took_ns = client_now() - s->page_ns;
    uint64_t limit = s->limit * PAGE_BYTES / (answer_bytes ? answer_bytes : 1);
    limit = limit > 4 * s->limit ? 4 * s->limit : limit;
    if (took_ns > PAGE_TAKES_NS && limit > s->limit * PAGE_TAKES_NS / took_ns) {
        limit = s->limit * PAGE_TAKES_NS / took_ns;
    }
    s->limit = limit < 1 ? 1 : limit > PAGE_MOST ? PAGE_MOST : limit;
}

/* Did the page not come because of its size? true: a smaller one is on its way. A copy that begins anew keeps to the smaller size. */
static bool stream_shrinks_page(struct etcd_client *c, const struct etcd_reply *reply) {
    struct stream *s = &c->stream;
    /* gRPC's words: a page of over 2 GiB does not reach the gateway. */
    bool too_large = reply->too_large || (!reply->why && memmem(reply->text, reply->size, "larger than max", 15));
    if (s->limit == 1 || !(too_large || reply->timed_out)) {
        return false;
    }
    s->limit = s->limit > PAGE_SHRINKS ? s->limit / PAGE_SHRINKS : 1;
    if (!too_large) {
        return false; /* or the member hangs: try another one */
    }
    stream_ask_page(c);
    return true;
}

static void stream_on_page(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    struct stream *s = &c->stream;
    if (stream_shrinks_page(c, reply) || !stream_came_well(c, reply, "copying")) {
        return;
    }
    const char *why = s->copied == 0 ? stream_begin_copy(c) : NULL;
    stream_fit_limit(s, reply->size);
    s->after.size = 0;
    if (c->wire.n > 0) {
        const struct wire_bytes *last = &c->wire.kvs[c->wire.n - 1].key;
        buf_add(&s->after, last->data, last->size);
        buf_add_char(&s->after, '\0');
    }
    bool more = c->wire.more && c->wire.n > 0;
    if (!why && more) {
        stream_ask_page(c); /* the cluster makes it while these are applied */
    }
    size_t n = watch_changes(c, c->wire.kvs, c->wire.n);
    if (!why && s->phase == PHASE_COPY && n > 0) {
        why = c->opts.sink.snapshot_keys(c->opts.sink.ctx, c->changes, n);
        mark_take_changes(c, c->changes, n);
    }
    if (why) {
        stream_refused(c, why);
    } else if (!more && s->phase == PHASE_COPY) {
        stream_end_copy(c);
    }
}

/* ---- before it --------------------------------------------------------------------------------------------------- */

static void stream_go_on(struct etcd_client *c);

/* The member that answers is of another cluster: to the next one, unless most of them are. */
static bool stream_turns_away(struct etcd_client *c) {
    if (c->stream.phase != PHASE_REST) {
        c->stream.phase = PHASE_WAIT;
        c->stream.at = endpoint_choose(c, c->stream.at);
    }
    return false;
}

/* Is the cluster that answers the one that we follow, and what the sink holds of it? To be asked before its history is judged. */
static bool stream_is_ours(struct etcd_client *c) {
    static const char STRANGER[] = "what the domain holds is of another cluster or prefix";
    bool stranger = false;
    if (!client_is_ours(c, c->stream.at)) {
        return stream_turns_away(c);
    }
    const char *why = c->opts.sink.identify(c->opts.sink.ctx, c->wire.header.cluster, &stranger);
    if (stranger) {
        if (endpoint_is_foreign(c, c->stream.at, STRANGER)) {
            client_stranger(c, STRANGER);
        }
        return stream_turns_away(c);
    }
    if (why) {
        stream_refused(c, why);
    }
    return why == NULL;
}

/* It may be compacted, by a cluster of either history: then nothing can be said. */
static void stream_on_witness(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    char why[300];
    bool compacted = endpoint_error(c, reply, why, sizeof(why)) && !reply->why && c->wire.code == WIRE_OUT_OF_RANGE;
    c->stream.call = NULL;
    if (compacted || (stream_came_well(c, reply, "asking for a key") && mark_take_witness(c))) {
        stream_go_on(c);
    }
}

static void stream_on_check(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    struct stream *s = &c->stream;
    if (!stream_came_well(c, reply, "asking for the revision") || !stream_is_ours(c) ||
        !client_check(c, s->at, &c->wire.header, s->known)) {
        return;
    }
    c->endpoints[s->at].ours = true;
    mark_take_revision(c, c->wire.header.revision);
    struct buf body = { 0 };
    if (mark_ask_witness(c, s->seen, &body)) {
        stream_call(c, "/v3/kv/range", &body, CALL_MS, stream_on_witness);
        buf_free(&body);
    } else {
        stream_go_on(c);
    }
}

static void stream_go_on(struct etcd_client *c) {
    struct stream *s = &c->stream;
    if (s->snapshot || (s->prefix_alone && !s->counted)) {
        s->phase = PHASE_COPY;
        s->copied = 0;
        s->after.size = 0;
        s->limit = s->limit > 0 && s->limit < PAGE_FIRST ? s->limit : PAGE_FIRST;
        stream_ask_page(c);
    } else {
        watch_begin(c);
    }
}

static void stream_ask_revision(struct etcd_client *c) {
    struct buf body = { 0 };
    struct wire_range r = { .key = { c->prefix_key.data, c->prefix_key.size }, .limit = 1, .count_only = true };
    c->stream.known = client_known(c);
    wire_add_range(&body, &r);
    stream_call(c, "/v3/kv/range", &body, CALL_MS, stream_on_check);
    buf_free(&body);
}

static void stream_on_status(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    c->stream.call = NULL;
    if (reply->why) {
        (void)stream_came_well(c, reply, "asking for its status");
    } else if (!mark_read_status(c, reply) || (stream_is_ours(c) && mark_take_status(c, c->stream.at))) {
        stream_ask_revision(c);
    }
}

static void stream_check(struct etcd_client *c) {
    c->stream.phase = PHASE_CHECK;
    c->stream.call = mark_ask(c, c->stream.at, stream_on_status);
    if (!c->stream.call) {
        stream_fail(c, false, "no request can be begun: out of memory");
    }
}

static void stream_on_hello(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    char version[64];
    c->stream.call = NULL;
    if (reply->why && !c->opts.address.tls && strstr(reply->why, "Empty reply")) {
        stream_fail(c, false,
                    "it ends the connection without a word: this is no etcd, or it speaks TLS (then write etcds://)");
    } else if (reply->timed_out && reply->sent) {
        stream_fail(c, false, "it takes the connection and does not answer /version: it is stopped, or no etcd");
    } else if (reply->why) {
        stream_fail(c, reply->mistrusted, "%s%s%s", reply->mistrusted ? "TLS does not fit: " : "", reply->why,
                    reply->no_tls ? ": if it speaks no TLS, write etcd:// instead of etcds://" : reply->advice);
    } else if (memmem(reply->text, reply->size, "HTTP request to an HTTPS server", 31)) {
        stream_fail(c, true, "it speaks TLS: write etcds:// instead of etcd://");
    } else if (reply->status != 200 || wire_read(&c->wire, reply->text, reply->size) != 0 ||
               wire_string(&c->wire, "etcdserver", version, sizeof(version)) != 0) {
        stream_fail(c, true,
                    "this is no etcd: it answers /version with status %ld (nor has etcd grpc-proxy what is asked: name "
                    "a member)",
                    reply->status);
    } else {
        c->stream.phase = PHASE_LOGIN;
    }
}

uint64_t stream_step(struct etcd_client *c, uint64_t now_ns) {
    struct stream *s = &c->stream;
    if (s->phase == PHASE_WAIT) {
        if (c->endpoints[s->at].not_before_ns > now_ns) {
            return c->endpoints[s->at].not_before_ns;
        }
        s->phase = PHASE_HELLO;
        stream_call(c, "/version", NULL, CALL_MS, stream_on_hello);
    }
    if (s->phase == PHASE_LOGIN) {
        if (login_done(c)) {
            stream_check(c);
        } else if (c->endpoints[s->at].not_before_ns > now_ns) { /* the login failed */
            s->phase = PHASE_WAIT;
            s->at = endpoint_choose(c, s->at);
            return now_ns;
        }
    }
    return s->phase == PHASE_WATCH ? watch_step(c, now_ns) : UINT64_MAX;
}
