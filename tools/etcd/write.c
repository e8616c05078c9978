/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Transactions. Each is sent once: as long as it has certainly not been sent, another member is tried; once it has, no answer means that
 * nobody knows. An add reads its keys first, and is done on condition that they are as they were read; where they are not, again.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/etcd/inside.h"

#define AT_ONCE 32u
#define OP_BYTES 48u /* of a request in etcd's own encoding, beside keys and values: at most */
#define LEAST_MS 200u
#define LOOK_NS (20 * MS)
#define ASK_MS 1000u

enum write_state { WRITE_QUEUED, WRITE_READING, WRITE_SENT };

struct write {
    struct write *next;
    struct etcd_client *client;
    struct etcd_call *call;
    enum write_state state;
    struct etcd_op *ops;
    size_t n;
    uint64_t *read_revisions; /* of adds: what they were read at */
    bool *read_there;
    int64_t *before;
    bool has_adds, read;
    unsigned at;
    uint64_t deadline_ns, not_before_ns;
    etcd_awaited_fn *awaited;
    etcd_write_fn *done;
    void *ctx;
    char why[300];
};

/* ---- ending ------------------------------------------------------------------------------------------------------ */

static void write_free_write(struct write *w) {
    free(w->read_revisions);
    free(w->read_there);
    free(w->before);
    free(w);
}

static void write_unlink_write(struct etcd_client *c, struct write *w) {
    struct write **at = &c->writes;
    while (*at && *at != w) {
        at = &(*at)->next;
    }
    if (*at) {
        *at = w->next;
    }
}

/* The write is gone afterwards. */
static void write_end(struct etcd_client *c, struct write *w, const struct etcd_outcome *o) {
    struct etcd_outcome out = *o;
    out.ops = w->ops;
    out.n = w->n;
    write_unlink_write(c, w);
    w->done(w->ctx, &out);
    write_free_write(w);
}

static void write_end_with(struct etcd_client *c, struct write *w, enum etcd_result result, const char *why) {
    write_end(c, w, &(struct etcd_outcome){ .result = result, .why = why });
}

void write_end_all(struct etcd_client *c) {
    pthread_mutex_lock(&c->lock);
    struct write *incoming = c->incoming;
    c->incoming = NULL;
    pthread_mutex_unlock(&c->lock);
    write_take(c, incoming);
    while (c->writes) {
        struct write *w = c->writes;
        bool sent = w->state == WRITE_SENT;
        if (w->call) {
            etcd_http_cancel(c->http, w->call);
            w->call = NULL;
        }
        write_end_with(c, w, sent ? ETCD_UNKNOWN : ETCD_LATE, "the connection to the cluster is being closed");
    }
}

/* ---- what cannot be ---------------------------------------------------------------------------------------------- */

