/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writer's side of lanes. */
#include <stdlib.h>

#include "engine/log/lane_notes.h"
#include "engine/table/cancel.h"
#include "engine/table/kill.h"
#include "engine/write/lane.h"
#include "engine/write/lane_codec.h"
#include "engine/write/lead.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/nap.h"
#include "shm/park.h"

#define LANE_SPINS 2000
#define LANE_ASKED_BYTES 4096u
#define LANE_RESULT_LEAST (-64) /* error numbers lie above this */
#define LANE_NAP_NS 10000000u   /* the leader may have died: look again */

#define LANE_WAIT_NAP_NS 50000u         /* while all lanes are lent; a write takes microseconds */
#define LANE_REAP_NS UINT64_C(10000000) /* all lanes were lent for so long: dead members may hold some */

/* The lane that this thread borrowed last. This core still has its lines, and other threads mostly use other lanes. */
static _Thread_local uint32_t lane_last = UINT32_MAX;

static enum lane_phase lane_phase_of(uint64_t turn) {
    return (enum lane_phase)(turn & 7);
}

/* May the lane be borrowed: no owner, and no abandoned request that the leader still works on? */
static bool lane_is_free(const struct lane *lane, uint32_t owner) {
    return owner == 0 || (owner == LANE_ORPHAN && lane_phase_of(atomic_load(&lane->turn)) != LANE_TAKEN);
}

/* Cancel a request that an earlier borrower submitted and no leader took, because the leader stepped down. Once the
 * lane is filled anew, no leader may take the old request. False: a leader took it just now. */
static bool lane_clear(struct lane *lane) {
    uint64_t turn = atomic_load(&lane->turn);
    while (lane_phase_of(turn) == LANE_SUBMITTED) {
        if (atomic_compare_exchange_strong(&lane->turn, &turn, (turn & ~UINT64_C(7)) | LANE_CANCELLED)) {
            return true;
        }
    }
    return lane_phase_of(turn) != LANE_TAKEN;
}

static bool lane_borrow(struct tide *d, uint32_t number) {
    struct lane *lane = &d->log->lanes[number];
    uint32_t owner = atomic_load(&lane->owner);
    /* MO(lane.owner): acquire (the exchange is stronger): the earlier borrower has finished with the lane. */
    if (!lane_is_free(lane, owner) || !atomic_compare_exchange_strong(&lane->owner, &owner, d->member + 1)) {
        return false;
    }
    KILL_POINT("lane.claimed");
    if (!lane_clear(lane)) {
        atomic_store(&lane->owner, LANE_ORPHAN);
        return false;
    }
    if (owner == LANE_ORPHAN) {
        segment_unlink_of(d->dir, d->name, SEGMENT_SPILL, number,
                          d->words.header.incarnation); /* the abandoned request may have had a file */
    }
    atomic_store_explicit(&lane->pid, atomic_load(&d->log->members[d->member].pid),
                          memory_order_relaxed); /* MO(stats) */
    return true;
}

/* Borrow the first free lane, beginning at the lane that this thread had last. -1: none is free. */
static int lane_find(struct tide *d) {
    static _Atomic uint32_t next;
    if (lane_last == UINT32_MAX) {
        lane_last = (d->member + atomic_fetch_add(&next, 1)) % LAYOUT_LANES;
    }
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        uint32_t number = (lane_last + i) % LAYOUT_LANES;
        if (lane_borrow(d, number)) {
            lane_last = number;
            return (int)number;
        }
    }
    return -1;
}

/* Give the lane back. late: the leader still has the request, and no thread waits for its answer. The lane becomes free
 * once the answer is there. */
static void lane_return(struct tide *d, uint32_t number, bool late) {
    /* MO(lane.owner): release; pairs with lane_borrow(): the answer was read before the next request is written. */
    atomic_store_explicit(&d->log->lanes[number].owner, late ? LANE_ORPHAN : 0, memory_order_release);
}

