/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* init and the writes. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/node/node.h"

/* Other writers may change the key again and again. After so many tries the cas is refused, so that later requests need
 * not wait for it. */
#define CAS_TRIES 64

/* ---- init ---- */

static void ops_free_ids(struct buf *ids, size_t n_ids) {
    for (size_t i = 0; i < n_ids; i++) {
        buf_free(&ids[i]);
    }
    free(ids);
}

static int ops_same_text(const struct buf *a, const struct buf *b) {
    return a->size == b->size && memcmp(a->data, b->data, a->size) == 0;
}

static int ops_has_id(const struct buf *ids, size_t n_ids, const struct buf *id) {
    for (size_t i = 0; i < n_ids; i++) {
        if (ops_same_text(&ids[i], id)) {
            return 1;
        }
    }
    return 0;
}

/* The names into ids, which has room for TIDE_REPLICAS; how many, or -1 where the list is not as it must be. */
static int ops_collect_ids(const struct json_tape *t, uint32_t list, struct buf *ids) {
    int count = 0;
    if (t->nodes[list].kind != JSON_ARRAY) {
        return -1;
    }
    for (uint32_t i = list + 1; i < t->nodes[list].next; i = t->nodes[i].next) {
        size_t size;
        json_text(t, i, &size);
        if (count == (int)TIDE_REPLICAS || t->nodes[i].kind != JSON_STR || size == 0) {
            return -1;
        }
        json_append(&ids[count], t, i);
        count++;
        if (ops_has_id(ids, (size_t)count - 1, &ids[count - 1])) {
            return -1;
        }
    }
    return count > 0 ? count : -1;
}

/* Reads node_id into n->other and node_ids into *out (the caller's to free): their number, or -1 when answered. */
static int ops_read_init(struct node *n, const struct request *q, struct buf **out) {
    uint32_t list;
    struct protocol *p = &n->protocol;
    if (field_string(p, q, "node_id", &n->other) != 0 || field_any(p, q, "node_ids", &list) != 0) {
        return -1;
    }
    struct buf *ids = calloc(TIDE_REPLICAS, sizeof(ids[0]));
    int count = ids ? ops_collect_ids(&p->tape, list, ids) : -1;
    if (count > 0 && ops_has_id(ids, (size_t)count, &n->other)) {
        *out = ids;
        return count;
    }
    if (ids) {
        ops_free_ids(ids, TIDE_REPLICAS);
    }
    protocol_error(p, q, CODE_MALFORMED, "%s",
                   count > 0 ? "node_id must be one of node_ids"
                             : "node_ids must be a list of 1 to 64 different strings, none empty");
    return -1;
}

static int ops_same_init(const struct node *n, const struct buf *ids, size_t n_ids) {
    int same = n_ids == n->n_ids && ops_same_text(&n->protocol.node_id, &n->other);
    for (size_t i = 0; same && i < n_ids; i++) {
        same = ops_same_text(&ids[i], &n->ids[i]);
    }
    return same;
}

void node_init(struct node *n, const struct request *q) {
    struct protocol *p = &n->protocol;
    struct buf *ids;
    int count = ops_read_init(n, q, &ids);
    if (count < 0) {
        return;
    }
    if (n->domain && !ops_same_init(n, ids, (size_t)count)) {
        protocol_error(p, q, CODE_PRECONDITION, "initialised before, with another node_id or other node_ids");
    } else {
        int rc = 0;
        if (!n->domain) {
            rc = node_domain_open(n, &n->other, ids, (size_t)count);
            if (rc == 0) {
                ids = NULL;
                buf_add(&p->node_id, n->other.data, n->other.size);
            }
        }
        if (rc != 0) {
            node_refuse(n, q, rc, 0);
        } else {
            reply_begin(p, q, "init_ok");
            reply_end(p);
        }
    }
    if (ids) {
        ops_free_ids(ids, TIDE_REPLICAS);
    }
}

/* ---- writes ---- */

static void ops_answer_write(struct node *n, const struct request *q, const char *type, int rc,
                             const struct tide_token *token) {
    if (rc != 0) {
        node_refuse(n, q, rc, 1);
        return;
    }
    reply_begin(&n->protocol, q, type);
    json_out_u64(&n->protocol.out, "commit_index", token->index);
    reply_end(&n->protocol);
}

void node_write(struct node *n, const struct request *q) {
    struct tide_token token;
    struct tide_put_opts opts = TIDE_PUT_OPTS_INIT;
    uint32_t node;
    if (field_key(&n->protocol, q, &n->key) != 0 || field_value(&n->protocol, q, "value", &node, &n->value) != 0 ||
        field_ttl(&n->protocol, q, &opts.ttl_ns) != 0) {
        return;
    }
    int rc = tide_put_with(n->domain, NULL, n->key.data, n->key.size, n->value.data, n->value.size, &opts, &token);
    ops_answer_write(n, q, "write_ok", rc, &token);
}

