/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening, attaching to, closing and removing a domain. */
#include "engine/table/cancel.h"
#include "engine/replica/domain.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/life/control.h"
#include "engine/replica/foreign.h"
#include "engine/replica/sized.h"
#include "engine/life/fork.h"
#include "engine/life/gone.h"
#include "engine/life/handles.h"
#include "engine/life/reap.h"
#include "engine/life/sizes.h"
#include "engine/life/unlink.h"
#include "engine/table/grace.h"
#include "engine/table/kill.h"
#include "engine/table/rcu.h"
#include "engine/table/thread.h"
#include "engine/life/takeover.h"
#include "engine/write/lead.h"
#include "engine/write/write.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/fault.h"
#include "shm/member.h"
#include "shm/nap.h"
#include "shm/segment_name.h"

#define DOMAIN_SLOW_MAX UINT64_C(86400000000000) /* a day: writes that wait longer wait for ever */
#define DOMAIN_PAGE 4096u
#define DOMAIN_TRIES 16
#define DOMAIN_JOIN_NS UINT64_C(10000000000) /* its holder may be stopped: then the open fails */

/* The last hold is gone: the handle is closed, and so are its readers. */
static void domain_destroy(struct tide *d) {
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        foreign_release(d, i);
    }
    if (!d->read_only) {
        member_release(segment_fd(&d->segment), d->log, d->member);
    }
    fork_hold_off();
    handles_remove(d);
    segment_unmap_ring(d->ring.base, d->ring.bytes);
    segment_detach(&d->segment);
    fork_let_on();
    pthread_mutex_destroy(&d->control);
    pthread_mutex_destroy(&d->reaping);
    pthread_mutex_destroy(&d->foreign_lock);
    free(d);
}

static int domain_create(struct tide *d, const struct tide_opts *asked, const struct tide_opts *settled) {
    struct tide_opts fitting = *settled, *o = &fitting;
    sizes_fit(d, asked, &fitting);
    uint64_t ring_off = segment_ring_off(sizeof(struct log_segment), o->ring_bytes);
    int error = segment_create(&d->segment, d->dir, d->name, SEGMENT_LOG, 0, sizes_log_bytes(o->ring_bytes));
    if (error != 0) {
        return error;
    }
    d->segment.flags = (o->flags & TIDE_EPHEMERAL) != 0 ? SEGMENT_EPHEMERAL : 0;
    struct log_segment *log = (struct log_segment *)d->segment.base;
    log->ring_off = ring_off;
    log->ring_bytes = o->ring_bytes;
    log->hash_seed = segment_random();
    log->slow_follower_ns = o->slow_follower_ns < DOMAIN_SLOW_MAX ? o->slow_follower_ns : DOMAIN_SLOW_MAX;
    log->table_bytes = o->table_bytes;
    log->expected_keys = o->expected_keys;
    log->evict = o->evict;
    if (o->source != NULL) {
        memcpy(log->source, o->source, strlen(o->source));
    }
    log->default_ttl_ns = o->default_ttl_ns == TIDE_TTL_NONE ? 0 : o->default_ttl_ns;
    atomic_store(&log->leader.leader, -1);
    clock_init(&log->clock);
    /* This member lives before the domain has a name, so no process takes it for a dead one's. */
    int member = member_claim(segment_fd(&d->segment), log, reap_member, d);
    d->member = (uint32_t)member;
    if (member < 0 || member_join(segment_fd(&d->segment)) != 0) {
        error = fault_errno(TIDE_ERR_SYSTEM, "open-file-description locks (fcntl F_OFD_SETLK) are refused");
    } else {
        atomic_store(&log->leader.founder, d->member + 1);
        KILL_POINT("create.unnamed");
        error = segment_publish(&d->segment, d->name, SEGMENT_LOG, 0, segment_random(), segment_random());
        KILL_POINT("create.named");
        bytes_copy_racy(&d->words, log, sizeof(d->words));
    }
    if (error != 0) {
        segment_discard(&d->segment);
    }
    return error;
}