/* The error for a request that no leader has taken in time. */
static int lane_unheard(const struct tide *d) {
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    if (segment_is_gone(&d->segment)) {
        return TIDE_ERR_GONE;
    }
    bool led = atomic_load(&d->seq.here) || member_led_elsewhere(segment_fd(&d->segment));
    return atomic_load(&d->log->leader.leader) < 0 || !led ? TIDE_ERR_NO_LEADER : TIDE_ERR_TIMEOUT;
}

/* Borrow a lane for one request, or fail: all were lent until `until`. */
static int lane_await_free(struct tide *d, uint64_t until, uint32_t *number) {
    uint64_t reap_at = 0;
    for (;;) {
        int found = lane_find(d);
        if (found >= 0) {
            *number = (uint32_t)found;
            return 0;
        }
        uint64_t now = clock_monotonic_ns();
        if (now >= until || atomic_load(&d->closed) != 0) {
            return lane_unheard(d);
        }
        if (reap_at == 0) {
            reap_at = now + LANE_REAP_NS;
        } else if (now >= reap_at) {
            d->reap(d);
            reap_at = now + 10 * LANE_REAP_NS;
        }
        park_nap(LANE_WAIT_NAP_NS);
    }
}

/* Write a request that does not fit into a file beside the segments, which the leader reads with pread(). */
static int lane_spill(struct tide *d, uint32_t lane, const uint8_t *bytes, uint64_t size) {
    struct segment s = SEGMENT_INIT;
    int error = segment_create(&s, d->dir, d->name, SEGMENT_SPILL, lane, sizeof(struct segment_header) + size);
    if (error == 0) {
        KILL_POINT("lane.spilling");
        memcpy(s.base + sizeof(struct segment_header), bytes, size);
        error = tide_publish(d, &s, SEGMENT_SPILL, lane, segment_random());
        if (error != 0) {
            segment_discard(&s);
        } else {
            segment_detach(&s);
        }
    }
    /* A removal sweeps unfinished files away as well. */
    return error != 0 && segment_is_gone(&d->segment) ? TIDE_ERR_GONE : error;
}

static int lane_fill(struct tide *d, struct lane *lane, uint32_t number, const struct seq_request *q) {
    uint64_t bytes = lane_encoded_bytes(q);
    lane->ops = (uint32_t)q->count;
    lane->request_bytes = bytes;
    bool spilled = bytes > LAYOUT_LANE_BYTES; /* a local word: the lane itself is input */
    lane->flags = (spilled ? LANE_SPILLED : 0) | (lane_results(q) != 0 ? LANE_RESULTS : 0);
    if (!spilled) {
        /* The leader read the last request: its core has these lines. */
        for (uint64_t at = 0; at < bytes && at < LANE_ASKED_BYTES; at += LAYOUT_LINE) {
            bytes_prefetch_own(lane->request + at);
        }
        lane_encode(q, lane->request);
        return 0;
    }
    uint8_t *encoded = malloc(bytes);
    if (encoded == NULL) {
        return TIDE_ERR_NOMEM;
    }
    lane_encode(q, encoded);
    int error = lane_spill(d, number, encoded, bytes);
    free(encoded);
    return error;
}

static void lane_submit(struct tide *d, struct lane *lane, uint32_t number, uint64_t seq) {
    struct lanes_board *board = &d->log->lanes_board;
    KILL_POINT("lane.filled");
    /* MO(lane.turn): release; the request before it. The locked instruction below is the barrier for the look at `asleep`. */
    atomic_store_explicit(&lane->turn, seq << 3 | LANE_SUBMITTED, memory_order_release);
    KILL_POINT("lane.submitted");
    atomic_fetch_or(&board->ready, UINT64_C(1) << number);
    if (atomic_load(&board->asleep) != 0) {
        park_rouse_announced(&board->asleep, &board->wake, 1);
    }
}

