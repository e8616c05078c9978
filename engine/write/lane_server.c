/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The leader's side of lanes: one thread of the leading process. */
#include <stdlib.h>
#include <unistd.h>

#include "engine/table/kill.h"
#include "engine/write/lane.h"
#include "engine/write/lane_codec.h"
#include "engine/replica/replica.h"
#include "engine/write/lead.h"
#include "engine/table/thread.h"
#include "engine/write/write_op.h"
#include "shm/clock.h"
#include "shm/park.h"
#include "shm/vigil.h"

#define LANE_SERVER_SPINS 500
#define LANE_FEW_BYTES 512u
#define LANE_SERVER_LOOK_NS 1000000000u /* the leader looks this often whether its segment still has its name */

struct lane_server {
    pthread_t thread;
    _Atomic uint32_t stop;
    struct vigil_hold vigil;
    /* Of the replica that led when this started: the sequencer lets its leader go before this thread has ended. */
    const struct table_segment *table;
    uint64_t look_ns; /* when to look at the segment's name again */
    bool told;        /* that it is gone */
};

/* One request, copied out of its lane: what is checked cannot change any more. */
struct lane_work {
    uint32_t number;
    uint64_t seq;
    uint8_t *bytes;
    struct tide_op *ops;
    struct seq_op *prepared;
    /* For what most requests are: one operation, and short. */
    struct tide_op op;
    struct seq_op one;
    uint8_t few[LANE_FEW_BYTES];
};

static void lane_answer(struct lane *lane, uint64_t seq, const struct seq_request *q) {
    lane->result = q->result;
    lane->index = q->index;
    lane->found = q->found;
    lane->failed = (uint32_t)q->failed;
    KILL_POINT("lane.unanswered");
    atomic_store(&lane->turn, seq << 3 | LANE_ANSWERED);
    KILL_POINT("lane.answered");
    if (atomic_load(&lane->asleep) != 0) {
        atomic_store(&lane->asleep, 0);
        atomic_fetch_add(&lane->wake, 1);
        park_wake(&lane->wake, 1);
    }
}

static void lane_work_free(struct lane_work *w) {
    if (w->bytes != w->few) {
        free(w->bytes);
        free(w->ops);
        free(w->prepared);
    }
}

static int lane_read_spilled(const struct tide *d, uint32_t number, uint8_t *to, uint64_t bytes) {
    struct segment s;
    int error = segment_attach(&s, d->name, SEGMENT_SPILL, number, false);
    if (error != 0) {
        return error;
    }
    /* By pread: its writer could truncate the file under a mapping. */
    uint64_t at = 0;
    while (at < bytes) {
        ssize_t got = pread(s.fd, to + at, bytes - at, (off_t)(sizeof(struct segment_header) + at));
        if (got <= 0) {
            break;
        }
        at += (uint64_t)got;
    }
    segment_detach(&s);
    return at == bytes ? 0 : TIDE_ERR_INVALID;
}

static int lane_copy_request(struct tide *d, struct lane_work *w, struct seq_request *q) {
    const struct lane *lane = &d->log->lanes[w->number];
    uint32_t count = lane->ops;
    uint64_t bytes = lane->request_bytes;
    bool spilled = lane->spilled != 0;
    uint64_t most = spilled ? 2 * ring_group_max(&d->ring) : LAYOUT_LANE_BYTES;
    if (count == 0 || count > WRITE_BATCH_MAX || bytes > most) {
        return TIDE_ERR_INVALID;
    }
    if (count == 1 && bytes <= LANE_FEW_BYTES) {
        w->bytes = w->few;
        w->ops = &w->op;
        w->prepared = &w->one;
    } else {
        w->bytes = malloc(bytes + 1);
        w->ops = malloc(count * sizeof(*w->ops));
        w->prepared = malloc(count * sizeof(*w->prepared));
    }
    if (w->bytes == NULL || w->ops == NULL || w->prepared == NULL) {
        return TIDE_ERR_NOMEM;
    }
    int error = 0;
    if (spilled) {
        error = lane_read_spilled(d, w->number, w->bytes, bytes);
    } else {
        memcpy(w->bytes, lane->request, bytes);
    }
    if (error == 0) {
        q->ops = w->ops;
        q->prepared = w->prepared;
        q->count = count;
        error = lane_decode(d, w->bytes, bytes, count, w->ops, w->prepared, &q->ring_bytes);
    }
    return error;
}