/* Can it be the kind of a source? */
static bool domain_is_source(const char *text) {
    size_t n = strnlen(text, LAYOUT_SOURCE);
    bool good = n > 0 && n < LAYOUT_SOURCE;
    for (size_t i = 0; i < n && good; i++) {
        good = text[i] > 0x20 && text[i] < 0x7f;
    }
    return good;
}

/* May the domain that is to be made be fed like this? The source decides what is there, so that nothing else may. */
static bool domain_takes_source(struct tide *d, const struct tide_opts *o) {
    if (o->source == NULL) {
        return true;
    }
    if (!domain_is_source(o->source)) {
        tide_logf(d, TIDE_LOG_ERROR, "a source's kind has 1 to %u printable characters of ASCII, and no blanks",
                  LAYOUT_SOURCE - 1);
        return false;
    }
    if (o->evict != TIDE_EVICT_NONE || (o->default_ttl_ns != 0 && o->default_ttl_ns != TIDE_TTL_NONE)) {
        tide_logf(d, TIDE_LOG_ERROR,
                  "%s: a domain that is fed by \"%s\" does not evict, and has no time to live of its own (--evict, "
                  "--ttl): its source decides what is there",
                  d->name, o->source);
        return false;
    }
    return true;
}

/* Copy the words that nobody changes once the domain is made, and check the copy. */
static int domain_check(struct tide *d) {
    const struct log_segment *log = (struct log_segment *)d->segment.base;
    uint64_t size = d->segment.size_bytes;
    struct domain_words w;
    bytes_copy_racy(&w, log, sizeof(w));
    const char *bad = NULL;
    if (size < sizeof(*log) || segment_check_header(&w.header, size, SEGMENT_LOG) != 0) {
        bad = "its header";
    } else if (w.ring_bytes < LAYOUT_RING_MIN || w.ring_bytes > LAYOUT_RING_MAX ||
               (w.ring_bytes & (w.ring_bytes - 1)) != 0 || w.ring_off % DOMAIN_PAGE != 0 || w.ring_off < sizeof(*log) ||
               w.ring_off > size || w.ring_bytes > size - w.ring_off) {
        bad = "where its ring lies";
    } else if (w.table_bytes < SIZES_TABLE_MIN || w.table_bytes > TABLE_BYTES_MAX || w.table_bytes < w.ring_bytes) {
        bad = "the size of its tables";
    } else if (w.slow_follower_ns == 0 || w.slow_follower_ns > DOMAIN_SLOW_MAX) {
        bad = "how long a slow follower is waited for";
    } else if (w.evict > EVICT_S3FIFO) {
        bad = "its policy of eviction";
    } else if (memchr(w.source, 0, sizeof(w.source)) == NULL || (w.source[0] != 0 && !domain_is_source(w.source))) {
        bad = "the kind of its source";
    } else if (clock_check(&log->clock) != 0) {
        bad = "its clock, or this processor cannot read it";
    }
    if (bad != NULL) {
        tide_logf(d, TIDE_LOG_ERROR, "%s is damaged: %s; remove the domain", d->segment.path, bad);
        return TIDE_ERR_CORRUPT;
    }
    d->words = w;
    return 0;
}

/* No member lives. Is there a copy to go on from, or the whole log? */
static bool domain_can_go_on(const struct tide *d) {
    if (atomic_load(&d->log->leader.reclaimed) == 0) {
        return true;
    }
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        uint32_t state = board_state(&d->log->replicas[i]);
        char path[SEGMENT_PATH_BYTES];
        struct stat st;
        if ((state == REPLICA_SERVING || state == REPLICA_ORPHAN) &&
            segment_path(path, d->dir, d->name, SEGMENT_TABLE, i) == 0 &&
            (lstat(path, &st) == 0 || !segment_errno_is_missing(errno))) { /* access() would ask for the real user */
            return true;
        }
    }
    return false;
}

