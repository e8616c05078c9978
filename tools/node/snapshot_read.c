/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* snapshot_read: many keys at one index. */
#include <stdlib.h>

#include "tools/node/node.h"
#include "tools/node/bound.h"

#define VALUE_ROOM (4u << 10)

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
static const char *snapshot_name_of(const struct node *n, const struct wanted *w, size_t *size) {
    const char *text = n->key.data + w->off;
    int quoted = text[0] == '"';
    *size = w->size - 2 * (size_t)quoted;
    return text + quoted;
}

static int snapshot_compare_wanted(const void *a, const void *b, void *arg) {
    const struct wanted *x = a, *y = b;
    size_t x_size, y_size;
    const char *p = snapshot_name_of(arg, x, &x_size), *q = snapshot_name_of(arg, y, &y_size);
    int order = memcmp(p, q, x_size < y_size ? x_size : y_size);
    if (order == 0) {
        order = (x_size > y_size) - (x_size < y_size);
    }
    return order ? order : (x->position > y->position) - (x->position < y->position);
}

static int snapshot_compare_positions(const void *a, const void *b) {
    const struct wanted *x = a, *y = b;
    return (x->position > y->position) - (x->position < y->position);
}

/* Mark what is asked for twice. -1 where two different keys would get one name in the answer: 1 and "1". */
static int snapshot_mark_repeated(struct node *n, struct wanted_keys *keys) {
    int result = 0;
    qsort_r(keys->at, keys->n, sizeof(keys->at[0]), snapshot_compare_wanted, n);
    for (size_t i = 1; i < keys->n; i++) {
        size_t a_size, b_size;
        const char *a = snapshot_name_of(n, &keys->at[i - 1], &a_size), *b = snapshot_name_of(n, &keys->at[i], &b_size);
        keys->at[i].again = a_size == b_size && memcmp(a, b, a_size) == 0;
        if (keys->at[i].again && keys->at[i - 1].size != keys->at[i].size) {
            result = -1;
        }
    }
    qsort(keys->at, keys->n, sizeof(keys->at[0]), snapshot_compare_positions);
    return result;
}

/* 0, or -1 when an error has been answered; free(keys->at) in both cases. */
static int snapshot_read_keys(struct node *n, const struct request *q, struct wanted_keys *keys) {
    struct protocol *p = &n->protocol;
    uint32_t list;
    n->key.size = 0;
    if (field_any(p, q, "keys", &list) != 0) {
        return -1;
    }
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
        if (field_key_node(p, q, "keys", i, &n->key) != 0) {
            return -1;
        }
        w->size = n->key.size - w->off;
        keys->n++;
    }
    if (snapshot_mark_repeated(n, keys) != 0) {
        protocol_error(p, q, CODE_MALFORMED, "keys has a string and another scalar of the same text: ask apart");
        return -1;
    }
    return 0;
}

/* One key at the section's index, as JSON into n->value: 0, TIDE_ERR_NOT_FOUND, or another error. */
static int snapshot_section_value(struct node *n, struct tide_reader *r, const char *key, size_t key_size) {
    struct buf *value = &n->value;
    size_t size;
    int rc;
    value->size = 0;
    buf_reserve(value, VALUE_ROOM);
    while ((rc = tide_section_get(r, key, key_size, value->data, value->room, &size, NULL)) == TIDE_ERR_BUFFER &&
           size > value->room) {
        buf_reserve(value, size);
    }
    if (rc != 0) {
        return rc;
    }
    value->size = size;
    return node_value_json(n);
}

/* A key that is there: what is left of its life, into n->ttls. */
static int snapshot_section_ttl(struct node *n, struct tide_reader *r, const struct wanted *w) {
    uint64_t ttl_ns;
    size_t name_size;
    int rc = tide_section_ttl(r, n->key.data + w->off, w->size, &ttl_ns);
    if (rc == 0) {
        const char *name = snapshot_name_of(n, w, &name_size);
        json_out_inner_name(&n->ttls, name, name_size);
        reply_ttl(&n->ttls, ttl_ns);
    }
    return rc;
}

static void snapshot_open_object(struct json_out *out) {
    out->text.size = 0;
    out->comma = 0;
    json_out_open(out, NULL, '{');
}

/* All keys at the section's index, as an object into n->values; their lives into n->ttls, where the request asks for them. */
static int snapshot_collect_values(struct node *n, struct tide_reader *r, const struct wanted_keys *keys,
                                   int *all_found) {
    struct json_out *out = &n->values;
    *all_found = 1;
    snapshot_open_object(out);
    snapshot_open_object(&n->ttls);
    for (size_t i = 0; i < keys->n; i++) {
        const struct wanted *w = &keys->at[i];
        size_t name_size;
        if (w->again) {
            continue;
        }
        int rc = snapshot_section_value(n, r, n->key.data + w->off, w->size);
        rc = rc == 0 && n->wants_ttl ? snapshot_section_ttl(n, r, w) : rc;
        if (rc != 0 && rc != TIDE_ERR_NOT_FOUND) {
            return rc;
        }
        const char *name = snapshot_name_of(n, w, &name_size);
        json_out_inner_name(out, name, name_size);
        *all_found &= rc == 0;
        buf_add(&out->text, rc == 0 ? n->value.data : "null", rc == 0 ? n->value.size : 4);
    }
    json_out_close(out, '}');
    json_out_close(&n->ttls, '}');
    return 0;
}

