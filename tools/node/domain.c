/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The domain behind `tide node`: opened by init; private to the process and gone with it, or shared by several. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "tools/lib/args.h"
#include "tools/node/node.h"

#define VALUE_ROOM (64u << 10)
#define LABEL_MAX 31

static void domain_log_line(void *ctx, enum tide_log_level level, const char *text) {
    static const char *const LEVELS[] = { "error", "warning", "info" };
    (void)ctx;
    args_sayf("tide node", "%s: %s", (unsigned)level < 3 ? LEVELS[level] : "?", text);
}

static void domain_make_name(char *name, size_t size) {
    uint32_t salt;
    /* Where there is no random source the time will do: TIDE_EXCLUSIVE refuses a name that is taken. */
    if (getrandom(&salt, sizeof(salt), GRND_NONBLOCK) != (ssize_t)sizeof(salt)) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        salt = (uint32_t)now.tv_nsec;
    }
    snprintf(name, size, "node-%ld-%08x", (long)getpid(), salt);
}

static int domain_is_id(const struct buf *id, const char *name, size_t name_size) {
    struct buf quoted = { 0 };
    json_quote(&quoted, name, name_size);
    int same = quoted.size == id->size && memcmp(quoted.data, id->data, id->size) == 0;
    buf_free(&quoted);
    return same;
}

static uint64_t domain_delay_of(const struct node *n, const struct buf *id) {
    for (size_t i = 0; i < n->opts.n_delays; i++) {
        if (domain_is_id(id, n->opts.delays[i].id, n->opts.delays[i].id_size)) {
            return n->opts.delays[i].delay_ns;
        }
    }
    return 0;
}

/* A delay for an unknown name, or for the leader, has no effect: say so. */
static void domain_warn_unused_delays(const struct node *n, const struct buf *ids, size_t n_ids) {
    for (size_t d = 0; d < n->opts.n_delays; d++) {
        const struct node_delay *delay = &n->opts.delays[d];
        size_t i = 0;
        while (i < n_ids && !domain_is_id(&ids[i], delay->id, delay->id_size)) {
            i++;
        }
        if (i == n_ids || (i == 0 && !node_is_shared(n))) {
            args_sayf("tide node", "warning: --delay %.*s is not used: %s", (int)delay->id_size, delay->id,
                      i == 0 ? "the leader has no delay" : "no such name in node_ids");
        }
    }
}

static int domain_start_replica(struct node *n, const struct buf *id, size_t position) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    char label[LABEL_MAX + 1];
    size_t size = id->size - 2;
    if (size > LABEL_MAX) {
        for (size = LABEL_MAX; size > 0 && (id->data[1 + size] & 0xc0) == 0x80;) {
            size--;
        }
    }
    memcpy(label, id->data + 1, size);
    label[size] = '\0';
    opts.role = position == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
    opts.id = (int32_t)position;
    opts.label = label;
    opts.apply_delay_ns = position == 0 ? 0 : domain_delay_of(n, id);
    return tide_replica_start(n->domain, &opts, NULL);
}

static int domain_open_domain(struct node *n) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    char name[TIDE_NAME_MAX + 1];
    domain_make_name(name, sizeof(name));
    opts.flags = node_is_shared(n) ? TIDE_CREATE : TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    opts.ring_bytes = n->opts.ring_bytes;
    opts.table_bytes = n->opts.table_bytes;
    opts.log = domain_log_line;
    return tide_open(&n->domain, node_is_shared(n) ? n->opts.domain : name, &opts);
}

/* Every replica in this process, the first one leading. */
static int domain_start_all(struct node *n, const struct buf *ids, size_t n_ids) {
    struct tide_reader_opts reader = TIDE_READER_OPTS_INIT;
    int rc = 0;
    reader.replicas = 1;
    for (size_t i = 0; rc == 0 && i < n_ids; i++) {
        rc = domain_start_replica(n, &ids[i], i);
    }
    return rc != 0 ? rc : tide_reader_open(n->domain, &reader, &n->leader);
}