static int write_compare_keys(const void *a, const void *b) {
    const struct wire_bytes *x = &(*(struct etcd_op *const *)a)->key, *y = &(*(struct etcd_op *const *)b)->key;
    int order = memcmp(x->data, y->data, x->size < y->size ? x->size : y->size);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

static bool write_has_twice(struct etcd_op *ops, size_t n) {
    struct etcd_op *sorted[ETCD_OPS_MOST];
    for (size_t i = 0; i < n; i++) {
        sorted[i] = &ops[i];
    }
    qsort(sorted, n, sizeof(sorted[0]), write_compare_keys);
    for (size_t i = 1; i < n; i++) {
        if (write_compare_keys(&sorted[i - 1], &sorted[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool write_is_guarded(const struct etcd_op *op) {
    return op->kind == ETCD_CAS || op->kind == ETCD_ADD || op->kind == ETCD_TOUCH;
}

static uint64_t write_bytes_of(const struct etcd_client *c, const struct etcd_op *ops, size_t n) {
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t key = ops[i].key.size + c->opts.address.prefix_len;
        all += OP_BYTES + key * (write_is_guarded(&ops[i]) ? 3 : 1) + ops[i].value.size;
    }
    return all;
}

/* false, and the write has ended. */
static bool write_is_possible(struct etcd_client *c, struct write *w) {
    char why[200];
    if (w->n > ETCD_OPS_MOST) {
        snprintf(why, sizeof(why), "%zu operations in one batch: etcd takes %u", w->n, ETCD_OPS_MOST);
        write_end_with(c, w, ETCD_TOO_BIG, why);
        return false;
    }
    uint64_t bytes = write_bytes_of(c, w->ops, w->n);
    if (bytes > ETCD_BYTES_MOST) {
        snprintf(why, sizeof(why), "a write of %llu bytes: etcd takes %u", (unsigned long long)bytes, ETCD_BYTES_MOST);
        write_end_with(c, w, ETCD_TOO_BIG, why);
        return false;
    }
    if (write_has_twice(w->ops, w->n)) {
        write_end_with(c, w, ETCD_TWICE, "a key stands twice in the batch: etcd takes none of those");
        return false;
    }
    return true;
}

void write_take(struct etcd_client *c, struct write *list) {
    struct write **tail = &c->writes;
    while (*tail) {
        tail = &(*tail)->next;
    }
    while (list) {
        struct write *w = list;
        list = list->next;
        w->next = NULL;
        *tail = w;
        if (write_is_possible(c, w)) {
            tail = &w->next;
        }
    }
}

void etcd_client_write(struct etcd_client *c, struct etcd_op *ops, size_t n, uint32_t timeout_ms,
                       etcd_awaited_fn *awaited, etcd_write_fn *done, void *ctx) {
    struct write *w = calloc(1, sizeof(*w));
    bool adds = false;
    for (size_t i = 0; i < n; i++) {
        adds = adds || ops[i].kind == ETCD_ADD;
    }
    if (!w || (adds && ((w->read_revisions = calloc(n, sizeof(uint64_t))) == NULL ||
                        (w->read_there = calloc(n, sizeof(bool))) == NULL ||
                        (w->before = calloc(n, sizeof(int64_t))) == NULL))) {
        fputs("tide: out of memory\n", stderr);
        exit(1);
    }
    w->client = c;
    w->ops = ops;
    w->n = n;
    w->has_adds = adds;
    w->deadline_ns = client_now() + timeout_ms * MS;
    w->awaited = awaited;
    w->done = done;
    w->ctx = ctx;
    pthread_mutex_lock(&c->lock);
    struct write **tail = &c->incoming;
    while (*tail) {
        tail = &(*tail)->next;
    }
    *tail = w;
    pthread_mutex_unlock(&c->lock);
    etcd_http_wake(c->http);
}

/* ---- the transaction --------------------------------------------------------------------------------------------- */

static void write_add_key(const struct etcd_client *c, struct buf *out, const struct wire_bytes *key) {
    struct buf whole = { 0 };
    buf_add(&whole, c->opts.address.prefix, c->opts.address.prefix_len);
    buf_add(&whole, key->data, key->size);
    wire_add_bytes(out, "key", whole.data, whole.size);
    buf_free(&whole);
}

static void write_add_guard(const struct write *w, struct buf *out, size_t i) {
    const struct etcd_op *op = &w->ops[i];
    buf_add_text(out, out->data[out->size - 1] == '[' ? "{" : ",{");
    write_add_key(w->client, out, &op->key);
    if (op->kind == ETCD_TOUCH) {
        buf_add_text(out, ",\"target\":\"CREATE\",\"result\":\"GREATER\",\"create_revision\":\"0\"}");
        return;
    }
    buf_add_text(out, ",\"target\":\"MOD\",\"result\":\"EQUAL\"");
    wire_add_u64(out, "mod_revision", op->kind == ETCD_CAS ? op->expected : w->read_revisions[i]);
    buf_add_char(out, '}');
}

static void write_add_read(const struct write *w, struct buf *out, size_t i, bool keys_only) {
    buf_add_text(out, out->data[out->size - 1] == '[' ? "{\"request_range\":{" : ",{\"request_range\":{");
    write_add_key(w->client, out, &w->ops[i].key);
    buf_add_text(out, keys_only ? ",\"keys_only\":true}}" : "}}");
}

/* `lease`: 0: none. */
static void write_add_op(const struct write *w, struct buf *out, size_t i, uint64_t lease) {
    const struct etcd_op *op = &w->ops[i];
    buf_add_text(out, out->data[out->size - 1] == '[' ? "{" : ",{");
    buf_add_text(out, op->kind == ETCD_DELETE ? "\"request_delete_range\":{" : "\"request_put\":{");
    write_add_key(w->client, out, &op->key);
    if (op->kind == ETCD_ADD) {
        char digits[24];
        int size = snprintf(digits, sizeof(digits), "%lld", (long long)op->delta);
        wire_add_bytes(out, "value", digits, (size_t)size);
        buf_add_text(out, op->ttl_s == 0 && w->read_there[i] ? ",\"ignore_lease\":true" : "");
    } else if (op->kind == ETCD_TOUCH) {
        buf_add_text(out, ",\"ignore_value\":true");
    } else if (op->kind != ETCD_DELETE) {
        wire_add_bytes(out, "value", op->value.data, op->value.size);
    }
    if (lease != 0) {
        wire_add_u64(out, "lease", lease);
    }
    buf_add_text(out, "}}");
}

static void write_add_transaction(struct write *w, struct buf *out, const uint64_t *leases) {
    buf_add_text(out, "{\"compare\":[");
    for (size_t i = 0; i < w->n; i++) {
        if (write_is_guarded(&w->ops[i])) {
            write_add_guard(w, out, i);
        }
    }
    buf_add_text(out, "],\"success\":[");
    for (size_t i = 0; i < w->n; i++) {
        write_add_op(w, out, i, leases[i]);
    }
    buf_add_text(out, "],\"failure\":[");
    for (size_t i = 0; i < w->n; i++) {
        if (write_is_guarded(&w->ops[i])) {
            write_add_read(w, out, i, true);
        }
    }
    buf_add_text(out, "]}");
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

/* Once more, as it has certainly not been done. */
static void write_again(struct write *w, uint64_t pause_ns) {
    w->state = WRITE_QUEUED;
    w->not_before_ns = client_now() + pause_ns;
}

/* Did etcd refuse it before anything was done? */
static bool write_is_refusal(int code) {
    return code == WIRE_INVALID || code == 5 || code == WIRE_DENIED || code == WIRE_EXHAUSTED ||
           code == WIRE_PRECONDITION || code == WIRE_OUT_OF_RANGE || code == WIRE_UNAUTHENTICATED;
}

static void write_take_refusal(struct etcd_client *c, struct write *w, const char *why) {
    int code = c->wire.code;
    if (login_drop_refused(c)) {
        write_again(w, 0);
    } else if (strstr(c->wire.text, "lease not found")) {
        lease_forget_all(c);
        write_again(w, 0);
    } else if (strstr(c->wire.text, "too large") || strstr(c->wire.text, "too many operations")) {
        write_end_with(c, w, ETCD_TOO_BIG, why);
    } else if (code == WIRE_EXHAUSTED && strstr(c->wire.text, "too many requests")) {
        write_again(w, 20 * MS);
    } else {
        write_end_with(c, w, ETCD_REFUSED, why);
    }
}

/* true: the answer is good, and in c->wire. Else the write goes on or has ended. */
static bool write_came_well(struct etcd_client *c, struct write *w, const struct etcd_reply *reply) {
    char why[300];
    const char *wrong = endpoint_error(c, reply, why, sizeof(why));
    bool reading = w->state == WRITE_READING;
    w->call = NULL;
    if (!wrong) {
        return true;
    }
    if (!reply->why && write_is_refusal(c->wire.code)) {
        write_take_refusal(c, w, wrong);
        return false;
    }
    snprintf(w->why, sizeof(w->why), "%.90s: %.200s", c->opts.address.endpoints[w->at], wrong);
    endpoint_failed(c, w->at, false, "write: %s", wrong);
    endpoint_leave(c, w->at);
    if (reading || !reply->sent) {
        write_again(w, MS);
    } else {
        snprintf(why, sizeof(why), "%s", w->why);
        write_end_with(c, w, ETCD_UNKNOWN, why);
    }
    return false;
}

static void write_take_mismatch(struct etcd_client *c, struct write *w) {
    size_t guard = 0;
    for (size_t i = 0; i < w->n; i++) {
        const struct etcd_op *op = &w->ops[i];
        if (!write_is_guarded(op)) {
            continue;
        }
        uint64_t found = wire_found(&c->wire, guard++);
        if (op->kind == ETCD_CAS && found != op->expected) {
            write_end(c, w, &(struct etcd_outcome){ .result = ETCD_MISMATCH, .failed = i, .found = found });
            return;
        }
        if (op->kind == ETCD_TOUCH && found == 0) {
            write_end(c, w, &(struct etcd_outcome){ .result = ETCD_NOT_FOUND, .failed = i });
            return;
        }
    }
    /* A key to add to was changed meanwhile. */
    for (size_t i = 0; i < w->n; i++) {
        if (w->ops[i].kind == ETCD_ADD && w->read) {
            w->ops[i].delta = (int64_t)((uint64_t)w->ops[i].delta - (uint64_t)w->before[i]);
        }
    }
    w->read = false;
    write_again(w, client_random(c, 2 * MS));
}

static void write_on_transaction(void *ctx, const struct etcd_reply *reply) {
    struct write *w = ctx;
    struct etcd_client *c = w->client;
    if (!write_came_well(c, w, reply)) {
        return;
    }
    if (!client_is_ours(c, w->at)) { /* it was ours when this was sent */
        write_end_with(c, w, ETCD_UNKNOWN, "another cluster has taken it");
        return;
    }
    endpoint_works(c, w->at);
    if (!c->wire.succeeded) {
        write_take_mismatch(c, w);
        return;
    }
    uint64_t revision = c->wire.header.revision;
    c->expected_write = revision > c->expected_write ? revision : c->expected_write;
    if (!c->stream.prefix_alone) {
        probe_expect(c, revision);
    } else {
        c->probing.asked = true; /* it may have changed nothing: then no event will come */
    }
    write_end(c, w, &(struct etcd_outcome){ .result = ETCD_DONE, .revision = revision });
    if (c->stream.phase == PHASE_WATCH) {
        probe_told(c);
    }
}

/* ---- adds -------------------------------------------------------------------------------------------------------- */

/* What a key to add to holds: ETCD_DONE, and the sum of it and delta; or why not. */
static enum etcd_result write_sum_up(const struct wire_bytes *value, bool there, int64_t *before, int64_t *delta) {
    char digits[24], *rest = digits;
    *before = 0;
    if (there) {
        size_t sign = value->size > 0 && value->data[0] == '-';
        if (value->size <= sign || value->size >= sizeof(digits)) {
            return ETCD_NUMBER;
        }
        memcpy(digits, value->data, value->size);
        digits[value->size] = '\0';
        if (strspn(digits + sign, "0123456789") != value->size - sign) {
            return ETCD_NUMBER;
        }
        errno = 0;
        *before = strtoll(digits, &rest, 10);
        if (errno != 0) {
            return ETCD_NUMBER;
        }
    }
    int64_t sum;
    if (__builtin_add_overflow(*before, *delta, &sum)) {
        return ETCD_OVERFLOW;
    }
    *delta = sum;
    return ETCD_DONE;
}

static void write_on_read(void *ctx, const struct etcd_reply *reply) {
    struct write *w = ctx;
    struct etcd_client *c = w->client;
    size_t range = 0;
    if (!write_came_well(c, w, reply)) {
        return;
    }
    if (!client_is_ours(c, w->at)) {
        write_again(w, MS);
        return;
    }
    for (size_t i = 0; i < w->n; i++) {
        if (w->ops[i].kind != ETCD_ADD) {
            continue;
        }
        struct wire_kv kv;
        int there = wire_range_answer(&c->wire, range++, &kv);
        if (there < 0) {
            write_end_with(c, w, ETCD_REFUSED, "the cluster's answer cannot be read");
            return;
        }
        enum etcd_result result = write_sum_up(&kv.value, there, &w->before[i], &w->ops[i].delta);
        if (result != ETCD_DONE) {
            write_end(c, w, &(struct etcd_outcome){ .result = result, .failed = i });
            return;
        }
        w->read_there[i] = there;
        w->read_revisions[i] = there ? kv.mod_revision : 0;
    }
    w->read = true;
    write_again(w, 0);
}

static void write_add_reads(struct write *w, struct buf *out) {
    buf_add_text(out, "{\"success\":[");
    for (size_t i = 0; i < w->n; i++) {
        if (w->ops[i].kind == ETCD_ADD) {
            write_add_read(w, out, i, false);
        }
    }
    buf_add_text(out, "]}");
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

/* All leases that it needs: false while one is being asked for. */
static bool write_find_leases(struct etcd_client *c, const struct write *w, uint64_t *leases) {
    bool all = true;
    for (size_t i = 0; i < w->n; i++) {
        leases[i] = w->ops[i].ttl_s ? lease_get(c, w->ops[i].ttl_s) : 0;
        all = all && (w->ops[i].ttl_s == 0 || leases[i] != 0);
    }
    return all;
}

static void write_send(struct etcd_client *c, struct write *w, uint64_t now_ns) {
    uint64_t leases[ETCD_OPS_MOST];
    struct buf body = { 0 };
    uint64_t left_ms = w->deadline_ns > now_ns ? (w->deadline_ns - now_ns) / MS : 0;
    bool reading = w->has_adds && !w->read;
    if (!reading && !write_find_leases(c, w, leases)) {
        w->not_before_ns = now_ns + MS;
        if (c->leases.why[0]) {
            snprintf(w->why, sizeof(w->why), "no lease: %.250s", c->leases.why);
        }
        return;
    }
    if (reading) {
        write_add_reads(w, &body);
    } else {
        write_add_transaction(w, &body, leases);
    }
    w->at = c->unary_at;
    w->state = reading ? WRITE_READING : WRITE_SENT;
    w->call = client_call(c, w->at, "/v3/kv/txn", &body, (uint32_t)(left_ms < LEAST_MS ? LEAST_MS : left_ms),
                          reading ? write_on_read : write_on_transaction, w);
    if (!w->call) {
        write_again(w, 10 * MS);
    }
    buf_free(&body);
}

/* Why it was not sent: what went wrong with it, or else with a member. */
static const char *write_why(const struct etcd_client *c, const struct write *w) {
    const char *why = w->why;
    for (size_t i = 0; i < c->opts.address.n && !why[0]; i++) {
        why = c->endpoints[i].why;
    }
    return why[0] ? why : "no member answers";
}

/* Not sent, and not to be sent any more. */
static bool write_is_over(struct etcd_client *c, struct write *w, uint64_t now_ns) {
    if (w->awaited && !w->awaited(w->ctx)) {
        write_end_with(c, w, ETCD_LATE, "nobody waits for it any more");
        return true;
    }
    if (now_ns >= w->deadline_ns) {
        char text[sizeof(w->why) + 64];
        snprintf(text, sizeof(text), "the cluster was not reached in time: %s", write_why(c, w));
        write_end_with(c, w, ETCD_LATE, text);
        return true;
    }
    return false;
}

static void write_on_whose(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    unsigned at = c->asking.at;
    char why[300];
    c->asking.call = NULL;
    const char *wrong = endpoint_error(c, reply, why, sizeof(why));
    if (!wrong) {
        if (client_check(c, at, &c->wire.header, c->asking.known)) {
            endpoint_works(c, at);
        }
    } else if (reply->why || !login_drop_refused(c)) {
        endpoint_failed(c, at, false, "%s", wrong);
        endpoint_leave(c, at);
    }
}

/* Is the member that would get a write of the cluster that we follow? As soon as it is known which one that is. */
static void write_ask_whose(struct etcd_client *c) {
    struct wire_range r = { .key = { c->prefix_key.data, c->prefix_key.size }, .limit = 1, .count_only = true };
    struct buf body = { 0 };
    if (c->asking.call || c->cluster == 0 || !login_done(c)) {
        return;
    }
    c->asking.at = c->unary_at;
    c->asking.known = client_known(c);
    wire_add_range(&body, &r);
    c->asking.call = client_call(c, c->asking.at, "/v3/kv/range", &body, ASK_MS, write_on_whose, c);
    buf_free(&body);
}

void write_forget_asking(struct etcd_client *c) {
    if (c->asking.call) {
        etcd_http_cancel(c->http, c->asking.call);
        c->asking.call = NULL;
    }
}

uint64_t write_step(struct etcd_client *c, uint64_t now_ns) {
    uint64_t due = UINT64_MAX;
    uint32_t under_way = 0;
    for (struct write *w = c->writes; w; w = w->next) {
        under_way += w->call != NULL;
    }
    for (struct write *w = c->writes, *next; w; w = next) {
        next = w->next;
        if (w->call || write_is_over(c, w, now_ns)) {
            continue;
        }
        if (c->endpoints[c->unary_at].not_before_ns > now_ns) {
            c->unary_at = endpoint_choose(c, ETCD_ENDPOINTS);
        }
        uint64_t endpoint_ns = c->endpoints[c->unary_at].not_before_ns;
        uint64_t from = endpoint_ns > w->not_before_ns ? endpoint_ns : w->not_before_ns;
        if (from <= now_ns && under_way < AT_ONCE && login_done(c) && c->endpoints[c->unary_at].ours) {
            write_send(c, w, now_ns);
            under_way += w->call != NULL;
            from = w->not_before_ns;
        }
        if (!w->call) {
            if (from <= now_ns && !c->endpoints[c->unary_at].ours) {
                write_ask_whose(c);
            }
            from = from > now_ns ? from : now_ns + (c->endpoints[c->unary_at].ours ? MS : LOOK_NS);
            from = from < w->deadline_ns ? from : w->deadline_ns;
            due = from < due ? from : due;
        }
    }
    return due;
}
