/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The leader's side of lanes: one thread of the leading process. */
#include <stdlib.h>
#include <unistd.h>

#include "engine/log/lane_notes.h"
#include "engine/table/kill.h"
#include "engine/write/lane.h"
#include "engine/write/feed.h"
#include "engine/write/lane_work.h"
#include "engine/replica/replica.h"
#include "engine/write/lead.h"
#include "engine/table/thread.h"
#include "engine/write/write_op.h"
#include "shm/clock.h"
#include "shm/park.h"
#include "shm/vigil.h"

#define LANE_SERVER_SPINS 500
#define LANE_SERVER_EXPIRE_NS 250000000u /* what expires is removed this often, at most */
#define LANE_SERVER_SWEEP_NS 100000u     /* removed for so long: a rest as long follows */
#define LANE_SERVER_LOOK_NS 1000000000u  /* how often the leader checks that its segment still has its name */

struct lane_server {
    pthread_t thread;
    _Atomic bool stop;
    struct vigil_hold vigil;
    /* The replica that led when this thread started: the sequencer lets its leader go before this thread has ended. */
    struct replica *leader;
    uint64_t led_from;  /* this leader wrote all log entries after this index */
    uint64_t look_ns;   /* when to check the segment's name again */
    bool told;          /* the log callback knows that the name is gone */
    uint64_t expire_ns; /* when to remove what has expired next */
    uint64_t swept_ns;  /* removed so long since the last rest */
    struct seq_sweep sweep;
};

static int lane_read_spilled(const struct tide *d, uint32_t number, uint8_t *to, uint64_t bytes) {
    struct segment s;
    int error = segment_attach(&s, d->dir, d->name, SEGMENT_SPILL, number, false);
    if (error != 0) {
        return error;
    }
    /* A member of a domain that had this name before may not know yet that it was removed, and put its request in the place of ours. */
    if (*(const volatile uint64_t *)&((const struct segment_header *)s.base)->incarnation !=
        d->words.header.incarnation) {
        segment_detach(&s);
        return TIDE_ERR_NO_DOMAIN;
    }
    /* By pread(): the file's writer could truncate it under a mapping. */
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
    /* Each word is loaded once: the borrower may change it after the checks. */
    uint32_t count = *(const volatile uint32_t *)&lane->ops;
    uint64_t bytes = *(const volatile uint64_t *)&lane->request_bytes;
    bool spilled = (*(const volatile uint32_t *)&lane->flags & LANE_SPILLED) != 0;
    uint64_t most = spilled ? 2 * ring_group_max(&d->ring) : LAYOUT_LANE_BYTES;
    if (count == 0 || count > WRITE_BATCH_MAX || bytes > most) {
        return TIDE_ERR_INVALID;
    }
    bool one = count == 1 && bytes <= LANE_FEW_BYTES;
    w->bytes = one ? w->few : malloc(bytes + 1);
    if (w->bytes == NULL) {
        return TIDE_ERR_NOMEM;
    }
    if (!spilled) {
        memcpy(w->bytes, lane->request, bytes);
    }
    int error = spilled ? lane_read_spilled(d, w->number, w->bytes, bytes) : 0;
    bool more = error == 0 && lane_wants_more(d, w->bytes, bytes, count);
    w->d.count = count;
    w->d.ops = one ? &w->op : malloc(count * sizeof(*w->d.ops));
    w->d.prepared = one ? &w->one : malloc(count * sizeof(*w->d.prepared));
    w->d.more = !more ? NULL : one ? &w->more : malloc(count * sizeof(*w->d.more));
    if (w->d.ops == NULL || w->d.prepared == NULL || (more && w->d.more == NULL)) {
        return TIDE_ERR_NOMEM;
    }
    error = error == 0 ? lane_decode(d, w->bytes, bytes, &w->d) : error;
    if (error == 0) {
        q->ops = w->d.ops;
        q->prepared = w->d.prepared;
        q->more = w->d.more;
        q->count = count;
        q->ring_bytes = w->d.ring_bytes;
        error = more ? write_link(d, q) : 0;
    }
    return error;
}

