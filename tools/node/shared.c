/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `tide node --domain`: one replica of a domain that other processes share. Replicas are known by their labels, which
 * are the node ids; slots and the leader change while we look, so every read finds out anew whom to ask, and believes
 * in the name of a slot only if it was the same before the read and after.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#include "tools/lib/args.h"
#include "tools/node/node.h"

#define LABEL_SIZE (sizeof(((struct node_slot *)0)->label))
#define START_NS 5000000000u       /* the next leader takes over long before that */
#define LEADER_WAIT_NS 1000000000u /* as long as a write waits for the next leader */
#define TRIES 8u
#define LOOKS 3

static uint64_t shared_now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void shared_nap(void) {
    const struct timespec ms = { 0, 1000000 };
    nanosleep(&ms, NULL);
}

/* ---- whose slot it is ---- */

void shared_note_slot(struct node *n, const struct tide_replica_info *info) {
    struct node_slot *s = &n->slots[info->id];
    if (s->pid == info->pid && s->id.size > 0 && strcmp(s->label, info->label) == 0) {
        return;
    }
    s->pid = info->pid;
    memcpy(s->label, info->label, sizeof(s->label));
    s->id.size = 0;
    json_quote(&s->id, info->label, strlen(info->label));
}

/* Does the slot still belong to the replica that it had at the last look? */
static int shared_slot_is_known(struct node *n, uint32_t slot) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    struct node_slot *s = &n->slots[slot];
    if (tide_replica_info(n->domain, slot, &info) != 0) {
        s->id.size = 0;
        return 0;
    }
    int same = s->id.size > 0 && s->pid == info.pid && strcmp(s->label, info.label) == 0;
    shared_note_slot(n, &info);
    return same;
}

static int shared_has_replica(const struct tide_replica_info *info) {
    return info->state != TIDE_STATE_STOPPED && info->state != TIDE_STATE_ORPHAN;
}

static int shared_label_is_used(struct node *n, const char *label, uint32_t but) {
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        if (i != but && tide_replica_info(n->domain, i, &info) == 0 && shared_has_replica(&info) &&
            strcmp(info.label, label) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Does another process run under this name? More than one look: a slot that is just being taken shows its last
 * owner's name for a moment. */
static int shared_label_is_taken(struct node *n, const char *label, uint32_t but) {
    for (int i = 0; i < LOOKS; i++) {
        if (i > 0) {
            shared_nap();
        }
        tide_gc(n->domain, NULL);
        if (!shared_label_is_used(n, label, but)) {
            return 0;
        }
    }
    return 1;
}

/* ---- is the domain still there ---- */

static int shared_stat_log(const struct node *n, struct stat *st) {
    char path[4096];
    const char *dir = secure_getenv("TIDE_SHM_DIR");
    snprintf(path, sizeof(path), "%s/tidemark.%s.log", dir && dir[0] ? dir : "/dev/shm", n->opts.domain);
    return stat(path, st);
}

int shared_refresh(struct node *n) {
    struct stat st;
    if (shared_stat_log(n, &st) != 0) {
        return errno == ENOENT ? TIDE_ERR_GONE : TIDE_ERR_SYSTEM;
    }
    if ((uint64_t)st.st_dev != n->log_device || (uint64_t)st.st_ino != n->log_inode) {
        return TIDE_ERR_GONE;
    }
    return tide_gc(n->domain, NULL);
}

static int shared_note_log(struct node *n) {
    struct stat st;
    if (shared_stat_log(n, &st) != 0) {
        return errno == ENOENT ? TIDE_ERR_GONE : TIDE_ERR_SYSTEM;
    }
    n->log_device = (uint64_t)st.st_dev;
    n->log_inode = (uint64_t)st.st_ino;
    return 0;
}

/* ---- joining ---- */

static int shared_make_label(const struct buf *id, char label[LABEL_SIZE]) {
    struct buf name = { 0 };
    json_string_decode(&name, id->data + 1, id->size - 2);
    int fits = name.size < LABEL_SIZE && !memchr(name.data, '\0', name.size);
    memset(label, 0, LABEL_SIZE);
    if (fits) {
        memcpy(label, name.data, name.size);
    }
    buf_free(&name);
    return fits ? 0 : NODE_ERR_LABEL;
}

static int shared_start_once(struct node *n, const char *label, uint64_t delay_ns, uint32_t *slot) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    int rc = tide_info(n->domain, &info);
    if (rc != 0) {
        return rc;
    }
    int fed = info.source[0] != 0; /* then another program leads */
    int leads = !info.led && !fed;
    opts.role = leads ? TIDE_LEADER : TIDE_FOLLOWER;
    opts.candidate = fed ? 0 : 1;
    opts.label = label;
    opts.apply_delay_ns = leads ? 0 : delay_ns;
    return tide_replica_start(n->domain, &opts, slot);
}

/* Look at the others' slots, so that the first read from a slot knows its name; and warn of replicas that node_ids lacks. */
static void shared_look_around(struct node *n, const struct buf *ids, size_t n_ids) {
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        const struct buf *id = &n->slots[i].id;
        size_t k = 0;
        shared_slot_is_known(n, i);
        if (id->size == 0) {
            continue;
        }
        while (k < n_ids && (ids[k].size != id->size || memcmp(ids[k].data, id->data, id->size) != 0)) {
            k++;
        }
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        if (k == n_ids && tide_replica_info(n->domain, i, &info) == 0 && shared_has_replica(&info)) {
            args_sayf("tide node", "warning: the domain has a replica %.*s, which is not in node_ids", (int)id->size,
                      id->data);
        }
    }
}