int node_domain_open(struct node *n, const struct buf *node_id, struct buf *ids, size_t n_ids) {
    struct tide_info info = TIDE_INFO_INIT;
    int rc = domain_open_domain(n);
    if (rc == 0) {
        rc = node_is_shared(n) ? shared_start(n, node_id, ids, n_ids, domain_delay_of(n, node_id))
                               : domain_start_all(n, ids, n_ids);
    }
    if (rc == 0) {
        rc = tide_info(n->domain, &info);
    }
    if (rc != 0) {
        node_domain_close(n);
        return rc;
    }
    /* A fed domain's fences are revisions of its source, and so is what writes answer. */
    n->incarnation = info.source[0] != 0 ? TIDE_REVISION : info.incarnation;
    n->ids = ids;
    n->n_ids = n_ids;
    domain_warn_unused_delays(n, ids, n_ids);
    return 0;
}

void node_domain_close(struct node *n) {
    if (n->leader) {
        tide_reader_close(n->leader);
    }
    if (n->domain) {
        tide_close(n->domain);
    }
    for (size_t i = 0; i < n->n_ids; i++) {
        buf_free(&n->ids[i]);
    }
    for (size_t i = 0; i < TIDE_REPLICAS; i++) {
        buf_free(&n->slots[i].id);
        n->slots[i] = (struct node_slot){ 0 };
    }
    free(n->ids);
    n->leader = NULL;
    n->domain = NULL;
    n->ids = NULL;
    n->n_ids = 0;
}

int node_is_alone(struct node *n) {
    return n->n_ids == 1 && (!node_is_shared(n) || shared_is_alone(n));
}

int node_reader_open(struct node *n, const struct node_try *t, struct tide_reader **out) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    if (node_is_shared(n)) {
        return shared_reader_open(n, t, out);
    }
    if (t->at_leader) {
        *out = n->leader;
        return 0;
    }
    uint64_t all = n->n_ids >= 64 ? UINT64_MAX : (1ull << n->n_ids) - 1;
    opts.policy = TIDE_FRESHEST;
    opts.replicas = n->n_ids > 1 ? all & ~1ull : 1;
    return tide_reader_open(n->domain, &opts, out);
}

void node_reader_close(struct node *n, struct tide_reader *r) {
    if (r != n->leader) {
        tide_reader_close(r);
    }
}

static int domain_get_once(struct node *n, struct tide_reader *r, const struct tide_bound *bound, struct tide_answer *a,
                           int *found) {
    struct tide_answer answer = TIDE_ANSWER_INIT;
    struct buf *value = &n->value;
    int rc;
    value->size = 0;
    buf_reserve(value, VALUE_ROOM);
    /* A value may grow between two tries; each makes room for what the last one saw. */
    for (;;) {
        rc = tide_get(r, n->key.data, n->key.size, bound, value->data, value->room, &answer);
        if (rc != TIDE_ERR_BUFFER || answer.value_size <= value->room) {
            break;
        }
        buf_reserve(value, answer.value_size);
    }
    *a = answer;
    if (rc != 0 && rc != TIDE_ERR_NOT_FOUND) {
        return rc;
    }
    *found = rc == 0;
    if (rc == 0) {
        n->value.size = answer.value_size;
    } else {
        buf_add_text(&n->value, "null");
    }
    return 0;
}

int node_get(struct node *n, int at_leader, const struct tide_bound *bound, struct tide_answer *a, int *found) {
    struct node_try t = { .at_leader = at_leader };
    int rc;
    do {
        struct tide_reader *reader;
        rc = node_reader_open(n, &t, &reader);
        if (rc != 0) {
            continue;
        }
        rc = domain_get_once(n, reader, bound, a, found);
        node_reader_close(n, reader);
    } while (node_try_again(n, &t, rc, a));
    return rc;
}

int node_value_json(struct node *n) {
    struct buf *raw = &n->value, *out = &n->sorted;
    if (json_tape_read(&n->stored, raw->data, raw->size) != JSON_OK) {
        return NODE_ERR_NOT_JSON;
    }
    out->size = 0;
    json_append(out, &n->stored, 0);
    struct buf swap = *raw;
    *raw = *out;
    *out = swap;
    return 0;
}