/* Take what is submitted in a lane. True: q is to be done; false: there is nothing, or it is answered. */
static bool lane_take(struct tide *d, uint32_t number, struct lane_work *w, struct seq_request *q) {
    struct lane *lane = &d->log->lanes[number];
    uint64_t turn = atomic_load(&lane->turn); /* MO(lane.turn): the request is there */
    enum lane_phase phase = (enum lane_phase)(turn & 7);
    if (phase != LANE_SUBMITTED && phase != LANE_TAKEN) {
        return false;
    }
    w->number = number; /* the rest, with its buffer, is not worth clearing */
    w->seq = turn >> 3;
    w->bytes = NULL;
    w->ops = NULL;
    w->prepared = NULL;
    *q = (struct seq_request){ .lane = (uint16_t)(number + 1), .lane_seq = w->seq };
    /* TAKEN: by the leader before us. We took over, so nobody else works on it. */
    if (phase == LANE_SUBMITTED && !atomic_compare_exchange_strong(&lane->turn, &turn, w->seq << 3 | LANE_TAKEN)) {
        return false;
    }
    KILL_POINT("lane.taken");
    const struct lane_done *done = &d->server->table->lanes[number];
    if (atomic_load(&done->seq) >= w->seq) { /* MO(lane.done): committed before the change of leader */
        q->index = atomic_load(&done->index);
        lane_answer(lane, w->seq, q);
        return false;
    }
    bool gone = atomic_load(&d->closed) == (uint32_t)-TIDE_ERR_GONE;
    q->result = gone ? TIDE_ERR_GONE : lane_copy_request(d, w, q);
    if (q->result != 0) {
        lane_answer(lane, w->seq, q);
        lane_work_free(w);
        return false;
    }
    return true;
}

static void lane_serve(struct tide *d, uint64_t ready) {
    struct lane_work work[LAYOUT_LANES];
    struct seq_request requests[LAYOUT_LANES];
    size_t n = 0;
    for (uint64_t bits = ready; bits != 0; bits &= bits - 1) {
        const struct lane *lane = &d->log->lanes[__builtin_ctzll(bits)];
        __builtin_prefetch(lane, 1);
        __builtin_prefetch(lane->request);
        __builtin_prefetch(lane->request + LAYOUT_LINE);
    }
    for (; ready != 0; ready &= ready - 1) {
        n += lane_take(d, (uint32_t)__builtin_ctzll(ready), &work[n], &requests[n]);
    }
    seq_submit_all(d, requests, n);
    for (size_t i = 0; i < n; i++) {
        struct lane *lane = &d->log->lanes[work[i].number];
        if (requests[i].result == TIDE_ERR_NO_LEADER) {
            /* We have just stopped leading, and it is not done: it is there for the one who follows, or to be cancelled. */
            atomic_store(&lane->turn, work[i].seq << 3 | LANE_SUBMITTED);
        } else {
            lane_answer(lane, work[i].seq, &requests[i]);
        }
        lane_work_free(&work[i]);
    }
}

/* Whoever opens the name now gets another domain: what is written here would be for nobody. */
static void lane_look(struct tide *d) {
    uint64_t now = clock_monotonic_ns();
    if (now < d->server->look_ns) {
        return;
    }
    d->server->look_ns = now + LANE_SERVER_LOOK_NS;
    const uint32_t gone = (uint32_t)-TIDE_ERR_GONE;
    uint32_t open = 0;
    if (segment_is_current(&d->segment) == 0) {
        atomic_compare_exchange_strong(&d->closed, &open, gone);
    }
    if (atomic_load(&d->closed) == gone &&
        !d->server->told) { /* engine/life/gone.h may have been faster, and tells nobody */
        d->server->told = true;
        tide_logf(d, TIDE_LOG_ERROR, "the log segment was unlinked or replaced: this domain is gone, open it again");
    }
}

static void *lane_server_run(void *arg) {
    struct tide *d = arg;
    struct lane_server *server = d->server;
    struct lanes_board *board = &d->log->lanes_board;
    vigil_begin(&server->vigil, d->log);
    atomic_store(&board->ready, UINT64_MAX); /* whatever was submitted to the leader before us */
    uint32_t spins = 0;
    while (atomic_load(&server->stop) == 0) {
        uint64_t ready = atomic_load(&board->ready) != 0 ? atomic_exchange(&board->ready, 0) : 0;
        if (ready != 0) {
            lane_look(d);
            lane_serve(d, ready);
            spins = 0;
        } else if (spins++ < LANE_SERVER_SPINS) {
            park_relax();
        } else {
            uint32_t seen = atomic_load(&board->wake);
            atomic_store(&board->asleep, 1);
            if (atomic_load(&board->ready) == 0 && !board_is_pinged(board) && atomic_load(&server->stop) == 0) {
                park_wait(&board->wake, seen, LANE_SERVER_LOOK_NS);
            }
            lane_look(d);
            spins = 0;
        }
        board_answer_pings(d->log);
        if (atomic_load(&board->step_down) != 0 && atomic_exchange(&board->step_down, 0) != 0) {
            lead_ask_step_down(d);
        }
    }
    return NULL;
}

int lane_serve_start(struct tide *d) {
    d->server = calloc(1, sizeof(*d->server));
    if (d->server != NULL) {
        d->server->table = d->seq.leader->writer.t.seg;
        d->server->look_ns = clock_monotonic_ns() + LANE_SERVER_LOOK_NS;
    }
    if (d->server == NULL || thread_start(&d->server->thread, lane_server_run, d) != 0) {
        free(d->server);
        d->server = NULL;
        return TIDE_ERR_NOMEM;
    }
    return 0;
}

void lane_serve_stop(struct tide *d) {
    if (d->server == NULL) {
        return;
    }
    atomic_store(&d->server->stop, 1);
    atomic_fetch_add(&d->log->lanes_board.wake, 1);
    park_wake(&d->log->lanes_board.wake, INT32_MAX);
    pthread_join(d->server->thread, NULL);
    free(d->server);
    d->server = NULL;
}
