/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The domain behind `tide node`: opened by init, private to the process, gone with it. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "tools/args.h"
#include "tools/node.h"

#define VALUE_ROOM (64u << 10)
#define LABEL_MAX 31

static void log_line(void *ctx, enum tide_log_level level, const char *text) {
    static const char *const LEVELS[] = { "error", "warning", "info" };
    (void)ctx;
    fprintf(stderr, "tide node: %s: %s\n", (unsigned)level < 3 ? LEVELS[level] : "?", text);
}

static void make_name(char *name, size_t size) {
    uint32_t salt;
    /* Where there is no random source the time will do: TIDE_EXCLUSIVE refuses a name that is taken. */
    if (getrandom(&salt, sizeof(salt), GRND_NONBLOCK) != (ssize_t)sizeof(salt)) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        salt = (uint32_t)now.tv_nsec;
    }
    snprintf(name, size, "node-%ld-%08x", (long)getpid(), salt);
}

static int is_id(const struct buf *id, const char *name, size_t name_size) {
    struct buf quoted = { 0 };
    json_quote(&quoted, name, name_size);
    int same = quoted.size == id->size && memcmp(quoted.data, id->data, id->size) == 0;
    buf_free(&quoted);
    return same;
}

static uint64_t delay_of(const struct node *n, const struct buf *id) {
    for (size_t i = 0; i < n->opts.n_delays; i++)
        if (is_id(id, n->opts.delays[i].id, n->opts.delays[i].id_size))
            return n->opts.delays[i].delay_ns;
    return 0;
}

/* A delay for a name that is not there, or for the leader, changes nothing; better said than wondered about. */
static void warn_unused_delays(const struct node *n, const struct buf *ids, size_t n_ids) {
    for (size_t d = 0; d < n->opts.n_delays; d++) {
        const struct node_delay *delay = &n->opts.delays[d];
        size_t i = 0;
        while (i < n_ids && !is_id(&ids[i], delay->id, delay->id_size))
            i++;
        if (i == 0 || i == n_ids)
            fprintf(stderr, "tide node: warning: --delay %.*s is not used: %s\n", (int)delay->id_size, delay->id,
                    i == 0 ? "the leader has no delay" : "no such name in node_ids");
    }
}

static int start_replica(struct node *n, const struct buf *id, size_t position) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    char label[LABEL_MAX + 1];
    size_t size = id->size - 2;
    if (size > LABEL_MAX)
        for (size = LABEL_MAX; size > 0 && (id->data[1 + size] & 0xc0) == 0x80;)
            size--;
    memcpy(label, id->data + 1, size);
    label[size] = '\0';
    opts.role = position == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
    opts.id = (int32_t)position;
    opts.label = label;
    opts.apply_delay_ns = position == 0 ? 0 : delay_of(n, id);
    return tide_replica_start(n->domain, &opts, NULL);
}

static int open_domain(struct node *n) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    char name[TIDE_NAME_MAX + 1];
    make_name(name, sizeof(name));
    opts.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    opts.ring_bytes = n->opts.ring_bytes;
    opts.table_bytes = n->opts.table_bytes;
    opts.log = log_line;
    return tide_open(&n->domain, name, &opts);
}

int node_domain_open(struct node *n, struct buf *ids, size_t n_ids) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_reader_opts reader = TIDE_READER_OPTS_INIT;
    reader.replicas = 1;
    int rc = open_domain(n);
    for (size_t i = 0; rc == 0 && i < n_ids; i++)
        rc = start_replica(n, &ids[i], i);
    if (rc == 0)
        rc = tide_reader_open(n->domain, &reader, &n->leader);
    if (rc == 0)
        rc = tide_info(n->domain, &info);
    if (rc != 0) {
        node_domain_close(n);
        return rc;
    }
    n->incarnation = info.incarnation;
    n->ids = ids;
    n->n_ids = n_ids;
    warn_unused_delays(n, ids, n_ids);
    return 0;
}

void node_domain_close(struct node *n) {
    if (n->leader)
        tide_reader_close(n->leader);
    if (n->domain)
        tide_close(n->domain);
    for (size_t i = 0; i < n->n_ids; i++)
        buf_free(&n->ids[i]);
    free(n->ids);
    n->leader = NULL;
    n->domain = NULL;
    n->ids = NULL;
    n->n_ids = 0;
}

int node_reader_open(struct node *n, struct tide_reader **out) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    uint64_t all = n->n_ids >= 64 ? UINT64_MAX : (1ull << n->n_ids) - 1;
    opts.policy = TIDE_FRESHEST;
    opts.replicas = n->n_ids > 1 ? all & ~1ull : 1;
    return tide_reader_open(n->domain, &opts, out);
}

int node_get(struct node *n, struct tide_reader *r, const struct tide_bound *bound, struct tide_answer *a, int *found) {
    struct tide_answer answer = TIDE_ANSWER_INIT;
    struct buf *value = &n->value;
    int rc;
    value->size = 0;
    buf_reserve(value, VALUE_ROOM);
    /* A value may grow between two tries; each makes room for what the last one saw. */
    for (;;) {
        rc = tide_get(r, n->key.data, n->key.size, bound, value->data, value->room, &answer);
        if (rc != TIDE_ERR_BUFFER || answer.value_size <= value->room)
            break;
        buf_reserve(value, answer.value_size);
    }
    *a = answer;
    if (rc != 0 && rc != TIDE_ERR_NOT_FOUND)
        return rc;
    *found = rc == 0;
    if (rc == 0)
        n->value.size = answer.value_size;
    else
        buf_add_text(&n->value, "null");
    return 0;
}

enum protocol_code node_error_code(int error, int is_write) {
    switch (error) {
    case TIDE_ERR_TOO_BIG:
        return CODE_MALFORMED;
    case TIDE_ERR_UNKNOWN:
        return CODE_TIMEOUT;
    case TIDE_ERR_NOMEM:
    case TIDE_ERR_NO_SPACE:
    case TIDE_ERR_FULL:
    case TIDE_ERR_SLOTS:
    case TIDE_ERR_REFUSED:
    case TIDE_ERR_NO_LEADER:
    case TIDE_ERR_NO_REPLICA:
    case TIDE_ERR_BUSY:
    case TIDE_ERR_CLOSED:
        return CODE_UNAVAILABLE;
    case TIDE_ERR_TIMEOUT:
        return is_write ? CODE_TIMEOUT : CODE_UNAVAILABLE;
    default:
        return CODE_CRASH;
    }
}
