/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Facts about a domain: numbers, watermarks, lag. And waiting until replicas have applied an index. */
#include <stdlib.h>

#include "engine/table/cancel.h"
#include "engine/replica/bound.h"
#include "engine/replica/foreign.h"
#include "engine/replica/source.h"
#include "engine/replica/sized.h"
#include "engine/read/reader.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/lag.h"
#include "shm/nap.h"
#include "shm/park.h"
#include "shm/usage.h"

#define INFO_NAP_NS 1000000u
#define INFO_LOOK_NS 100000u /* between looks of a handle that nobody can wake */

uint64_t tide_now(struct tide *d) {
    return clock_now(&d->log->clock);
}

static void info_source(const struct tide *d, struct tide_info *out) {
    const struct feed_board *f = &d->log->feed;
    uint64_t complete = atomic_load(&f->complete_ts); /* MO(feed.complete) */
    memcpy(out->source, d->words.source, sizeof(out->source));
    bytes_copy_racy(out->source_note, f->note, sizeof(out->source_note));
    out->source_note[sizeof(out->source_note) - 1] = 0;
    out->source_revision = atomic_load(&f->position);
    out->complete_revision = atomic_load(&f->complete_revision); /* MO(feed.complete) */
    out->probes_begun = atomic_load(&f->begun);
    out->probes_done = atomic_load(&f->done); /* MO(feed.done) */
    out->writes_open = atomic_load(&f->writes_open);
    uint64_t now = clock_now(&d->log->clock);
    out->complete_ns = complete == 0 ? TIDE_UNBOUNDED : now > complete ? now - complete : 0;
    out->bound_wanted_ns = source_bound_wanted(d, now);
}

int tide_info(struct tide *d, struct tide_info *out) {
    if (d == NULL || out == NULL || out->size < SIZED_INFO) {
        return TIDE_ERR_INVALID;
    }
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    const struct log_segment *log = d->log;
    struct tide_info found = {
        .size = sizeof(found),
        .incarnation = d->words.header.incarnation,
        .commit_index = board_commit(log),
        .term = atomic_load(&log->leader.term),
        .ring_bytes = d->ring.bytes,
        .table_bytes = d->words.table_bytes,
        .hash_seed = d->hash_seed,
        .created_unix_ns = d->words.header.created_unix_ns,
        .leader = atomic_load(&log->leader.leader),
        .lapped_total = atomic_load(&log->leader.lapped),
        .expired_total = atomic_load(&log->leader.expired),
        .evicted_total = atomic_load(&log->leader.evicted),
        .default_ttl_ns = d->words.default_ttl_ns,
    };
    bool here = atomic_load(&d->seq.here);
    found.led = here || member_led_elsewhere(segment_fd(&d->segment));
    if ((uint32_t)found.leader < LAYOUT_REPLICAS) {
        found.leader_pid = (int32_t)atomic_load(&log->replicas[found.leader].pid);
    }
    for (uint32_t i = 0; i < LAYOUT_MEMBERS; i++) {
        found.members += atomic_load(&log->members[i].used) != 0;
    }
    memcpy(found.name, d->name, strlen(d->name));
    uint64_t least = board_least_pin(log, UINT64_MAX);
    /* MO(log.tail): acquire; pairs with the release in ring_commit(). */
    uint64_t tail = atomic_load_explicit(&log->leader.tail, memory_order_acquire);
    found.ring_used_bytes = least < tail ? tail - least : 0;
    found.ring_used_bytes = found.ring_used_bytes < found.ring_bytes ? found.ring_used_bytes : found.ring_bytes;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        uint32_t state = board_state(&log->replicas[i]);
        found.replicas += state != REPLICA_FREE && state != REPLICA_STOPPED;
    }
    if (d->fed) {
        info_source(d, &found);
    }
    SIZED_GIVE(out, &found);
    return 0;
}

