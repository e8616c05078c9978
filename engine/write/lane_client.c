/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writer's side of lanes. */
#include <stdlib.h>
#include <unistd.h>

#include "engine/log/lane_notes.h"
#include "engine/table/kill.h"
#include "engine/write/lane.h"
#include "engine/write/lane_codec.h"
#include "shm/clock.h"
#include "shm/nap.h"
#include "shm/park.h"

#define LANE_SPINS 2000
#define LANE_NAP_NS 10000000u /* the leader may have died: look again */

/* The lanes of this process. A lane whose request was given up while the leader had it is `late` until it is answered. */
struct lane_pool {
    pthread_mutex_t lock;
    uint32_t count;
    struct lane_mine {
        uint32_t lane;
        bool busy;
        bool late;
    } mine[LAYOUT_LANES];
};

int lane_pool_create(struct tide *d) {
    d->lanes = calloc(1, sizeof(*d->lanes));
    if (d->lanes == NULL) {
        return TIDE_ERR_NOMEM;
    }
    pthread_mutex_init(&d->lanes->lock, NULL);
    return 0;
}

static enum lane_phase lane_phase_of(uint64_t turn) {
    return (enum lane_phase)(turn & 7);
}

void lane_pool_destroy(struct tide *d) {
    struct lane_pool *pool = d->lanes;
    for (uint32_t i = 0; i < pool->count; i++) {
        lane_leave(d, pool->mine[i].lane);
    }
    pthread_mutex_destroy(&pool->lock);
    free(pool);
    d->lanes = NULL;
}

/* Nobody's, and no request of a dead one is under way. */
static bool lane_is_free(const struct lane *lane, uint32_t owner) {
    return owner == 0 || (owner == LANE_ORPHAN && lane_phase_of(atomic_load(&lane->turn)) != LANE_TAKEN);
}

/* What a dead owner had submitted and nobody has taken (its leader stepped down) must not be taken any more once the lane is filled
 * anew. False: it was taken just now. */
static bool lane_clear(struct lane *lane) {
    uint64_t turn = atomic_load(&lane->turn);
    while (lane_phase_of(turn) == LANE_SUBMITTED) {
        if (atomic_compare_exchange_strong(&lane->turn, &turn, (turn & ~UINT64_C(7)) | LANE_CANCELLED)) {
            return true;
        }
    }
    return lane_phase_of(turn) != LANE_TAKEN;
}

static struct lane_mine *lane_claim(struct tide *d) {
    struct lane_pool *pool = d->lanes;
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        struct lane *lane = &d->log->lanes[i];
        uint32_t owner = atomic_load(&lane->owner);
        if (lane_is_free(lane, owner) && atomic_compare_exchange_strong(&lane->owner, &owner, d->member + 1)) {
            KILL_POINT("lane.claimed");
            if (!lane_clear(lane)) {
                atomic_store(&lane->owner, LANE_ORPHAN);
                continue;
            }
            atomic_store(&lane->pid, (uint32_t)getpid());
            pool->mine[pool->count] = (struct lane_mine){ .lane = i };
            return &pool->mine[pool->count++];
        }
    }
    return NULL;
}

/* A lane for this thread until lane_put(), or NULL: all are in use. */
static struct lane_mine *lane_get(struct tide *d) {
    struct lane_pool *pool = d->lanes;
    struct lane_mine *found = NULL;
    pthread_mutex_lock(&pool->lock);
    for (uint32_t i = 0; i < pool->count && found == NULL; i++) {
        struct lane_mine *m = &pool->mine[i];
        if (m->late && lane_phase_of(atomic_load(&d->log->lanes[m->lane].turn)) == LANE_ANSWERED) {
            m->late = false;
        }
        if (!m->busy && !m->late) {
            found = m;
        }
    }
    found = found != NULL ? found : lane_claim(d);
    if (found != NULL) {
        found->busy = true;
    }
    pthread_mutex_unlock(&pool->lock);
    return found;
}

static void lane_put(struct tide *d, struct lane_mine *m, bool late) {
    pthread_mutex_lock(&d->lanes->lock);
    m->busy = false;
    m->late = late;
    pthread_mutex_unlock(&d->lanes->lock);
}

