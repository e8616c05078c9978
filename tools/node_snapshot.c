/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* snapshot_read: many keys at one index; and status. */
#include <stdlib.h>

#include "tools/node.h"
#include "tools/node_bound.h"

/* A key of the request: its text in n->key, and the name that it has in the answer. */
struct wanted {
    size_t off, size;
    uint32_t position; /* in the request */
    int again;         /* the same key stood further in front */
};

struct wanted_keys {
    struct wanted *at;
    size_t n;
};

/* The name of a key in `values`, without quotes: a string's own text, another scalar's JSON text. */
static const char *name_of(const struct node *n, const struct wanted *w, size_t *size) {
    const char *text = n->key.data + w->off;
    int quoted = text[0] == '"';
    *size = w->size - 2 * (size_t)quoted;
    return text + quoted;
}

static int compare_wanted(const void *a, const void *b, void *arg) {
    const struct wanted *x = a, *y = b;
    size_t x_size, y_size;
    const char *p = name_of(arg, x, &x_size), *q = name_of(arg, y, &y_size);
    int order = memcmp(p, q, x_size < y_size ? x_size : y_size);
    if (order == 0)
        order = (x_size > y_size) - (x_size < y_size);
    return order ? order : (x->position > y->position) - (x->position < y->position);
}

static int compare_positions(const void *a, const void *b) {
    const struct wanted *x = a, *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

/* Mark what is asked for twice. -1 where two different keys would get one name in the answer: 1 and "1". */
static int mark_repeated(struct node *n, struct wanted_keys *keys) {
    int result = 0;
    qsort_r(keys->at, keys->n, sizeof(keys->at[0]), compare_wanted, n);
    for (size_t i = 1; i < keys->n; i++) {
        size_t a_size, b_size;
        const char *a = name_of(n, &keys->at[i - 1], &a_size), *b = name_of(n, &keys->at[i], &b_size);
        keys->at[i].again = a_size == b_size && memcmp(a, b, a_size) == 0;
        if (keys->at[i].again && keys->at[i - 1].size != keys->at[i].size)
            result = -1;
    }
    qsort(keys->at, keys->n, sizeof(keys->at[0]), compare_positions);
    return result;
}

/* 0, or -1 when an error has been answered; free(keys->at) in both cases. */
static int read_keys(struct node *n, const struct request *q, struct wanted_keys *keys) {
    struct protocol *p = &n->protocol;
    uint32_t list;
    n->key.size = 0;
    if (field_any(p, q, "keys", &list) != 0)
        return -1;
    const struct json_node *array = &p->tape.nodes[list];
    if (array->kind != JSON_ARRAY) {
        protocol_error(p, q, CODE_MALFORMED, "keys must be a list of keys");
        return -1;
    }
    keys->at = calloc(array->next - list, sizeof(keys->at[0]));
    if (!keys->at) {
        node_refuse(n, q, TIDE_ERR_NOMEM, 0);
        return -1;
    }
    for (uint32_t i = list + 1; i < array->next; i = p->tape.nodes[i].next) {
        struct wanted *w = &keys->at[keys->n];
        w->off = n->key.size;
        w->position = (uint32_t)keys->n;
        if (field_key_node(p, q, "keys", i, &n->key) != 0)
            return -1;
        w->size = n->key.size - w->off;
        keys->n++;
    }
    if (mark_repeated(n, keys) != 0) {
        protocol_error(p, q, CODE_MALFORMED, "keys has a string and another scalar of the same text: ask apart");
        return -1;
    }
    return 0;
}

/* All keys at the section's index, as an object into n->value. */
static int collect_values(struct node *n, struct tide_reader *r, const struct wanted_keys *keys, int *all_found) {
    n->value.size = 0;
    *all_found = 1;
    buf_add_char(&n->value, '{');
    for (size_t i = 0; i < keys->n; i++) {
        const struct wanted *w = &keys->at[i];
        const void *value = NULL;
        size_t size, name_size;
        if (w->again)
            continue;
        int rc = tide_section_peek(r, n->key.data + w->off, w->size, &value, &size, NULL);
        if (rc != 0 && rc != TIDE_ERR_NOT_FOUND)
            return rc;
        const char *name = name_of(n, w, &name_size);
        buf_add_text(&n->value, n->value.size > 1 ? ", \"" : "\"");
        buf_add(&n->value, name, name_size);
        buf_add_text(&n->value, "\": ");
        *all_found &= rc == 0;
        buf_add(&n->value, rc == 0 ? value : "null", rc == 0 ? size : 4);
    }
    buf_add_char(&n->value, '}');
    return 0;
}

static int read_section(struct node *n, struct tide_reader *r, const struct wanted_keys *keys,
                        const struct tide_bound *bound, struct tide_answer *a, int *all_found) {
    int rc = tide_section_begin(r, bound, a);
    if (rc != 0)
        return rc;
    rc = collect_values(n, r, keys, all_found);
    tide_section_end(r);
    return rc;
}

struct snapshot {
    struct tide_bound bound;
    struct tide_answer answer;
    int prefer_follower;
    int at_leader; /* asked of the leader: by bound 0, by choice, or for want of a follower */
    int fence_ahead;
    int all_found;
};

static int read_snapshot_bound(struct node *n, const struct request *q, struct snapshot *s) {
    if (read_bound(n, q, 0, &s->bound) != 0 || read_fence(n, q, &s->bound, &s->prefer_follower) != 0)
        return -1;
    if (s->bound.min.index > 0 && json_find(&n->protocol.tape, q->body, "wait_ms") == 0)
        s->bound.wait_ns = n->opts.ryw_wait_ns;
    s->at_leader = s->bound.max_staleness_ns == 0 || !s->prefer_follower || n->n_ids == 1;
    return 0;
}

static int take_snapshot(struct node *n, const struct wanted_keys *keys, struct snapshot *s) {
    const struct tide_bound linearizable = TIDE_BOUND_INIT;
    int rc = TIDE_ERR_FENCE_AHEAD;
    if (!s->at_leader) {
        struct tide_reader *reader;
        if (s->bound.wait_ns > 0)
            node_flush(n);
        rc = node_reader_open(n, &reader);
        if (rc != 0)
            return rc;
        rc = read_section(n, reader, keys, &s->bound, &s->answer, &s->all_found);
        tide_reader_close(reader);
        s->fence_ahead = rc == TIDE_ERR_FENCE_AHEAD;
    }
    if (rc == TIDE_ERR_FENCE_AHEAD)
        rc = read_section(n, n->leader, keys, &linearizable, &s->answer, &s->all_found);
    return rc;
}

/* The reason that the client is told: it asked a follower and the leader answered, whatever the engine's view was. */
static enum tide_reason snapshot_reason(const struct snapshot *s) {
    if (s->fence_ahead)
        return TIDE_REASON_BEHIND_REDIRECTED;
    if (s->at_leader && s->prefer_follower && s->bound.max_staleness_ns == 0)
        return TIDE_REASON_REDIRECTED;
    return (enum tide_reason)s->answer.reason;
}

static void answer_snapshot(struct node *n, const struct request *q, struct snapshot *s) {
    struct protocol *p = &n->protocol;
    s->answer.reason = snapshot_reason(s);
    if (s->at_leader)
        count_read(n, (enum tide_reason)s->answer.reason);
    else
        count_bounded_read(n, (enum tide_reason)s->answer.reason);
    reply_begin(p, q, "snapshot_read_ok");
    reply_json(p, "values", n->value.data, n->value.size);
    reply_u64(p, "index", s->answer.index);
    reply_freshness(n, &s->answer, s->bound.max_staleness_ns == 0 || n->n_ids == 1);
    if (s->at_leader || s->fence_ahead)
        reply_fence_ahead(n, s->bound.min.index, s->answer.commit_index);
    reply_end(p);
}

void node_snapshot_read(struct node *n, const struct request *q) {
    struct wanted_keys keys = { 0 };
    struct snapshot s = { .bound = TIDE_BOUND_INIT, .answer = TIDE_ANSWER_INIT };
    if (read_keys(n, q, &keys) == 0 && read_snapshot_bound(n, q, &s) == 0) {
        int rc = take_snapshot(n, &keys, &s);
        if (rc != 0)
            refuse_bounded_read(n, q, rc, &s.bound, &s.answer);
        else if (refuse_missing(n, q, s.all_found) == 0)
            answer_snapshot(n, q, &s);
    }
    free(keys.at);
}

/* ---- status ---- */

static void append_field(struct buf *out, const char *name, uint64_t value) {
    buf_printf(out, ", \"%s\": %llu", name, (unsigned long long)value);
}

static void append_replica(struct node *n, uint32_t replica, struct buf *out) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    size_t size;
    const char *id = node_id_of(n, replica, &size);
    int known = tide_replica_info(n->domain, replica, &info) == 0;
    buf_add_text(out, "{\"id\": ");
    buf_add(out, id, size);
    buf_printf(out, ", \"state\": \"%s\"", tide_state_name(known ? info.state : TIDE_STATE_FREE));
    append_field(out, "applied_index", known ? info.applied_index : 0);
    append_field(out, "lag", known ? info.lag : 0);
    buf_add_text(out, ", \"staleness_ms\": ");
    append_ms(out, known ? info.staleness_ns : 0);
    buf_add_char(out, '}');
}