static void info_percentiles(const struct hdr *h, uint64_t *p50, uint64_t *p99, uint64_t *p999) {
    const double wanted[3] = { 50.0, 99.0, 99.9 };
    int64_t values[3];
    hdr_values_at_percentiles(h, wanted, values, 3);
    *p50 = (uint64_t)values[0];
    *p99 = (uint64_t)values[1];
    *p999 = (uint64_t)values[2];
}

static void info_lag(const struct tide *d, const struct view *v, struct tide_replica_info *out) {
    struct hdr *sum = lag_new();
    if (sum == NULL) {
        return;
    }
    lag_rolling(v->lag_windows, clock_now(&d->log->clock), sum);
    info_percentiles(sum, &out->lag_p50_ns, &out->lag_p99_ns, &out->lag_p999_ns);
    lag_all(v->lag_all, sum);
    info_percentiles(sum, &out->lag_all_p50_ns, &out->lag_all_p99_ns, &out->lag_all_p999_ns);
    out->lag_all_max_ns = (uint64_t)hdr_max(sum);
    out->lag_count = (uint64_t)hdr_total(sum);
    hdr_free(sum);
}

_Static_assert(TIDE_SIZES == LAYOUT_SIZES, "all that are counted are told");

static void info_table(const struct tide *d, const struct view *v, struct tide_replica_info *out) {
    const struct table_segment *seg = v->table.seg;
    out->keys = atomic_load_explicit(&seg->live_keys, memory_order_relaxed); /* MO(stats) */
    out->table_bytes = v->table.room + NODE_HEADER_BYTES;
    uint64_t used = atomic_load_explicit(&seg->used_bytes, memory_order_relaxed); /* MO(stats) */
    /* Another process may have written any number: report at most what there is. */
    out->table_used_bytes = used < out->table_bytes ? used : out->table_bytes;
    struct usage u = usage_of(seg, out->table_bytes);
    out->table_live_bytes = u.live;
    out->table_free_bytes = u.free;
    out->table_waiting_bytes = u.waiting;
    out->table_overhead_bytes = u.overhead;
    out->table_keys_most = atomic_load_explicit(&seg->keys_most, memory_order_relaxed); /* MO(stats) */
    for (uint32_t k = 0; k < TIDE_SIZES; k++) {
        out->sizes[k].keys = atomic_load_explicit(&seg->sizes[k].keys, memory_order_relaxed);   /* MO(stats) */
        out->sizes[k].bytes = atomic_load_explicit(&seg->sizes[k].bytes, memory_order_relaxed); /* MO(stats) */
    }
    info_lag(d, v, out);
}

int tide_replica_info(struct tide *d, uint32_t id, struct tide_replica_info *out) {
    CANCEL_HOLD_OFF();
    if (d == NULL || id >= LAYOUT_REPLICAS || out == NULL || out->size < SIZED_REPLICA_INFO) {
        return TIDE_ERR_INVALID;
    }
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    const struct replica_board *b = &d->log->replicas[id];
    uint32_t state = board_state(b);
    if (state == REPLICA_FREE) {
        return TIDE_ERR_NOT_FOUND;
    }
    uint64_t commit = board_commit(d->log), applied = board_applied(b);
    struct tide_replica_info found = {
        .size = sizeof(found),
        .id = id,
        .role = (enum tide_role)atomic_load(&b->role),
        .state = (enum tide_state)state,
        .pid = (int32_t)atomic_load(&b->pid),
        .apply_delay_ns = atomic_load(&b->apply_delay_ns),
        .joins = atomic_load(&b->joins),
        .lapped = atomic_load(&b->lapped),
    };
    if (d->fed) {
        found.staleness_ns = source_staleness(d, b, &applied);
    } else if (applied < commit) {
        found.staleness_ns = bound_staleness(d, b, &applied);
        found.staleness_ns = applied < commit ? found.staleness_ns : 0;
    }
    found.applied_index = applied;
    found.lag = commit > applied ? commit - applied : 0;
    bytes_copy_racy(found.label, b->label, sizeof(found.label));
    found.label[sizeof(found.label) - 1] = 0;
    if (rcu_register_self() == 0) {
        if (state == REPLICA_SERVING && !rcu_inside()) {
            int error = foreign_attach(d, id); /* does nothing for a replica of ours */
            if (foreign_is_own_trouble(error)) {
                foreign_tell_trouble(d, error); /* what its table holds is not told */
            }
        }
        rcu_enter(); /* keeps the view mapped */
        struct view *v = view_current(d, id);
        if (v != NULL) {
            info_table(d, v, &found);
        }
        rcu_exit();
    }
    SIZED_GIVE(out, &found);
    return 0;
}