/* Wait until the request is answered. False: timed out. */
static bool lane_await(const struct tide *d, struct lane *lane, uint64_t seq, uint64_t until) {
    uint64_t answered = seq << 3 | LANE_ANSWERED;
    for (uint32_t spins = 0;; spins++) {
        if (atomic_load(&lane->turn) == answered) {
            return true;
        }
        if (spins < LANE_SPINS) {
            park_relax();
            continue;
        }
        uint64_t now = clock_monotonic_ns();
        if (now >= until || atomic_load(&d->closed) != 0) {
            return false;
        }
        uint32_t seen = atomic_load(&lane->wake);
        atomic_store(&lane->asleep, 1);
        if (atomic_load(&lane->turn) != answered) {
            park_wait(&lane->wake, seen, until - now < LANE_NAP_NS ? until - now : LANE_NAP_NS);
        }
    }
}

/* The answer. Shared memory is input, so each word is loaded once and used only within its bounds: the caller looks up
 * the failed operation by its number, and its session will wait for the index. */
static int lane_result(const struct tide *d, const struct lane *lane, struct seq_request *q) {
    int32_t result = *(const volatile int32_t *)&lane->result;
    uint32_t failed = *(const volatile uint32_t *)&lane->failed;
    q->index = *(const volatile uint64_t *)&lane->index;
    q->found = *(const volatile uint64_t *)&lane->found;
    q->failed = failed < q->count ? failed : 0;
    bool can_be = result == 0 ? q->index <= board_commit(d->log) : result < 0 && result >= LANE_RESULT_LEAST;
    q->result = can_be ? result : TIDE_ERR_UNKNOWN;
    if (q->result == 0 && q->more != NULL) {
        lane_get_results(q, lane->request);
    }
    return q->result;
}

/* The time is out. *late: the leader has the request. */
static int lane_give_up(const struct tide *d, struct lane *lane, uint64_t seq, struct seq_request *q, bool *late) {
    uint64_t submitted = seq << 3 | LANE_SUBMITTED;
    *late = false;
    if (atomic_compare_exchange_strong(&lane->turn, &submitted, seq << 3 | LANE_CANCELLED)) {
        return lane_unheard(d);
    }
    if (submitted == (seq << 3 | LANE_ANSWERED)) { /* the answer came just in time */
        return lane_result(d, lane, q);
    }
    *late = true;
    return TIDE_ERR_UNKNOWN;
}

int lane_write(struct tide *d, struct seq_request *q) {
    if (d->read_only) {
        return TIDE_ERR_READ_ONLY;
    }
    if (lane_results(q) > LANE_RESULTS_MOST) {
        return TIDE_ERR_TOO_BIG;
    }
    CANCEL_HOLD_OFF();
    lead_settle(d); /* who made the domain and writes through a lane waits for another to lead */
    uint64_t until = clock_after(clock_monotonic_ns(), d->write_timeout_ns);
    uint32_t number = 0;
    uint64_t seq = 0;
    struct lane *lane = NULL;
    int error = TIDE_ERR_FOREIGN;
    /* Another user may have made a file with the name of this lane's: another lane's file has another name. */
    for (uint32_t tries = 0; error == TIDE_ERR_FOREIGN && tries < LAYOUT_LANES; tries++) {
        if (lane != NULL) {
            lane_return(d, number, false);
            lane_last = (number + 1) % LAYOUT_LANES;
        }
        error = lane_await_free(d, until, &number);
        if (error != 0) {
            return error;
        }
        lane = &d->log->lanes[number];
        seq = lane_seq_next(atomic_load(&lane->turn) >> 3);
        error = lane_fill(d, lane, number, q);
    }
    bool late = false;
    if (error != 0) {
        tide_log_fault(d, error);
    } else {
        lane_submit(d, lane, number, seq);
        error = lane_await(d, lane, seq, until) ? lane_result(d, lane, q) : lane_give_up(d, lane, seq, q, &late);
        KILL_POINT("lane.heard");
    }
    if (lane_encoded_bytes(q) > LAYOUT_LANE_BYTES && !late) {
        segment_unlink_of(d->dir, d->name, SEGMENT_SPILL, number, d->words.header.incarnation);
    }
    lane_return(d, number, late);
    return error;
}