int shared_start(struct node *n, const struct buf *node_id, const struct buf *ids, size_t n_ids, uint64_t delay_ns) {
    char label[LABEL_SIZE];
    uint32_t slot;
    uint64_t until = shared_now_ns() + START_NS;
    int rc = shared_make_label(node_id, label);
    if (rc == 0) {
        rc = shared_note_log(n);
    }
    if (rc != 0) {
        return rc;
    }
    if (shared_label_is_taken(n, label, TIDE_REPLICAS)) {
        return NODE_ERR_TAKEN;
    }
    while ((rc = shared_start_once(n, label, delay_ns, &slot)) != 0) {
        if ((rc != TIDE_ERR_BUSY && rc != TIDE_ERR_NO_REPLICA) || shared_now_ns() >= until) {
            return rc;
        }
        shared_nap();
    }
    /* Where two nodes start at once under one name, at least one of them sees the other here. */
    if (shared_label_is_taken(n, label, slot)) {
        return NODE_ERR_TAKEN;
    }
    shared_look_around(n, ids, n_ids);
    return 0;
}

/* ---- reading ---- */

int shared_is_alone(struct node *n) {
    uint32_t serving = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        serving += tide_replica_info(n->domain, i, &info) == 0 && info.state == TIDE_STATE_SERVING;
    }
    return serving <= 1;
}

int shared_reader_open(struct node *n, const struct node_try *t, struct tide_reader **out) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    int rc = shared_refresh(n);
    if (rc == 0) {
        rc = tide_info(n->domain, &info);
    }
    if (rc != 0) {
        return rc;
    }
    if (t->at_leader && info.leader < 0) {
        return TIDE_ERR_NO_LEADER;
    }
    uint64_t leader = info.leader >= 0 ? 1ull << info.leader : 0;
    opts.policy = TIDE_FRESHEST;
    opts.replicas = t->at_leader ? leader : ~(leader | t->avoid);
    return tide_reader_open(n->domain, &opts, out);
}

/* Try again until the time is out where nobody leads or the section was lost. */
static int shared_may_wait(struct node *n, struct node_try *t) {
    uint64_t now = shared_now_ns();
    if (t->until_ns == 0) {
        t->until_ns = now + LEADER_WAIT_NS;
    }
    if (now >= t->until_ns) {
        return 0;
    }
    node_flush(n);
    shared_nap();
    return 1;
}

int node_try_again(struct node *n, struct node_try *t, int rc, struct tide_answer *a) {
    if (!node_is_shared(n)) {
        return 0;
    }
    if (rc == TIDE_ERR_NO_LEADER || rc == TIDE_ERR_LOST) {
        return shared_may_wait(n, t);
    }
    if (rc != 0) {
        return 0;
    }
    int known = shared_slot_is_known(n, a->served_by);
    int led = a->from_leader && a->reason < TIDE_REASON_REDIRECTED;
    int right = t->at_leader ? a->from_leader : !led;
    if ((!known || !right) && t->again++ < TRIES) {
        if (!right && !t->at_leader) {
            t->avoid |= 1ull << a->served_by;
        }
        t->waited_ns += a->waited_ns;
        t->waited |= a->reason == TIDE_REASON_WAITED;
        return 1;
    }
    /* The client waited for all of them. */
    a->waited_ns += t->waited_ns;
    if (t->waited && a->reason < TIDE_REASON_WAITED) {
        a->reason = TIDE_REASON_WAITED;
    }
    return 0;
}