/* A process that found no living member holds the byte alone until it has cleared up. */
static bool domain_join(struct tide *d) {
    uint64_t until = clock_monotonic_ns() + DOMAIN_JOIN_NS;
    while (member_join(segment_fd(&d->segment)) != 0) {
        if ((errno != EAGAIN && errno != EACCES && errno != EINTR) || clock_monotonic_ns() > until) {
            return false;
        }
        park_nap(1000000);
    }
    return true;
}

/* 0; BUSY: somebody removed or replaced it; SYSTEM: that cannot be told. */
static int domain_current(const struct tide *d) {
    int current = segment_is_current(&d->segment);
    return current == 1 ? 0 : current == 0 ? TIDE_ERR_BUSY : current;
}

/* Become a member. first: no other member lives, so what the dead left may be the only copies. */
static int domain_enter(struct tide *d, bool first) {
    d->member = UINT32_MAX; /* none of the slots is ours yet */
    int member = member_claim(segment_fd(&d->segment), d->log, reap_member, d);
    if (member < 0 && errno != EAGAIN) {
        return fault_errno(TIDE_ERR_SYSTEM, "open-file-description locks (fcntl F_OFD_SETLK) are refused");
    }
    if (member < 0) {
        tide_logf(d, TIDE_LOG_ERROR, "%u handles are attached already, each a member: close some", LAYOUT_MEMBERS);
        return TIDE_ERR_SLOTS;
    }
    d->member = (uint32_t)member;
    if (first) {
        reap_dead(d);
        KILL_POINT("open.reaped");
        atomic_store(&d->log->leader.leader, -1);
    }
    KILL_POINT("open.claimed");
    if (!domain_join(d)) { /* turns an exclusive lock into a shared one */
        return fault_errno(TIDE_ERR_SYSTEM,
                           "another process has been opening the domain for %u seconds, or is stopped meanwhile",
                           (unsigned)(DOMAIN_JOIN_NS / 1000000000u));
    }
    KILL_POINT("open.joined");
    return domain_current(d);
}

/* Nobody lives. What is left is of no use to anybody: why, or NULL. */
static const char *domain_worthless(struct tide *d, const struct tide_opts *asked) {
    if ((d->segment.flags & SEGMENT_EPHEMERAL) != 0) {
        return "all members of the ephemeral domain have ended";
    }
    if (domain_check(d) != 0 || !domain_can_go_on(d)) {
        return "all members of the domain have ended and nothing whole is left";
    }
    if (board_commit(d->log) == 0 && sizes_differ(&d->words, asked)) {
        return "all members of the domain have ended, nothing was ever written, and other sizes are asked for";
    }
    return NULL;
}

/* Byte 0 is ours alone. 0: go on from what is there. BUSY: it is gone, look again. Without TIDE_CREATE what is left stays, but for a
 * domain that was to end with its last member. */
static int domain_clear(struct tide *d, const struct tide_opts *asked) {
    bool create = (asked->flags & TIDE_CREATE) != 0;
    if (!create && (d->segment.flags & SEGMENT_EPHEMERAL) == 0) {
        return 0;
    }
    const char *why = domain_worthless(d, asked);
    if (why == NULL) {
        return 0;
    }
    tide_logf(d, create ? TIDE_LOG_WARN : TIDE_LOG_INFO, "%s: %s", why, create ? "created anew" : "removed");
    int error = unlink_dead(d); /* nobody else gets in meanwhile, so the name is still this file's */
    return error == 0 ? TIDE_ERR_BUSY : error;
}

/* From a mount that cannot be written: no member, no lane, no counts; reads alone. */
static int domain_attach_read_only(struct tide *d) {
    int error = segment_attach(&d->segment, d->dir, d->name, SEGMENT_LOG, 0, false);
    if (error != 0) {
        return error;
    }
    d->log = (struct log_segment *)d->segment.base;
    d->member = UINT32_MAX;
    d->read_only = true;
    error = domain_check(d);
    if (error == 0 && (d->segment.flags & SEGMENT_EPHEMERAL) != 0 && !member_any_lives(segment_fd(&d->segment))) {
        error = TIDE_ERR_NO_DOMAIN;
    }
    if (error != 0) {
        segment_detach(&d->segment);
        return error;
    }
    tide_logf(d, TIDE_LOG_INFO, "%s cannot be written: attached for looking alone", d->segment.path);
    return 0;
}