int tide_replica_digest(struct tide *d, uint32_t id, uint64_t *index, uint64_t *digest) {
    if (d == NULL || id >= LAYOUT_REPLICAS || index == NULL || digest == NULL) {
        return TIDE_ERR_INVALID;
    }
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    if (board_state(&d->log->replicas[id]) == REPLICA_FREE) {
        return TIDE_ERR_NOT_FOUND;
    }
    return board_get_digest(&d->log->replicas[id], index, digest) ? 0 : TIDE_ERR_BUSY;
}

/* Has the replica what the token stands for? */
static bool info_has(const struct tide *d, const struct replica_board *b, const struct tide_token *token) {
    return token->incarnation == TIDE_REVISION && d->fed ? source_holds(d, b, token->index)
                                                         : board_applied(b) >= token->index;
}

/* How many replicas have applied it. *behind: one that has not, or NULL. living: replicas of dead members do not
 * count; finding that out costs a system call for each. */
static uint32_t info_have(const struct tide *d, const struct tide_token *token, bool living,
                          const struct replica_board **behind) {
    const struct log_segment *log = d->log;
    uint32_t have = 0;
    *behind = NULL;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        const struct replica_board *b = &log->replicas[i];
        if (board_state(b) != REPLICA_SERVING) {
            continue;
        }
        if (info_has(d, b, token)) {
            have += !living || member_lives(segment_fd(&d->segment), log, board_owner(b), d->member);
        } else {
            *behind = b;
        }
    }
    return have;
}

int tide_wait_applied(struct tide *d, const struct tide_token *token, uint32_t n, uint64_t timeout_ns) {
    CANCEL_HOLD_OFF();
    if (d == NULL || token == NULL || n > LAYOUT_REPLICAS) {
        return TIDE_ERR_INVALID;
    }
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    bool revision = d->fed && token->incarnation == TIDE_REVISION, none = (token->incarnation | token->index) == 0;
    if (!revision && !none && token->incarnation != d->words.header.incarnation) {
        return TIDE_ERR_INCARNATION;
    }
    uint64_t start = clock_monotonic_ns();
    for (;;) {
        const struct replica_board *behind;
        if (info_have(d, token, false, &behind) >= n && info_have(d, token, true, &behind) >= n) {
            return 0;
        }
        if (atomic_load(&d->closed) != 0) {
            return -(int)atomic_load(&d->closed);
        }
        uint64_t gone = clock_monotonic_ns() - start;
        if (gone >= timeout_ns) {
            return TIDE_ERR_TIMEOUT;
        }
        uint64_t nap = timeout_ns - gone < INFO_NAP_NS ? timeout_ns - gone : INFO_NAP_NS;
        struct replica_board *b = (struct replica_board *)(uintptr_t)(behind != NULL ? behind : &d->log->replicas[0]);
        if (d->read_only) {
            park_nap(nap < INFO_LOOK_NS ? nap : INFO_LOOK_NS);
            continue;
        }
        uint32_t seen = atomic_load(&b->wake);
        /* MO(replica.waiters): relaxed; a missed wake-up costs INFO_NAP_NS. */
        atomic_store_explicit(&b->waiters, 1, memory_order_relaxed);
        park_wait(&b->wake, seen, nap);
    }
}