void node_delete(struct node *n, const struct request *q) {
    struct tide_token token;
    if (field_key(&n->protocol, q, &n->key) != 0) {
        return;
    }
    int rc = tide_delete(n->domain, NULL, n->key.data, n->key.size, &token);
    ops_answer_write(n, q, "delete_ok", rc, &token);
}

void node_touch(struct node *n, const struct request *q) {
    struct tide_token token;
    uint64_t ttl_ns;
    if (field_key(&n->protocol, q, &n->key) != 0 || field_ttl(&n->protocol, q, &ttl_ns) != 0) {
        return;
    }
    int rc = tide_touch(n->domain, NULL, n->key.data, n->key.size, ttl_ns, &token);
    if (rc == TIDE_ERR_NOT_FOUND) {
        protocol_error(&n->protocol, q, CODE_NO_KEY, "there is no such key");
        return;
    }
    ops_answer_write(n, q, "touch_ok", rc, &token);
}

void node_incr(struct node *n, const struct request *q) {
    struct protocol *p = &n->protocol;
    struct tide_put_opts opts = TIDE_PUT_OPTS_INIT;
    struct tide_token token;
    int64_t delta, sum;
    if (field_key(p, q, &n->key) != 0 || field_delta(p, q, "delta", 1, &delta) != 0 ||
        field_ttl(p, q, &opts.ttl_ns) != 0) {
        return;
    }
    int rc = tide_add(n->domain, NULL, n->key.data, n->key.size, delta, &opts, &token, &sum);
    if (rc != 0) {
        node_refuse(n, q, rc, 1);
        return;
    }
    reply_begin(p, q, "incr_ok");
    json_out_i64(&p->out, "value", sum);
    json_out_u64(&p->out, "commit_index", token.index);
    reply_end(p);
}

/* Is the stored value, in n->value, equal to the one whose canonical text is in n->sorted? Order of members and
 * spelling of numbers do not count. */
static int ops_stored_equals(struct node *n) {
    if (json_tape_read(&n->stored, n->value.data, n->value.size) != JSON_OK) {
        return 0;
    }
    n->other_sorted.size = 0;
    json_append_canonical(&n->other_sorted, &n->stored, 0);
    return ops_same_text(&n->sorted, &n->other_sorted);
}

/* One try: 0 done, 1 answered with an error, TIDE_ERR_MISMATCH when another writer came between, or another error. */
static int ops_try_cas(struct node *n, const struct request *q, int create, const struct tide_put_opts *opts,
                       struct tide_token *token) {
    const struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_answer a;
    int found;
    int rc = node_get(n, 1, &bound, &a, &found);
    if (rc != 0) {
        /* Nothing has been written yet, so the code must be a definite one, whatever the read answered. */
        protocol_error(&n->protocol, q, CODE_UNAVAILABLE, "%s", tide_strerror(rc));
        return 1;
    }
    if (!found && !create) {
        protocol_error(&n->protocol, q, CODE_NO_KEY, "there is no such key");
        return 1;
    }
    if (found && !ops_stored_equals(n)) {
        protocol_error(&n->protocol, q, CODE_PRECONDITION, "the value is not the one in from");
        return 1;
    }
    return tide_cas_with(n->domain, NULL, n->key.data, n->key.size, found ? a.version : 0, n->other.data, n->other.size,
                         opts, token, NULL);
}

void node_cas(struct node *n, const struct request *q) {
    struct protocol *p = &n->protocol;
    struct tide_put_opts opts = TIDE_PUT_OPTS_INIT;
    struct tide_token token;
    uint32_t from, to;
    int create, rc = TIDE_ERR_MISMATCH;
    if (field_key(p, q, &n->key) != 0 || field_value(p, q, "from", &from, &n->other) != 0 ||
        field_value(p, q, "to", &to, &n->other) != 0 || field_bool(p, q, "create_if_not_exists", 0, &create) != 0 ||
        field_ttl(p, q, &opts.ttl_ns) != 0) {
        return;
    }
    n->sorted.size = 0;
    json_append_canonical(&n->sorted, &p->tape, from);
    for (int i = 0; i < CAS_TRIES && rc == TIDE_ERR_MISMATCH; i++) {
        rc = ops_try_cas(n, q, create, &opts, &token);
    }
    if (rc == 1) {
        return;
    }
    if (rc == TIDE_ERR_MISMATCH) {
        protocol_error(p, q, CODE_UNAVAILABLE, "others changed the key %d times meanwhile; try again", CAS_TRIES);
    } else {
        ops_answer_write(n, q, "cas_ok", rc, &token);
    }
}