struct snapshot {
    struct tide_bound bound;
    struct tide_answer answer;
    int prefer_follower;
    int alone;
    int at_leader; /* asked of the leader: by bound 0, by choice, or for want of a follower */
    int fence_ahead;
    int all_found;
};

/* Begin again as often as needed: another process's replica may lose the section's index before all keys are read. */
static int snapshot_read_section(struct node *n, int at_leader, const struct wanted_keys *keys,
                                 const struct tide_bound *bound, struct snapshot *s) {
    struct node_try t = { .at_leader = at_leader };
    int rc;
    do {
        struct tide_reader *reader;
        rc = node_reader_open(n, &t, &reader);
        if (rc != 0) {
            continue;
        }
        rc = tide_section_begin(reader, bound, &s->answer);
        if (rc == 0) {
            rc = snapshot_collect_values(n, reader, keys, &s->all_found);
            tide_section_end(reader);
        }
        node_reader_close(n, reader);
    } while (node_try_again(n, &t, rc, &s->answer));
    return rc;
}

static int snapshot_read_snapshot_bound(struct node *n, const struct request *q, struct snapshot *s) {
    if (read_bound(n, q, 0, &s->bound) != 0 || read_fence(n, q, &s->bound, &s->prefer_follower) != 0 ||
        field_bool(&n->protocol, q, "ttl", 0, &n->wants_ttl) != 0) {
        return -1;
    }
    if (s->bound.min.index > 0 && json_find(&n->protocol.tape, q->body, "wait_ms") == 0) {
        s->bound.wait_ns = n->opts.ryw_wait_ns;
    }
    s->alone = node_is_alone(n);
    s->at_leader = s->bound.max_staleness_ns == 0 || !s->prefer_follower || s->alone;
    return 0;
}

static int snapshot_take_snapshot(struct node *n, const struct wanted_keys *keys, struct snapshot *s) {
    const struct tide_bound linearizable = TIDE_BOUND_INIT;
    int rc = TIDE_ERR_FENCE_AHEAD;
    if (!s->at_leader) {
        if (s->bound.wait_ns > 0) {
            node_flush(n);
        }
        rc = snapshot_read_section(n, 0, keys, &s->bound, s);
        s->fence_ahead = rc == TIDE_ERR_FENCE_AHEAD;
    }
    if (rc == TIDE_ERR_FENCE_AHEAD) {
        rc = snapshot_read_section(n, 1, keys, &linearizable, s);
    }
    return rc;
}

/* The reason that the client is told: it asked a follower and the leader answered, whatever the engine's view was. */
static enum tide_reason snapshot_reason(const struct snapshot *s) {
    if (s->fence_ahead) {
        return TIDE_REASON_BEHIND_REDIRECTED;
    }
    if (s->at_leader && s->prefer_follower && s->bound.max_staleness_ns == 0) {
        return TIDE_REASON_REDIRECTED;
    }
    return (enum tide_reason)s->answer.reason;
}

static void snapshot_answer_snapshot(struct node *n, const struct request *q, struct snapshot *s) {
    struct protocol *p = &n->protocol;
    s->answer.reason = snapshot_reason(s);
    if (s->at_leader) {
        count_read(n, (enum tide_reason)s->answer.reason);
    } else {
        count_bounded_read(n, (enum tide_reason)s->answer.reason);
    }
    reply_begin(p, q, "snapshot_read_ok");
    json_out_raw(&p->out, "values", n->values.text.data, n->values.text.size);
    if (n->wants_ttl) {
        json_out_raw(&p->out, "ttls_ms", n->ttls.text.data, n->ttls.text.size);
    }
    json_out_u64(&p->out, "index", s->answer.index);
    reply_freshness(n, &s->answer, s->bound.max_staleness_ns == 0 || s->alone);
    if (s->at_leader || s->fence_ahead) {
        reply_fence_ahead(n, s->bound.min.index, s->answer.commit_index);
    }
    reply_end(p);
}

void node_snapshot_read(struct node *n, const struct request *q) {
    struct wanted_keys keys = { 0 };
    struct snapshot s = { .bound = TIDE_BOUND_INIT, .answer = TIDE_ANSWER_INIT };
    if (snapshot_read_keys(n, q, &keys) == 0 && snapshot_read_snapshot_bound(n, q, &s) == 0) {
        int rc = snapshot_take_snapshot(n, &keys, &s);
        if (rc != 0) {
            refuse_bounded_read(n, q, rc, &s.bound, &s.answer);
        } else if (refuse_missing(n, q, s.all_found) == 0) {
            snapshot_answer_snapshot(n, q, &s);
        }
    }
    free(keys.at);
}