/* Take a lane's submitted request. True: do q. False: there is none, or it is answered already. */
static bool lane_take(struct tide *d, uint32_t number, struct lane_work *w, struct seq_request *q) {
    struct lane *lane = &d->log->lanes[number];
    uint64_t turn = atomic_load(&lane->turn); /* MO(lane.turn): the request is there */
    enum lane_phase phase = (enum lane_phase)(turn & 7);
    if (phase != LANE_SUBMITTED && phase != LANE_TAKEN) {
        return false;
    }
    w->number = number; /* set fields one by one: clearing the buffer would cost time */
    w->seq = turn >> 3;
    w->bytes = NULL;
    w->d = (struct lane_decoded){ 0 };
    *q = (struct seq_request){ .lane = (uint16_t)(number + 1), .lane_seq = w->seq };
    if (__builtin_expect(d->fed && phase == LANE_TAKEN, 0)) {
        if (!feed_has(d->feed, number, w->seq)) {
            q->result = TIDE_ERR_UNKNOWN; /* an earlier leader had handed it to the source */
            lane_answer(lane, w->seq, q);
        }
        return false;
    }
    const struct lane_done *done = &d->server->leader->done[number];
    uint64_t last = atomic_load(&done->seq); /* MO(lane.done): committed before the change of leader */
    /* Whatever was done was taken before, and stays taken until it is answered. So a number that was used already, of a
     * request that nobody has taken, is a word that somebody changed. */
    bool changed = w->seq == 0 || last > w->seq || (last == w->seq && phase == LANE_SUBMITTED);
    /* TAKEN: an earlier leader took it. We have taken over, so no other process works on it. */
    if (phase == LANE_SUBMITTED && !atomic_compare_exchange_strong(&lane->turn, &turn, w->seq << 3 | LANE_TAKEN)) {
        return false;
    }
    KILL_POINT("lane.taken");
    if (changed || last == w->seq) {
        q->index = atomic_load(&done->index);
        /* This leader has answered every request that it did. */
        if (changed || q->index > d->server->led_from) {
            lane_note_fall(d->server->leader, number, w->seq);
            q->result = TIDE_ERR_UNKNOWN; /* not done by us; an earlier leader may have done it */
        } else if ((*(const volatile uint32_t *)&lane->flags & LANE_RESULTS) != 0) {
            q->result = TIDE_ERR_UNKNOWN; /* an earlier leader has done it, and the result is lost */
        }
        lane_answer(lane, w->seq, q);
        return false;
    }
    bool gone = atomic_load(&d->closed) == (uint32_t)-TIDE_ERR_GONE;
    q->result = gone ? TIDE_ERR_GONE : lane_copy_request(d, w, q);
    if (q->result == TIDE_ERR_NO_DOMAIN) {
        /* Its file was removed or replaced. TIMEOUT says that the request is certainly not done. */
        q->result = segment_is_gone(&d->segment) ? TIDE_ERR_GONE : TIDE_ERR_TIMEOUT;
    }
    if (q->result != 0) {
        lane_answer(lane, w->seq, q);
        lane_work_free(w);
        return false;
    }
    return true;
}

/* Hand the requests of a fed domain to its source. */
static void lane_hand_over(struct tide *d, uint64_t ready) {
    for (; ready != 0; ready &= ready - 1) {
        struct tide_feed_request *q = malloc(sizeof(*q));
        if (q == NULL) {
            atomic_fetch_or(&d->log->lanes_board.ready, ready); /* again later */
            return;
        }
        *q = (struct tide_feed_request){ 0 };
        if (lane_take(d, (uint32_t)__builtin_ctzll(ready), &q->work, &q->q)) {
            feed_hand_over(d->feed, q);
        } else {
            free(q);
        }
    }
}

static void lane_serve(struct tide *d, uint64_t ready) {
    if (__builtin_expect(d->fed, 0)) {
        lane_hand_over(d, ready);
        return;
    }
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
            /* We have just stopped leading and did not do the request. Leave it to the next leader, or to its writer,
             * who may cancel it. */
            atomic_store(&lane->turn, work[i].seq << 3 | LANE_SUBMITTED);
        } else {
            lane_answer(lane, work[i].seq, &requests[i]);
        }
        lane_work_free(&work[i]);
    }
}

/* Close the domain if its name is gone: a process that opens the name now gets another domain, so no new reader would
 * see what is written here. */
static void lane_look(struct tide *d) {
    uint64_t now = clock_monotonic_ns();
    if (now < d->server->look_ns) {
        return;
    }
    d->server->look_ns = now + LANE_SERVER_LOOK_NS;
    seq_mend(d);
    lead_look_at_descriptor(d);
    const uint32_t gone = (uint32_t)-TIDE_ERR_GONE;
    uint32_t open = 0;
    if (segment_is_gone(&d->segment)) {
        atomic_compare_exchange_strong(&d->closed, &open, gone);
    }
    if (atomic_load(&d->closed) == gone &&
        !d->server->told) { /* engine/life/gone.h may have closed it first, and does not log */
        d->server->told = true;
        tide_logf(d, TIDE_LOG_ERROR, "the log segment was unlinked or replaced: this domain is gone, open it again");
    }
}

/* Has something that expires soon been put since the sweep said that nothing does? */
static bool lane_is_alarmed(const struct tide *d) {
    /* While the sweep is posted, `armed` is another thread's to write. */
    const struct seq_sweep *sweep = &d->server->sweep;
    return !sweep->posted && sweep->armed && atomic_load(&d->seq.alarm) == 0;
}

