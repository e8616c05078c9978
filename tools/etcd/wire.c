/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/etcd/wire.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/lib/args.h"
#include "tools/lib/base64.h"

void wire_free(struct wire *w) {
    json_tape_free(&w->tape);
    buf_free(&w->bytes);
    free(w->kvs);
    *w = (struct wire){ 0 };
}

/* ---- fields ------------------------------------------------------------------------------------------------------ */

/* A number, which may be a string; what is missing is 0. */
static int wire_read_u64(const struct json_tape *t, uint32_t object, const char *name, uint64_t *out) {
    uint32_t node = json_find(t, object, name);
    char digits[24];
    size_t size;
    *out = 0;
    if (node == 0) {
        return 0;
    }
    const char *text = json_text(t, node, &size);
    uint8_t kind = t->nodes[node].kind;
    if ((kind != JSON_STR && kind != JSON_NUM) || size >= sizeof(digits)) {
        return -1;
    }
    memcpy(digits, text, size);
    digits[size] = '\0';
    return args_u64(digits, 0, UINT64_MAX, out);
}

static bool wire_read_bool(const struct json_tape *t, uint32_t object, const char *name) {
    uint32_t node = json_find(t, object, name);
    return node != 0 && t->nodes[node].kind == JSON_TRUE;
}

/* The string `name`, cut where it is too long; control characters stay, since whoever prints it escapes them. */
static int wire_read_text(const struct json_tape *t, uint32_t object, const char *name, char *to, size_t to_size) {
    uint32_t node = json_find(t, object, name);
    struct buf plain = { 0 };
    size_t size;
    if (node == 0 || t->nodes[node].kind != JSON_STR) {
        return -1;
    }
    const char *text = json_text(t, node, &size);
    json_string_decode(&plain, text, size);
    snprintf(to, to_size, "%.*s", (int)plain.size, plain.data ? plain.data : "");
    buf_free(&plain);
    return 0;
}

/* wire_read() has made room for all bytes of the answer, so that nothing here moves what came before. */
static int wire_read_bytes(struct wire *w, uint32_t object, const char *name, struct wire_bytes *out) {
    uint32_t node = json_find(&w->tape, object, name);
    size_t size, before = w->bytes.size;
    *out = (struct wire_bytes){ "", 0 };
    if (node == 0) {
        return 0;
    }
    const char *text = json_text(&w->tape, node, &size);
    if (w->tape.nodes[node].kind != JSON_STR || base64_decode(&w->bytes, text, size) != 0) {
        return -1;
    }
    *out = (struct wire_bytes){ w->bytes.data + before, w->bytes.size - before };
    return 0;
}