/* A request that does not fit lies in a file beside the segments, which the leader reads with pread(). */
static int lane_spill(struct tide *d, uint32_t lane, const uint8_t *bytes, uint64_t size) {
    struct segment s = SEGMENT_INIT;
    int error = segment_create(&s, d->name, SEGMENT_SPILL, lane, sizeof(struct segment_header) + size);
    if (error == 0) {
        KILL_POINT("lane.spilling");
        memcpy(s.base + sizeof(struct segment_header), bytes, size);
        error =
            segment_publish_replace(&s, d->name, SEGMENT_SPILL, lane, d->words.header.incarnation, segment_random());
        if (error != 0) {
            segment_discard(&s);
        } else {
            segment_detach(&s);
        }
    }
    return error;
}

static int lane_fill(struct tide *d, struct lane *lane, uint32_t number, const struct seq_request *q) {
    uint64_t bytes = lane_encoded_bytes(q);
    lane->ops = (uint32_t)q->count;
    lane->request_bytes = bytes;
    lane->spilled = bytes > LAYOUT_LANE_BYTES;
    if (!lane->spilled) {
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
        atomic_store(&board->asleep, 0);
        atomic_fetch_add(&board->wake, 1);
        park_wake(&board->wake, 1);
    }
}

/* Until it is answered, or the time is out. */
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

static int lane_result(const struct lane *lane, struct seq_request *q) {
    q->result = lane->result;
    q->index = lane->index;
    q->found = lane->found;
    q->failed = lane->failed;
    return q->result;
}

static int lane_late(struct tide *d, struct lane *lane, uint64_t seq, bool *late) {
    uint64_t submitted = seq << 3 | LANE_SUBMITTED;
    *late = !atomic_compare_exchange_strong(&lane->turn, &submitted, seq << 3 | LANE_CANCELLED);
    if (*late) {
        return TIDE_ERR_UNKNOWN;
    }
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    if (segment_is_current(&d->segment) == 0) {
        return TIDE_ERR_GONE;
    }
    return atomic_load(&d->log->leader.leader) < 0 || !member_led_elsewhere(d->segment.fd) ? TIDE_ERR_NO_LEADER
                                                                                           : TIDE_ERR_TIMEOUT;
}

static int lane_write_within(struct tide *d, struct seq_request *q, uint64_t timeout_ns) {
    if (d->read_only) {
        return TIDE_ERR_READ_ONLY;
    }
    uint64_t until = clock_monotonic_ns() + timeout_ns;
    struct lane_mine *mine;
    while ((mine = lane_get(d)) == NULL) {
        if (clock_monotonic_ns() >= until || atomic_load(&d->closed) != 0) {
            return atomic_load(&d->closed) != 0 ? -(int)atomic_load(&d->closed) : TIDE_ERR_TIMEOUT;
        }
        park_nap(100000);
    }
    struct lane *lane = &d->log->lanes[mine->lane];
    uint64_t seq = (atomic_load(&lane->turn) >> 3) + 1;
    int error = lane_fill(d, lane, mine->lane, q);
    bool late = false;
    if (error != 0) {
        tide_log_fault(d, error);
    } else {
        lane_submit(d, lane, mine->lane, seq);
        error = lane_await(d, lane, seq, until) ? lane_result(lane, q) : lane_late(d, lane, seq, &late);
        if (late && atomic_load(&lane->turn) == (seq << 3 | LANE_ANSWERED)) {
            late = false; /* just in time */
            error = lane_result(lane, q);
        }
        KILL_POINT("lane.heard");
    }
    if (lane->spilled && !late) {
        segment_unlink_of(d->name, SEGMENT_SPILL, mine->lane, d->words.header.incarnation);
    }
    lane_put(d, mine, late);
    return error;
}

int tide_ping(struct tide *d, uint64_t timeout_ns) {
    if (d == NULL) {
        return TIDE_ERR_INVALID;
    }
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    if (atomic_load(&d->seq.here) != 0) {
        return 0;
    }
    struct seq_request nothing = { 0 };
    int error = lane_write_within(d, &nothing, timeout_ns);
    return error == TIDE_ERR_INVALID ? 0 : error; /* the leader's answer to a request without operations */
}

int lane_write(struct tide *d, struct seq_request *q) {
    return lane_write_within(d, q, d->write_timeout_ns);
}