/*
 * There is more to remove: for how long does this thread rest before? A million keys may expire at once. Removing them without a rest takes a
 * processor for all the while, and followers and watchers, who hear of each removal, one more each: whoever then waits for a processor falls
 * behind by the scheduler's slices, with all entries of that time.
 */
static uint64_t lane_rest(struct lane_server *server, uint64_t took_ns) {
    server->swept_ns += took_ns;
    if (server->swept_ns < LANE_SERVER_SWEEP_NS) {
        return 0;
    }
    uint64_t rest = server->swept_ns < LANE_SERVER_EXPIRE_NS ? server->swept_ns : LANE_SERVER_EXPIRE_NS;
    server->swept_ns = 0;
    return rest;
}

/* If it is time, remove some of what has expired. Returns for how long the thread may sleep: 0, there is more to remove. */
static uint64_t lane_expire(struct tide *d) {
    struct lane_server *server = d->server;
    uint64_t now = clock_monotonic_ns();
    if (now >= server->expire_ns || lane_is_alarmed(d)) {
        uint64_t left = seq_expire(d, &server->sweep);
        left = left < LANE_SERVER_LOOK_NS ? left : LANE_SERVER_LOOK_NS;
        bool soon = left == 0 || server->sweep.posted;
        left = soon || left > LANE_SERVER_EXPIRE_NS ? left : LANE_SERVER_EXPIRE_NS;
        if (left == 0) {
            uint64_t after = clock_monotonic_ns();
            left = lane_rest(server, after - now);
            now = after;
        }
        server->expire_ns = now + left;
    }
    return server->expire_ns > now ? server->expire_ns - now : 0;
}

static void *lane_server_run(void *arg) {
    struct tide *d = arg;
    struct lane_server *server = d->server;
    struct lanes_board *board = &d->log->lanes_board;
    vigil_begin(&server->vigil, d->log);
    if (d->fed) {
        feed_tell_lead(d->feed, atomic_load(&d->log->leader.term));
    }
    atomic_store(&board->ready,
                 UINT64_MAX); /* look at every lane: requests may have been submitted to an earlier leader */
    uint32_t spins = 0;
    bool handed_over = false;
    while (!atomic_load(&server->stop)) {
        if (__builtin_expect(d->fed, 0) && feed_is_wished(d->feed)) {
            feed_tell_wish(d->feed);
        }
        uint64_t ready = atomic_load(&board->ready) != 0 ? atomic_exchange(&board->ready, 0) : 0;
        if (ready != 0) {
            lane_look(d);
            lane_serve(d, ready);
            lane_expire(d);
            spins = 0;
        } else if (spins++ < LANE_SERVER_SPINS) {
            park_relax();
        } else {
            uint64_t rest = lane_expire(d);
            uint32_t seen = atomic_load(&board->wake);
            atomic_store(&board->asleep, rest != 0);
            if (rest != 0 && atomic_load(&board->ready) == 0 && !board_is_pinged(board) &&
                !atomic_load(&server->stop) && !lane_is_alarmed(d) && !(d->fed && feed_is_wished(d->feed))) {
                park_wait(&board->wake, seen, rest);
            }
            lane_look(d);
            spins = rest != 0 ? 0 : LANE_SERVER_SPINS;
        }
        if (!handed_over && atomic_load(&server->leader->damaged)) {
            handed_over = true;
            /* Without effect if no steward runs (this replica is no candidate): writes are refused then. */
            lead_ask_step_down(d);
        }
        board_answer_pings(d->log);
        if (atomic_load(&board->step_down) != 0 && atomic_exchange(&board->step_down, 0) != 0) {
            lead_ask_step_down(d);
        }
    }
    seq_end_sweep(d, &server->sweep);
    if (d->fed) {
        feed_end(d->feed);
    }
    return NULL;
}

int lane_serve_start(struct tide *d) {
    d->server = calloc(1, sizeof(*d->server));
    if (d->server != NULL) {
        d->server->leader = d->seq.leader;
        d->server->led_from = board_commit(d->log);
        d->server->sweep.longest_ns = LANE_SERVER_LOOK_NS;
        d->server->look_ns = clock_monotonic_ns() + LANE_SERVER_LOOK_NS;
    }
    if (d->fed) {
        feed_begin(d->feed, d->seq.leader);
    }
    if (d->server == NULL || thread_start(&d->server->thread, lane_server_run, d) != 0) {
        if (d->fed) {
            feed_end(d->feed);
        }
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
    atomic_store(&d->server->stop, true);
    park_rouse(&d->log->lanes_board.wake, INT32_MAX);
    pthread_join(d->server->thread, NULL);
    free(d->server);
    d->server = NULL;
}
