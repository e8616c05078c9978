/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watch: a stream of JSON messages. A message comes in pieces, and ends anywhere when the connection does: what is not whole is not
 * used. The changes of one revision may come in several messages ("fragment"): they are held back until the last one is there, so that
 * the sink gets a revision whole or not at all, and a broken watch begins again behind the last whole one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/etcd/inside.h"

#define OPEN_NS (5 * SECOND) /* for the member to say that the watch is there */
/*
 * A revision that exists was not told for so long: the stream hangs. Or the revision is large: etcd needs six seconds for the events of 150,000
 * keys that are deleted at once. So four times as long the next time, and then a snapshot instead, which needs no events.
 */
#define SILENCE_NS SECOND
#define SILENCES 3
#define TRICKLE_BYTES 1024u /* fewer within that time, and no end of a message among them, are silence */
/*
 * Of one message, against a server that never ends one. Without "fragment" a message may have a thousand revisions of 1.5 MiB each; with it,
 * etcd 3.4 takes a time that grows with the square of the events in a message of 1.5 MiB, which for short ones is ten seconds and more. So it
 * is asked for only after a message was too large.
 */
#define MESSAGE_BYTES (512u << 20)
#define FOREIGN_REVISIONS UINT64_C(4096) /* of other keys, until the sink is told where the source stands */

/* ---- changes of our keys ----------------------------------------------------------------------------------------- */

static bool watch_is_ours(const struct etcd_client *c, const struct wire_kv *kv) {
    const struct etcd_address *a = &c->opts.address;
    return kv->key.size >= a->prefix_len && memcmp(kv->key.data, a->prefix, a->prefix_len) == 0;
}

/* A domain's keys have 1 to 65,535 bytes. */
static bool watch_fits(struct etcd_client *c, size_t size) {
    if (size >= 1 && size <= ETCD_KEY_MOST) {
        return true;
    }
    if (c->unfit++ == 0) {
        client_say(c, ETCD_WARN,
                   "a key of %zu bytes behind the prefix is left out, as all such are: a domain's keys have 1 to %u",
                   size, ETCD_KEY_MOST);
    }
    return false;
}

size_t watch_changes(struct etcd_client *c, const struct wire_kv *kvs, size_t n) {
    size_t skip = c->opts.address.prefix_len, out = 0;
    if (n > c->changes_room) {
        c->changes_room = n * 2;
        free(c->changes);
        c->changes = calloc(c->changes_room, sizeof(*c->changes));
        if (!c->changes) {
            fputs("tide: out of memory\n", stderr);
            exit(1);
        }
    }
    for (size_t i = 0; i < n; i++) {
        const struct wire_kv *kv = &kvs[i];
        if (watch_is_ours(c, kv) && watch_fits(c, kv->key.size - skip)) {
            c->changes[out++] = (struct etcd_change){ .key = { kv->key.data + skip, kv->key.size - skip },
                                                      .value = kv->value,
                                                      .mod_revision = kv->mod_revision,
                                                      .deleted = kv->deleted };
        }
    }
    return out;
}

/* Also while all keys are watched: the user may lose the right to, and then the prefix is watched from there. */
static void watch_count(struct etcd_client *c, const struct wire_kv *kvs, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!watch_is_ours(c, &kvs[i])) {
            continue;
        }
        if (kvs[i].deleted) {
            c->stream.count--;
        } else if (kvs[i].create_revision == kvs[i].mod_revision) {
            c->stream.count++;
        }
    }
}

/* All changes of one revision. */
static const char *watch_tell(struct etcd_client *c, const struct wire_kv *kvs, size_t n) {
    struct stream *s = &c->stream;
    struct etcd_sink *sink = &c->opts.sink;
    uint64_t revision = kvs[0].mod_revision;
    const char *why = NULL;
    if (revision <= s->seen) {
        return NULL;
    }
    size_t changes = watch_changes(c, kvs, n);
    if (changes > 0 || revision - s->told >= FOREIGN_REVISIONS) {
        why = sink->append(sink->ctx, revision, c->changes, changes);
        s->told = why ? s->told : revision;
    }
    if (!why) {
        s->seen = revision;
        watch_count(c, kvs, n);
        mark_take_changes(c, c->changes, changes);
    }
    return why;
}

static size_t watch_same_revision(const struct wire_kv *kvs, size_t n) {
    size_t same = 1;
    while (same < n && kvs[same].mod_revision == kvs[0].mod_revision) {
        same++;
    }
    return same;
}

/* Of n events: all revisions but, where more may follow, the last one. How many were used. */
static size_t watch_tell_whole(struct etcd_client *c, const struct wire_kv *kvs, size_t n, bool more,
                               const char **why) {
    size_t at = 0;
    while (at < n) {
        size_t same = watch_same_revision(kvs + at, n - at);
        if (at + same == n && more) {
            break;
        }
        *why = watch_tell(c, kvs + at, same);
        if (*why) {
            break;
        }
        at += same;
    }
    return at;
}