/* 0, or an error; BUSY: look again, somebody removed or replaced it meanwhile. */
static int domain_attach(struct tide *d, const struct tide_opts *asked) {
    int error = segment_attach(&d->segment, d->dir, d->name, SEGMENT_LOG, 0, true);
    if (error != 0) {
        return error == TIDE_ERR_SYSTEM && errno == EROFS ? domain_attach_read_only(d) : error;
    }
    d->log = (struct log_segment *)d->segment.base;
    /* While this lock is held nobody else lives, and nobody else finds out that nobody does. */
    bool dead = member_claim_dead(segment_fd(&d->segment));
    error = domain_current(d);
    if (error == 0 && dead) {
        error = domain_clear(d, asked);
    }
    if (error == 0) {
        error = domain_check(d);
    }
    if (error == 0) {
        error = domain_enter(d, dead);
    }
    if (error != 0) {
        segment_detach(&d->segment);
    }
    return error;
}

static int domain_find_or_create(struct tide *d, const struct tide_opts *asked, const struct tide_opts *settled) {
    bool create = (asked->flags & TIDE_CREATE) != 0;
    for (int tries = 0; tries < DOMAIN_TRIES; tries++) {
        int error = domain_attach(d, asked);
        if (error == 0 && (asked->flags & TIDE_EXCLUSIVE) != 0) {
            segment_detach(&d->segment);
            return TIDE_ERR_EXISTS;
        }
        if (error == TIDE_ERR_NO_DOMAIN && create) {
            error = domain_create(d, asked, settled);
            if (error == 0) {
                d->created = true;
                d->ephemeral = (asked->flags & TIDE_EPHEMERAL) != 0;
                return 0;
            }
            if (error == TIDE_ERR_EXISTS) {
                continue; /* another process was faster: attach to its domain */
            }
        }
        if (error != TIDE_ERR_BUSY) {
            return error;
        }
    }
    return TIDE_ERR_GONE;
}

static int domain_open(struct tide *d, const struct tide_opts *asked, const struct tide_opts *o) {
    int error = domain_find_or_create(d, asked, o);
    if (error != 0) {
        return error;
    }
    d->log = (struct log_segment *)d->segment.base;
    d->hash_seed = d->words.hash_seed;
    d->fed = d->words.source[0] != 0;
    d->ring =
        (struct ring){ .log = d->log, .bytes = d->words.ring_bytes, .slow_follower_ns = d->words.slow_follower_ns };
    d->write_timeout_ns = o->write_timeout_ns;
    write_open(d);
    d->dumped = (o->flags & TIDE_DUMPED) != 0;
    error = segment_map_ring(&d->segment, d->words.ring_off, d->ring.bytes, &d->ring.base);
    if (error == 0 && grace_hold(gone_look_all) != 0) {
        segment_unmap_ring(d->ring.base, d->ring.bytes);
        error = TIDE_ERR_NOMEM;
    }
    if (error != 0) {
        d->stillborn = d->created;
        unlink_at_end(d);
        segment_detach(&d->segment);
        return error;
    }
    if (d->dumped) {
        segment_let_dump(d->segment.base, d->segment.size_bytes);
        segment_let_dump(d->ring.base, 2 * d->ring.bytes);
    }
    pthread_mutex_init(&d->control, NULL);
    pthread_mutex_init(&d->foreign_lock, NULL);
    atomic_store(&d->holds, 1);
    d->destroy = domain_destroy;
    d->reap = reap_dead;
    handles_add(d);
    return 0;
}