static int wire_read_header(struct wire *w, uint32_t object) {
    uint32_t h = json_find(&w->tape, object, "header");
    return wire_read_u64(&w->tape, h, "cluster_id", &w->header.cluster) ||
           wire_read_u64(&w->tape, h, "member_id", &w->header.member) ||
           wire_read_u64(&w->tape, h, "revision", &w->header.revision) ||
           wire_read_u64(&w->tape, h, "raft_term", &w->header.term);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static int wire_read_kv(struct wire *w, uint32_t node, bool deleted) {
    if (w->n == w->room) {
        w->room = w->room ? w->room * 2 : 64;
        struct wire_kv *more = reallocarray(w->kvs, w->room, sizeof(*more));
        if (!more) {
            fputs("tide: out of memory\n", stderr);
            exit(1);
        }
        w->kvs = more;
    }
    struct wire_kv *kv = &w->kvs[w->n];
    *kv = (struct wire_kv){ .deleted = deleted };
    if (wire_read_bytes(w, node, "key", &kv->key) || wire_read_bytes(w, node, "value", &kv->value) ||
        wire_read_u64(&w->tape, node, "mod_revision", &kv->mod_revision) ||
        wire_read_u64(&w->tape, node, "create_revision", &kv->create_revision) ||
        wire_read_u64(&w->tape, node, "lease", &kv->lease) || kv->mod_revision == 0) {
        return -1;
    }
    w->n++;
    return 0;
}

static int wire_read_kvs(struct wire *w, uint32_t object) {
    const struct json_tape *t = &w->tape;
    uint32_t list = json_find(t, object, "kvs");
    if (list == 0 || t->nodes[list].kind != JSON_ARRAY) {
        return 0;
    }
    for (uint32_t i = list + 1; i < t->nodes[list].next; i = t->nodes[i].next) {
        if (wire_read_kv(w, i, false) != 0) {
            return -1;
        }
    }
    return 0;
}

static int wire_read_events(struct wire *w, uint32_t object) {
    const struct json_tape *t = &w->tape;
    uint32_t list = json_find(t, object, "events");
    if (list == 0 || t->nodes[list].kind != JSON_ARRAY) {
        return 0;
    }
    for (uint32_t i = list + 1; i < t->nodes[list].next; i = t->nodes[i].next) {
        uint32_t kv = json_find(t, i, "kv"), type = json_find(t, i, "type");
        if (kv == 0 || wire_read_kv(w, kv, type != 0 && json_is(t, type, "DELETE")) != 0) {
            return -1;
        }
    }
    return 0;
}

int wire_range_answer(struct wire *w, size_t i, struct wire_kv *out) {
    const struct json_tape *t = &w->tape;
    uint32_t list = json_find(t, 0, "responses"), node;
    if (list == 0 || t->nodes[list].kind != JSON_ARRAY) {
        return -1;
    }
    for (node = list + 1; i > 0 && node < t->nodes[list].next; i--) {
        node = t->nodes[node].next;
    }
    uint32_t range = node < t->nodes[list].next ? json_find(t, node, "response_range") : 0;
    uint32_t kvs = json_find(t, range, "kvs");
    if (range == 0) {
        return -1;
    }
    if (kvs == 0 || t->nodes[kvs].kind != JSON_ARRAY || t->nodes[kvs].next == kvs + 1) {
        return 0;
    }
    if (wire_read_kv(w, kvs + 1, false) != 0) {
        return -1;
    }
    *out = w->kvs[--w->n];
    return 1;
}

uint64_t wire_found(struct wire *w, size_t i) {
    struct wire_kv kv;
    return wire_range_answer(w, i, &kv) == 1 ? kv.mod_revision : 0;
}

/* ---- whole answers ----------------------------------------------------------------------------------------------- */

static int wire_refuse(struct wire *w, const char *why) {
    snprintf(w->text, sizeof(w->text), "%s", why);
    return -1;
}

/* Errors: {"error": "...", "code": N} of a call, {"error": {"grpc_code": N, "message": "..."}} of a stream. */
static int wire_read_error(struct wire *w, uint32_t error) {
    const struct json_tape *t = &w->tape;
    uint64_t code = 0;
    bool nested = t->nodes[error].kind == JSON_OBJECT;
    if (wire_read_u64(t, nested ? error : 0, nested ? "grpc_code" : "code", &code) != 0 || code > 99) {
        return wire_refuse(w, "its error has no code");
    }
    w->code = code == 0 ? 2 : (int)code;
    snprintf(w->text, sizeof(w->text), "an error without words");
    (void)wire_read_text(t, nested ? error : 0, nested ? "message" : "error", w->text, sizeof(w->text));
    return 0;
}

static int wire_read_answer(struct wire *w, uint32_t object) {
    const struct json_tape *t = &w->tape;
    w->more = wire_read_bool(t, object, "more");
    w->created = wire_read_bool(t, object, "created");
    w->canceled = wire_read_bool(t, object, "canceled");
    w->fragment = wire_read_bool(t, object, "fragment");
    w->succeeded = wire_read_bool(t, object, "succeeded");
    if (wire_read_header(w, object) || wire_read_u64(t, object, "count", &w->count) ||
        wire_read_u64(t, object, "ID", &w->id) || wire_read_u64(t, object, "TTL", &w->ttl) ||
        wire_read_u64(t, object, "compact_revision", &w->compact_revision)) {
        return wire_refuse(w, "a number in it is none");
    }
    if (wire_read_kvs(w, object) != 0 || wire_read_events(w, object) != 0) {
        return wire_refuse(w, "a key in it is no base64, or has no revision");
    }
    (void)wire_read_text(t, object, "cancel_reason", w->text, sizeof(w->text));
    return 0;
}

int wire_read(struct wire *w, const char *text, size_t size) {
    w->n = 0;
    w->bytes.size = 0;
    w->code = -1;
    w->text[0] = '\0';
    w->header = (struct wire_header){ 0 };
    if (json_tape_read(&w->tape, text, size) != JSON_OK) {
        return wire_refuse(w, json_fault_text(w->tape.fault));
    }
    if (w->tape.nodes[0].kind != JSON_OBJECT) {
        return wire_refuse(w, "it is no JSON object");
    }
    /* base64_decode() asks for room before it knows of the padding. */
    buf_reserve(&w->bytes, size + 16);
    uint32_t error = json_find(&w->tape, 0, "error"), result = json_find(&w->tape, 0, "result");
    return error != 0 ? wire_read_error(w, error) : wire_read_answer(w, result);
}

int wire_string(const struct wire *w, const char *name, char *to, size_t to_size) {
    return wire_read_text(&w->tape, 0, name, to, to_size);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void wire_add_name(struct buf *out, const char *name) {
    if (out->size > 0 && out->data[out->size - 1] != '{') {
        buf_add_char(out, ',');
    }
    buf_add_char(out, '"');
    buf_add_text(out, name);
    buf_add_text(out, "\":\"");
}

void wire_add_bytes(struct buf *out, const char *name, const void *bytes, size_t size) {
    wire_add_name(out, name);
    base64_encode(out, bytes, size);
    buf_add_char(out, '"');
}

void wire_add_u64(struct buf *out, const char *name, uint64_t value) {
    wire_add_name(out, name);
    buf_printf(out, "%llu\"", (unsigned long long)value);
}

void wire_add_range(struct buf *out, const struct wire_range *r) {
    buf_add_char(out, '{');
    wire_add_bytes(out, "key", r->key.data, r->key.size);
    if (r->end.size > 0) {
        wire_add_bytes(out, "range_end", r->end.data, r->end.size);
    }
    if (r->revision != 0) {
        wire_add_u64(out, "revision", r->revision);
    }
    if (r->limit != 0) {
        wire_add_u64(out, "limit", r->limit);
    }
    if (r->min_mod_revision != 0) {
        wire_add_u64(out, "min_mod_revision", r->min_mod_revision);
    }
    buf_add_text(out, r->count_only ? ",\"count_only\":true" : "");
    buf_add_text(out, r->keys_only ? ",\"keys_only\":true" : "");
    buf_add_char(out, '}');
}

void wire_add_watch(struct buf *out, const struct wire_bytes *key, const struct wire_bytes *end, uint64_t from_revision,
                    bool fragment) {
    buf_add_text(out, "{\"create_request\":{");
    wire_add_bytes(out, "key", key->data, key->size);
    wire_add_bytes(out, "range_end", end->data, end->size);
    wire_add_u64(out, "start_revision", from_revision);
    buf_add_text(out, ",\"progress_notify\":true");
    buf_add_text(out, fragment ? ",\"fragment\":true}}" : "}}");
}

void wire_prefix_range(const char *prefix, size_t size, struct buf *key, struct buf *end) {
    key->size = end->size = 0;
    buf_add(key, prefix, size);
    if (size == 0) {
        buf_add_char(key, '\0');
    }
    while (size > 0 && (unsigned char)prefix[size - 1] == 0xff) {
        size--;
    }
    buf_add(end, prefix, size);
    if (size == 0) {
        buf_add_char(end, '\0');
    } else {
        end->data[size - 1]++;
    }
}

/* To the end of a string, where the quote is not behind a backslash; `size` where the end is not there yet. */
static size_t wire_skip_string(const char *text, size_t at, size_t size) {
    while (at < size && text[at] != '"') {
        at += text[at] == '\\' ? 2 : 1;
    }
    return at;
}

size_t wire_message_end(struct wire_scan *scan, const char *text, size_t size) {
    size_t at = scan->at;
    while (at < size) {
        if (scan->in_string) {
            at = wire_skip_string(text, at, size);
            if (at >= size) {
                break;
            }
            scan->in_string = false;
        } else if (scan->depth == 0 && text[at] != '{' && memchr(" \t\r\n", text[at], 4) == NULL) {
            *scan = (struct wire_scan){ 0 };
            return at + 1;
        } else if (text[at] == '"') {
            scan->in_string = true;
        } else if (text[at] == '{') {
            scan->depth++;
        } else if (text[at] == '}') {
            if (scan->depth == 1) {
                *scan = (struct wire_scan){ 0 };
                return at + 1;
            }
            scan->depth--;
        }
        at++;
    }
    scan->at = at; /* beyond `size` where a backslash was the last byte: what it escapes is skipped when it comes */
    return 0;
}