/* ---- what is held back ------------------------------------------------------------------------------------------- */

struct held {
    uint64_t mod_revision, create_revision, lease;
    uint32_t key_size, value_size;
    bool deleted;
};

static void watch_hold(struct buf *to, const struct wire_kv *kvs, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct held h = { kvs[i].mod_revision,       kvs[i].create_revision,      kvs[i].lease,
                          (uint32_t)kvs[i].key.size, (uint32_t)kvs[i].value.size, kvs[i].deleted };
        buf_add(to, &h, sizeof(h));
        buf_add(to, kvs[i].key.data, kvs[i].key.size);
        buf_add(to, kvs[i].value.data, kvs[i].value.size);
    }
}

/* All that is held, and behind it the events of this message, as one list: to be freed. */
static struct wire_kv *watch_with_held(struct etcd_client *c, size_t *n) {
    struct buf list = { 0 };
    const struct buf *b = &c->stream.held;
    for (size_t at = 0; at < b->size;) {
        struct held h;
        memcpy(&h, b->data + at, sizeof(h));
        at += sizeof(h);
        struct wire_kv kv = { { b->data + at, h.key_size },
                              { b->data + at + h.key_size, h.value_size },
                              h.mod_revision,
                              h.create_revision,
                              h.lease,
                              h.deleted };
        at += h.key_size + h.value_size;
        buf_add(&list, &kv, sizeof(kv));
    }
    buf_add(&list, c->wire.kvs, c->wire.n * sizeof(*c->wire.kvs));
    *n = list.size / sizeof(struct wire_kv);
    return (struct wire_kv *)(void *)list.data;
}