int tide_open(struct tide **out, const char *name, const struct tide_opts *opts) {
    CANCEL_HOLD_OFF();
    static const struct tide_opts defaults = TIDE_OPTS_INIT;
    struct tide_opts room, settled;
    const struct tide_opts *o = &room;
    char dir[SEGMENT_PATH_BYTES], path[SEGMENT_PATH_BYTES];
    fault_clear();
    if (out == NULL || name == NULL || !SIZED_TAKE(&room, opts != NULL ? opts : &defaults, SIZED_OPTS) ||
        o->reserved != 0 || o->reserved2 != 0 || o->evict > TIDE_EVICT_S3FIFO ||
        (o->flags & ~(uint32_t)(TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL | TIDE_DUMPED)) != 0) {
        return TIDE_ERR_INVALID;
    }
    if (segment_dir(dir) != 0 || segment_path(path, dir, name, SEGMENT_LOG, 0) != 0) {
        if (o->log != NULL && fault_text() != NULL) { /* of the directory, not of the name */
            o->log(o->log_ctx, TIDE_LOG_ERROR, fault_text());
        }
        return TIDE_ERR_INVALID;
    }
    thread_stay_loaded();
    struct tide *d = aligned_alloc(LAYOUT_PAIR, (sizeof(*d) + LAYOUT_PAIR - 1) / LAYOUT_PAIR * LAYOUT_PAIR);
    if (d == NULL) {
        return TIDE_ERR_NOMEM;
    }
    memset(d, 0, sizeof(*d));
    pthread_mutex_init(&d->reaping, NULL); /* opening reaps already */
    d->segment = (struct segment)SEGMENT_INIT;
    d->log_fn = o->log;
    d->log_ctx = o->log_ctx;
    memcpy(d->name, name, strlen(name));
    memcpy(d->dir, dir, strlen(dir));
    int error = domain_takes_source(d, o) ? sizes_settle(d, o, &settled) : TIDE_ERR_INVALID;
    if (error == 0) {
        fork_hold_off();
        error = domain_open(d, o, &settled);
        fork_let_on();
    }
    if (error != 0) {
        tide_log_fault(d, error);
        free(d);
        return error;
    }
    *out = d;
    return 0;
}

int tide_close(struct tide *d) {
    CANCEL_HOLD_OFF();
    if (d == NULL) {
        return TIDE_ERR_INVALID;
    }
    if (rcu_inside() && !tide_forked(d) && control_runs(d)) {
        return TIDE_ERR_THREAD; /* a replica goes when sections have ended: this thread would wait for its own */
    }
    uint32_t was = atomic_exchange(&d->closed, (uint32_t)-TIDE_ERR_CLOSED);
    if (was == (uint32_t)-TIDE_ERR_CLOSED) {
        return TIDE_ERR_INVALID;
    }
    if (was == (uint32_t)-TIDE_ERR_FORKED) {
        return 0; /* a forked child's handle: its threads are the parent's, and there is nothing here to end */
    }
    lead_settle(d);
    control_await_starts(d); /* starts that were under way have ended; a later one sees `closed` */
    steward_stop(d);
    int32_t leader = -1;
    pthread_mutex_lock(&d->control);
    for (int32_t i = 0; i < (int32_t)LAYOUT_REPLICAS; i++) {
        const struct replica *r = atomic_load(&d->running[i]); /* another thread may stop replicas meanwhile */
        leader = r != NULL && atomic_load(&r->leads) ? i : leader;
    }
    pthread_mutex_unlock(&d->control);
    for (int32_t i = 0; i < (int32_t)LAYOUT_REPLICAS; i++) {
        if (i != leader) {
            control_stop(d, (uint32_t)i, !d->ephemeral);
        }
    }
    if (leader >= 0) {
        control_stop(d, (uint32_t)leader, !d->ephemeral);
    }
    if (rcu_register_self() == 0) {
        gone_hide(d); /* hides other processes' replicas; this handle's own are gone */
    }
    grace_drop();
    unlink_at_end(d);
    tide_drop(d);
    return 0;
}
