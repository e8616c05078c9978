/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The loop, who logs in, and what other threads ask for. */
#include "tools/etcd/client.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tools/etcd/inside.h"

#define LONGEST_SLEEP_NS (10 * SECOND)
#define SHOW_NS SECOND /* how long a probe takes changes with each */

uint64_t client_now(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * SECOND + (uint64_t)ts.tv_nsec;
}

uint64_t etcd_hash(const void *bytes, size_t size) {
    const unsigned char *b = bytes;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) {
        h = (h ^ b[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

uint64_t client_random(struct etcd_client *c, uint64_t below) {
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return below ? c->random % below : 0;
}

/* The same words again are not said: whoever tries every second would fill a journal. */
void client_say(struct etcd_client *c, enum etcd_level level, const char *format, ...) {
    char text[sizeof(c->said)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (strcmp(text, c->said) == 0) {
        return;
    }
    memcpy(c->said, text, sizeof(text));
    c->opts.sink.say(c->opts.sink.ctx, level, text);
}

/* ---- opening and closing ----------------------------------------------------------------------------------------- */

struct etcd_client *etcd_client_open(const struct etcd_client_opts *opts, const char **why) {
    struct etcd_client *c = calloc(1, sizeof(*c));
    if (!c) {
        *why = "out of memory";
        return NULL;
    }
    c->opts = *opts;
    c->opts.http.tls = opts->address.tls;
    c->http = etcd_http_open(&c->opts.http, why);
    if (!c->http) {
        free(c);
        return NULL;
    }
    c->random = (client_now() ^ (uint64_t)getpid() << 32) | 1;
    wire_prefix_range(opts->address.prefix, opts->address.prefix_len, &c->prefix_key, &c->prefix_end);
    pthread_mutex_init(&c->lock, NULL);
    c->unary_at = endpoint_choose(c, ETCD_ENDPOINTS);
    c->state.phase = "resting";
    return c;
}

void etcd_client_close(struct etcd_client *c) {
    write_end_all(c);
    etcd_http_close(c->http);
    wire_free(&c->wire);
    wire_free(&c->stream.held_wire);
    buf_free(&c->stream.after);
    buf_free(&c->stream.in);
    buf_free(&c->stream.held);
    buf_free(&c->prefix_key);
    buf_free(&c->prefix_end);
    buf_free(&c->follow_key);
    buf_free(&c->marking.key);
    lease_close(c);
    pthread_mutex_destroy(&c->lock);
    free(c->changes);
    free(c->token);
    free(c);
}

/* ---- what all calls share ---------------------------------------------------------------------------------------- */

struct known client_known(const struct etcd_client *c) {
    return (struct known){ c->stream.seen, c->term };
}

static void client_end_history(struct etcd_client *c, const char *why, bool stranger) {
    c->gone_back = true;
    stream_rest(c);
    c->opts.sink.restored(c->opts.sink.ctx, why, stranger);
}

void client_gone_back(struct etcd_client *c, const char *why, const struct wire_header *h) {
    char text[300];
    if (c->gone_back) {
        return;
    }
    snprintf(text, sizeof(text),
             "%s: revision %llu of cluster %016llx, and we hold revision %llu of cluster %016llx: it was restored from "
             "a backup, or replaced",
             why, (unsigned long long)h->revision, (unsigned long long)h->cluster, (unsigned long long)c->stream.seen,
             (unsigned long long)(c->cluster ? c->cluster : h->cluster));
    client_end_history(c, text, false);
}

void client_stranger(struct etcd_client *c, const char *why) {
    client_end_history(c, why, true);
}

bool client_is_ours(struct etcd_client *c, unsigned at) {
    struct wire_header h = c->wire.header;
    char words[160];
    if (c->cluster == 0 || h.cluster == c->cluster) {
        return true;
    }
    snprintf(words, sizeof(words), "it is a member of another cluster: of %016llx, and we follow %016llx",
             (unsigned long long)h.cluster, (unsigned long long)c->cluster);
    if (endpoint_is_foreign(c, at, words)) {
        client_gone_back(c, "another cluster answers", &h);
    }
    return false;
}

bool client_check(struct etcd_client *c, unsigned at, const struct wire_header *h, struct known then) {
    const char *why = NULL;
    if (!client_is_ours(c, at)) {
        return false;
    }
    if (h->revision < then.seen) {
        why = "its revisions went back";
    } else if (h->term < then.term) {
        why = "its terms went back";
    }
    if (why) {
        client_gone_back(c, why, h);
        return false;
    }
    c->cluster = h->cluster;
    c->term = h->term > c->term ? h->term : c->term;
    return true;
}

struct etcd_call *client_call(struct etcd_client *c, unsigned at, const char *path, const struct buf *body,
                              uint32_t timeout_ms, etcd_done_fn *done, void *ctx) {
    struct etcd_request request = {
        .endpoint = c->opts.address.endpoints[at],
        .path = path,
        .body = body ? body->data : NULL,
        .body_size = body ? body->size : 0,
        .token = c->token,
        .timeout_ms = timeout_ms,
        .done = done,
        .ctx = ctx,
    };
    return etcd_http_begin(c->http, &request);
}

/* ---- the loop ---------------------------------------------------------------------------------------------------- */

static void client_take_wishes(struct etcd_client *c) {
    pthread_mutex_lock(&c->lock);
    struct write *incoming = c->incoming;
    bool rest = c->rest_wanted, follow = c->follow_wanted, snapshot = c->follow_snapshot;
    uint64_t from = c->follow_from;
    if (follow && c->follow_mark.index > c->mark.index) {
        c->mark = c->follow_mark;
    }
    if (follow) {
        c->marking.key.size = 0;
        buf_add(&c->marking.key, c->follow_key.data, c->follow_key.size);
        c->marking.witness = c->follow_witness;
    }
    c->incoming = NULL;
    c->rest_wanted = c->follow_wanted = false;
    if (c->ask_now) {
        c->probing.asked = true;
        c->probing.not_before_ns = 0;
    }
    c->ask_now = false;
    c->probing.period_ns = c->ask_period_ns;
    pthread_mutex_unlock(&c->lock);
    if (rest || follow) {
        stream_rest(c);
    }
    if (follow) {
        stream_follow(c, from, snapshot);
    }
    write_take(c, incoming);
}

static void client_add_whys(struct etcd_client *c, struct etcd_state *s) {
    size_t at = 0;
    bool all = c->opts.address.n > 0;
    s->why[0] = '\0';
    for (size_t i = 0; i < c->opts.address.n; i++) {
        const struct endpoint *e = &c->endpoints[i];
        all = all && e->hopeless;
        if (e->why[0] && at < sizeof(s->why)) {
            at += (size_t)snprintf(s->why + at, sizeof(s->why) - at, "%s%s: %s", at ? "; " : "",
                                   c->opts.address.endpoints[i], e->why);
        }
    }
    s->hopeless = all;
}

static void client_show_state(struct etcd_client *c) {
    static const char *const NAMES[] = { "resting",    "waiting", "connecting", "connecting",
                                         "connecting", "copying", "watching" };
    struct stream *s = &c->stream;
    pthread_mutex_lock(&c->lock);
    struct etcd_state *o = &c->state, before = c->state;
    bool watching = s->phase == PHASE_WATCH && s->open;
    o->phase = s->phase == PHASE_WATCH && !s->open ? "connecting" : NAMES[s->phase];
    o->complete = s->phase != PHASE_REST && c->complete;
    o->failures = watching ? 0 : c->endpoints[s->at].failures;
    o->revision = s->seen;
    o->cluster = c->cluster;
    o->mark = c->mark;
    o->probe_ns = c->probing.took_ns;
    o->leaves_out = c->unfit > 0;
    snprintf(o->endpoint, sizeof(o->endpoint), "%s", c->opts.address.endpoints[s->at]);
    client_add_whys(c, o);
    struct etcd_state now = *o;
    pthread_mutex_unlock(&c->lock);
    uint64_t now_ns = client_now();
    bool changed = now.phase != before.phase || strcmp(now.endpoint, before.endpoint) != 0 ||
                   strcmp(now.why, before.why) != 0 || now.mark.index != before.mark.index ||
                   now.leaves_out != before.leaves_out || now_ns - c->shown_ns > SHOW_NS;
    if (changed && c->opts.sink.changed) {
        c->shown_ns = now_ns;
        c->opts.sink.changed(c->opts.sink.ctx, &now);
    }
}

static bool client_is_stopped(struct etcd_client *c) {
    pthread_mutex_lock(&c->lock);
    bool stopped = c->stopped;
    pthread_mutex_unlock(&c->lock);
    return stopped;
}

static uint64_t client_least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static int client_sleep_ms(uint64_t until_ns) {
    uint64_t now = client_now();
    uint64_t ns = until_ns > now ? client_least(until_ns - now, LONGEST_SLEEP_NS) : 0;
    return (int)((ns + MS - 1) / MS);
}

void etcd_client_run(struct etcd_client *c) {
    while (!client_is_stopped(c)) {
        client_take_wishes(c);
        uint64_t now = client_now();
        uint64_t due = login_step(c, now);
        due = client_least(due, stream_step(c, now));
        due = client_least(due, probe_step(c, now));
        due = client_least(due, mark_step(c, now));
        due = client_least(due, write_step(c, now));
        client_show_state(c);
        etcd_http_wait(c->http, client_sleep_ms(due));
        etcd_http_run(c->http);
    }
    stream_rest(c);
    write_end_all(c);
}

/* ---- from any thread --------------------------------------------------------------------------------------------- */

void etcd_client_stop(struct etcd_client *c) {
    pthread_mutex_lock(&c->lock);
    c->stopped = true;
    pthread_mutex_unlock(&c->lock);
    etcd_http_wake(c->http);
}

void etcd_client_follow(struct etcd_client *c, uint64_t revision, bool snapshot) {
    pthread_mutex_lock(&c->lock);
    c->follow_wanted = true;
    c->rest_wanted = false;
    c->follow_from = revision;
    c->follow_snapshot = snapshot;
    c->state.complete = false;
    pthread_mutex_unlock(&c->lock);
    etcd_http_wake(c->http);
}

void etcd_client_remember(struct etcd_client *c, const struct etcd_mark *mark, const struct etcd_witness *witness) {
    pthread_mutex_lock(&c->lock);
    c->follow_mark = *mark;
    c->follow_key.size = 0;
    buf_add(&c->follow_key, witness->key, witness->key ? witness->key_size : 0);
    c->follow_witness = (struct witness){ witness->mod_revision, witness->value_hash };
    pthread_mutex_unlock(&c->lock);
}

void etcd_client_rest(struct etcd_client *c) {
    pthread_mutex_lock(&c->lock);
    c->rest_wanted = true;
    c->follow_wanted = false;
    pthread_mutex_unlock(&c->lock);
    etcd_http_wake(c->http);
}

void etcd_client_ask(struct etcd_client *c, bool now, uint64_t period_ns) {
    pthread_mutex_lock(&c->lock);
    bool new = (now && !c->ask_now) || period_ns != c->ask_period_ns;
    c->ask_now = c->ask_now || now;
    c->ask_period_ns = period_ns;
    pthread_mutex_unlock(&c->lock);
    if (new) {
        etcd_http_wake(c->http);
    }
}

void etcd_client_state(struct etcd_client *c, struct etcd_state *out) {
    pthread_mutex_lock(&c->lock);
    *out = c->state;
    pthread_mutex_unlock(&c->lock);
}