static const char *watch_take_events(struct etcd_client *c) {
    struct stream *s = &c->stream;
    const char *why = NULL;
    if (s->held.size == 0 && !c->wire.fragment) {
        (void)watch_tell_whole(c, c->wire.kvs, c->wire.n, false, &why);
        return why;
    }
    size_t n;
    struct wire_kv *kvs = watch_with_held(c, &n);
    size_t used = watch_tell_whole(c, kvs, n, c->wire.fragment, &why);
    struct buf rest = { 0 };
    watch_hold(&rest, kvs + used, n - used);
    buf_free(&s->held);
    s->held = rest;
    free(kvs);
    return why;
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

/* To the check, and then the watch anew. */
static void watch_check_again(struct etcd_client *c) {
    watch_end(c);
    c->stream.phase = PHASE_WAIT;
}

/*
 * Some versions of etcd say "permission denied" to a token that became void behind the check, too. The next check tells: who is refused again,
 * with a token that it took, has no right to what is watched.
 */
static bool watch_doubts_denial(struct etcd_client *c) {
    struct stream *s = &c->stream;
    uint64_t with = c->login.tokens + 1;
    bool doubts = c->opts.user && strstr(c->wire.text, "permission denied") && s->denied != with;
    s->denied = doubts ? with : s->denied;
    return doubts;
}

static void watch_take_end(struct etcd_client *c) {
    struct stream *s = &c->stream;
    if (c->wire.compact_revision != 0) {
        client_say(c, ETCD_INFO, "revision %llu is compacted (up to %llu): taking the difference to a snapshot",
                   (unsigned long long)s->seen + 1, (unsigned long long)c->wire.compact_revision);
        s->snapshot = true;
        watch_check_again(c);
    } else if (login_drop_refused(c) || watch_doubts_denial(c)) {
        watch_check_again(c);
    } else if (strstr(c->wire.text, "permission denied") && !s->prefix_alone && c->opts.address.prefix_len > 0) {
        client_say(c, ETCD_INFO,
                   "this user may not watch all keys, only those of the prefix: each probe looks through all of them");
        s->prefix_alone = true;
        watch_check_again(c);
    } else {
        stream_fail(c, strstr(c->wire.text, "permission denied") != NULL, "the watch was ended: %s",
                    c->wire.text[0] ? c->wire.text : "no reason given");
    }
}

static void watch_take_message(struct etcd_client *c, const char *text, size_t size) {
    struct stream *s = &c->stream;
    if (wire_read(&c->wire, text, size) != 0) {
        stream_fail(c, false, "the watch told what etcd does not: %s", c->wire.text);
    } else if (c->wire.code >= 0) {
        (void)login_drop_refused(c);
        stream_fail(c, false, "the watch was ended: %s (code %d)", c->wire.text, c->wire.code);
    } else if (c->wire.canceled) {
        watch_take_end(c);
    } else if (c->wire.created) {
        s->open = true;
        endpoint_works(c, s->at);
        c->said[0] = '\0';
        client_say(c, ETCD_INFO, "watching %s from revision %llu", c->opts.address.endpoints[s->at],
                   (unsigned long long)s->seen + 1);
    } else if (c->wire.n > 0 || c->wire.fragment) {
        const char *why = watch_take_events(c);
        if (why) {
            stream_refused(c, why);
        }
    } else if (s->held.size == 0 && c->wire.header.revision > s->seen) {
        s->seen = c->wire.header.revision; /* etcd says at times how far it is */
    }
}

static void watch_hear(struct stream *s) {
    s->heard_ns = client_now();
    s->heard_bytes = 0;
}

static void watch_read_messages(struct etcd_client *c) {
    struct stream *s = &c->stream;
    uint64_t before = s->seen;
    size_t length;
    while (s->phase == PHASE_WATCH &&
           (length = wire_message_end(&s->scan, s->in.data + s->in_at, s->in.size - s->in_at)) > 0) {
        size_t at = s->in_at;
        s->in_at += length;
        watch_hear(s);
        watch_take_message(c, s->in.data + at, length);
    }
    if (s->phase != PHASE_WATCH) {
        return;
    }
    if (s->in_at > 0) {
        memmove(s->in.data, s->in.data + s->in_at, s->in.size - s->in_at);
        s->in.size -= s->in_at;
        s->in_at = 0;
    }
    if (s->seen > before) {
        s->silences = 0;
        probe_told(c);
    }
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

static int watch_on_bytes(void *ctx, const char *bytes, size_t size) {
    struct etcd_client *c = ctx;
    buf_add(&c->stream.in, bytes, size);
    c->stream.heard_bytes += size;
    if (c->stream.heard_bytes >= TRICKLE_BYTES) {
        watch_hear(&c->stream);
    }
    c->stream.too_large = c->stream.in.size > MESSAGE_BYTES;
    return c->stream.too_large ? -1 : 0;
}

static void watch_on_end(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    c->stream.call = NULL;
    c->stream.ended = true;
    c->stream.fragment = c->stream.fragment || c->stream.too_large;
    snprintf(c->stream.end_why, sizeof(c->stream.end_why), "%s",
             c->stream.too_large ? "a message of the watch is over 512 MiB: asking for smaller ones"
             : reply->why        ? reply->why
                                 : "the member ended the watch");
}

void watch_begin(struct etcd_client *c) {
    struct stream *s = &c->stream;
    struct buf body = { 0 };
    const struct wire_bytes all = { "\0", 1 };
    struct wire_bytes key = all, end = all;
    if (s->prefix_alone) {
        key = (struct wire_bytes){ c->prefix_key.data, c->prefix_key.size };
        end = (struct wire_bytes){ c->prefix_end.data, c->prefix_end.size };
    }
    wire_add_watch(&body, &key, &end, s->seen + 1, s->fragment);
    s->phase = PHASE_WATCH;
    s->open = s->ended = s->too_large = false;
    watch_hear(s);
    s->begun_ns = s->heard_ns;
    s->call = etcd_http_begin(c->http, &(struct etcd_request){ .endpoint = c->opts.address.endpoints[s->at],
                                                               .path = "/v3/watch",
                                                               .body = body.data,
                                                               .body_size = body.size,
                                                               .token = c->token,
                                                               .stream = true,
                                                               .data = watch_on_bytes,
                                                               .done = watch_on_end,
                                                               .ctx = c });
    buf_free(&body);
    if (!s->call) {
        stream_fail(c, false, "no watch can be begun: out of memory");
    }
}

void watch_end(struct etcd_client *c) {
    struct stream *s = &c->stream;
    if (s->call) {
        etcd_http_cancel(c->http, s->call);
        s->call = NULL;
    }
    mark_forget(c); /* the next status is the next stream's */
    s->open = s->ended = false;
    s->in.size = s->in_at = s->held.size = 0;
    s->scan = (struct wire_scan){ 0 };
}

uint64_t watch_step(struct etcd_client *c, uint64_t now_ns) {
    struct stream *s = &c->stream;
    if (s->in.size > 0) {
        watch_read_messages(c);
    }
    if (s->phase != PHASE_WATCH) {
        return now_ns;
    }
    if (s->ended) {
        stream_fail(c, false, "%s", s->end_why);
        return now_ns;
    }
    if (!s->open) {
        if (now_ns > s->begun_ns + OPEN_NS) {
            stream_fail(c, false, "the watch does not begin");
            return now_ns;
        }
        return s->begun_ns + OPEN_NS + 1;
    }
    if (c->expected <= s->seen) {
        return UINT64_MAX;
    }
    uint64_t since = c->expected_ns > s->heard_ns ? c->expected_ns : s->heard_ns;
    uint64_t patience_ns = (c->opts.silence_ns ? c->opts.silence_ns : SILENCE_NS) << 2 * s->silences;
    if (now_ns > since + patience_ns) {
        s->silences = (s->silences + 1) % SILENCES;
        s->snapshot = s->snapshot || s->silences == 0;
        s->counted = s->counted && !s->snapshot;
        stream_fail(c, false, "the watch does not tell revision %llu, which there is", (unsigned long long)c->expected);
        return now_ns;
    }
    return since + patience_ns + 1;
}