static void append_reads(const struct node *n, struct buf *out) {
    buf_add_char(out, '{');
    for (int i = 0; i < TIDE_REASONS; i++)
        buf_printf(out, "%s\"%s\": %llu", i ? ", " : "", tide_reason_name((enum tide_reason)i),
                   (unsigned long long)n->reads[i]);
    buf_add_char(out, '}');
}

void node_status(struct node *n, const struct request *q) {
    struct protocol *p = &n->protocol;
    struct tide_info info = TIDE_INFO_INIT;
    struct buf *text = &n->value;
    size_t id_size;
    int rc = tide_info(n->domain, &info);
    if (rc != 0) {
        node_refuse(n, q, rc, 0);
        return;
    }
    reply_begin(p, q, "status_ok");
    const char *leader = node_id_of(n, info.leader < 0 ? UINT32_MAX : (uint32_t)info.leader, &id_size);
    reply_json(p, "leader", leader, id_size);
    reply_u64(p, "term", info.term);
    reply_u64(p, "commit_index", info.commit_index);
    text->size = 0;
    for (uint32_t i = 0; i < n->n_ids; i++) {
        buf_add_text(text, i ? ", " : "[");
        append_replica(n, i, text);
    }
    buf_add_char(text, ']');
    reply_json(p, "replicas", text->data, text->size);
    text->size = 0;
    append_reads(n, text);
    reply_json(p, "reads", text->data, text->size);
    text->size = 0;
    buf_printf(text, "%.6g", n->bounded_reads ? (double)n->fallbacks / (double)n->bounded_reads : 0.0);
    reply_json(p, "fallback_ratio", text->data, text->size);
    reply_end(p);
}
