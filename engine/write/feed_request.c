/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes to a fed domain, on their way to the source and back. */
#include "engine/write/feed.h"

#include <stdlib.h>

#include "engine/replica/sized.h"
#include "engine/table/kill.h"
#include "engine/write/lane.h"

static void feed_request_free(struct tide_feed_request *q) {
    lane_work_free(&q->work);
    free(q->ops);
    free(q);
}

static void feed_count(struct tide_feed *f, int by) {
    /* MO(stats): the lock's holder alone writes it. */
    _Atomic uint64_t *open = &f->d->log->feed.writes_open;
    uint64_t n = atomic_load_explicit(open, memory_order_relaxed);
    atomic_store_explicit(open, n + (uint64_t)(int64_t)by, memory_order_relaxed); /* MO(stats) */
}

static void feed_unlink(struct tide_feed_request *q) {
    *q->at = q->next;
    if (q->next != NULL) {
        q->next->at = q->at;
    }
}

/* Answer the writer, who may be gone. */
static void feed_reply(struct tide_feed *f, struct tide_feed_request *q) {
    lane_answer(&f->d->log->lanes[q->work.number], q->work.seq, &q->q);
    feed_count(f, -1);
}

bool feed_has(struct tide_feed *f, uint32_t lane, uint64_t seq) {
    bool has = false;
    pthread_mutex_lock(&f->lock);
    for (const struct tide_feed_request *q = f->requests; q != NULL && !has; q = q->next) {
        has = !q->lost && q->work.number == lane && q->work.seq == seq;
    }
    pthread_mutex_unlock(&f->lock);
    return has;
}

void feed_answer_held(struct tide_feed *f) {
    for (struct tide_feed_request *q = f->requests, *next; q != NULL; q = next) {
        next = q->next;
        if (q->answered && q->revision <= f->revision) {
            q->q.index = f->index;
            feed_unlink(q);
            feed_reply(f, q);
            feed_request_free(q);
        }
    }
}

/* The operations in the public shape. */
static struct tide_write_op *feed_ops(const struct seq_request *q) {
    struct tide_write_op *ops = calloc(q->count, sizeof(*ops));
    for (size_t i = 0; i < q->count && ops != NULL; i++) {
        const struct tide_op *op = &q->ops[i];
        bool put = op->kind == TIDE_OP_PUT || op->kind == TIDE_OP_CAS;
        ops[i] = (struct tide_write_op){
            .size = sizeof(*ops),
            .kind = (uint32_t)op->kind,
            .flags = q->more != NULL ? q->more[i].flags : 0,
            .key = op->key,
            .key_len = op->key_len,
            .value = put ? op->value : NULL,
            .value_size = put ? op->value_size : 0,
            .expected = op->kind == TIDE_OP_CAS ? op->expected : 0,
            .ttl_ns = q->more != NULL ? q->more[i].ttl_ns : 0,
            .delta = q->more != NULL && op->kind == TIDE_OP_ADD ? q->more[i].delta : 0,
        };
    }
    return ops;
}

void feed_hand_over(struct tide_feed *f, struct tide_feed_request *q) {
    q->feed = f;
    q->ops = f->o.write != NULL ? feed_ops(&q->q) : NULL;
    bool handed = q->ops != NULL;
    pthread_mutex_lock(&f->lock);
    q->at = &f->requests;
    q->next = f->requests;
    if (q->next != NULL) {
        q->next->at = &q->next;
    }
    f->requests = q;
    feed_count(f, 1);
    if (!handed) {
        q->q.result = f->o.write == NULL ? TIDE_ERR_FED : TIDE_ERR_NOMEM;
        feed_unlink(q);
        feed_reply(f, q);
        feed_request_free(q);
    }
    pthread_mutex_unlock(&f->lock);
    if (handed) {
        KILL_POINT("feed.handed");
        const struct tide_feed_write write = { sizeof(write), q->ops, q->q.count, q };
        f->o.write(f->o.ctx, &write);
    }
}

/* The leader stops: what the source does of it nobody here will hear. */
static void feed_lose(struct tide_feed *f) {
    for (struct tide_feed_request *q = f->requests, *next; q != NULL; q = next) {
        next = q->next;
        if (q->lost) {
            continue;
        }
        q->q.result = TIDE_ERR_UNKNOWN;
        feed_reply(f, q);
        q->lost = true;
        if (q->answered) { /* the application is done with it */
            feed_unlink(q);
            feed_request_free(q);
        }
    }
}

void feed_end(struct tide_feed *f) {
    pthread_mutex_lock(&f->lock);
    f->leads = false;
    feed_lose(f);
    pthread_mutex_unlock(&f->lock);
    if (f->o.unlead != NULL) {
        f->o.unlead(f->o.ctx);
    }
}

/* Can the source have answered so? What a writer gets is an error that it can have got otherwise. */
static bool feed_answer_is_valid(const struct tide_feed_request *q, const struct tide_feed_answer *a) {
    bool no = a->result < 0 && a->result >= TIDE_ERR_REVISION;
    return (a->result == 0 && a->revision != 0) || (no && a->failed < q->q.count);
}

int tide_feed_answer(struct tide_feed_request *q, const struct tide_feed_answer *answer) {
    struct tide_feed_answer a;
    if (q == NULL || answer == NULL || !SIZED_TAKE(&a, answer, SIZED_FEED_ANSWER) || !feed_answer_is_valid(q, &a)) {
        return TIDE_ERR_INVALID;
    }
    struct tide_feed *f = q->feed;
    pthread_mutex_lock(&f->lock);
    bool lost = q->lost;
    if (!lost) {
        q->q.result = a.result;
        q->q.failed = a.failed;
        q->q.found = a.result == 0 ? a.revision : a.found;
        for (size_t i = 0; i < q->q.count && a.result == 0 && a.results != NULL && q->q.more != NULL; i++) {
            q->q.more[i].result = a.results[i];
        }
        q->revision = a.result == 0 ? a.revision : 0;
        q->answered = true;
        feed_answer_held(f); /* frees it, unless the log lacks the revision */
    } else {
        feed_unlink(q);
        feed_request_free(q);
    }
    pthread_mutex_unlock(&f->lock);
    return lost ? TIDE_ERR_NO_LEADER : 0;
}

int tide_feed_is_awaited(const struct tide_feed_request *q) {
    if (q == NULL) {
        return 0;
    }
    struct tide_feed *f = q->feed;
    pthread_mutex_lock(&f->lock);
    const struct lane *lane = &f->d->log->lanes[q->work.number];
    bool awaited = !q->lost && atomic_load(&lane->owner) != LANE_ORPHAN &&
                   atomic_load(&lane->turn) == (q->work.seq << 3 | LANE_TAKEN);
    pthread_mutex_unlock(&f->lock);
    return awaited;
}
