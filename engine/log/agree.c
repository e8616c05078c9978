/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/log/agree.h"

#include <sys/stat.h>

#include "shm/fault.h"
#include "shm/nap.h"
#include "shm/segment.h"

#define AGREE_NAP_NS UINT64_C(5000000)

/* Words of the board are input: what cannot be a table's budget is none. */
static bool agree_is_budget(const struct tide *d, uint64_t bytes) {
    return bytes >= d->words.table_bytes && bytes <= TABLE_BYTES_MAX;
}

static struct table_limits agree_limits(const struct tide *d, uint64_t table_bytes) {
    return table_limits(table_bytes, d->words.table_bytes, d->words.expected_keys);
}

/* Does a replica run in this slot, or will it? An orphan's table is left by the dead: nothing is applied to it. */
static bool agree_runs(const struct replica_board *b) {
    uint32_t state = board_state(b);
    return state != REPLICA_FREE && state != REPLICA_STOPPED && state != REPLICA_ORPHAN;
}

/* ---- newcomers -------------------------------------------------------------------------------------------------------- */

static bool agree_has_others(const struct replica *r) {
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        if (i != r->view.id && agree_runs(&r->domain->log->replicas[i])) {
            return true;
        }
    }
    return false;
}

/* The budget that the leader's board asks of newcomers; 0: none. A newcomer reserves as much, and a changed word could ask for all the
 * memory there is. So it is believed only where one of the domain's tables is that large: the size of a file is the kernel's word. */
static uint64_t agree_asked(const struct tide *d) {
    uint64_t bytes = atomic_load(&d->log->leader.table_bytes); /* also of the dead: what they left fits as much */
    if (bytes == d->words.table_bytes || !agree_is_budget(d, bytes)) {
        return agree_is_budget(d, bytes) ? bytes : 0;
    }
    uint64_t size = table_segment_bytes(bytes);
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        char path[SEGMENT_PATH_BYTES];
        struct stat st;
        if (segment_path(path, d->dir, d->name, SEGMENT_TABLE, i) == 0 && stat(path, &st) == 0 && st.st_size >= 0 &&
            (uint64_t)st.st_size >= size) {
            return bytes;
        }
    }
    return 0;
}

/* The budget that newcomers must have, or 0: any. A leader of a domain where nobody is left may have less, and is told where that does
 * not hold what was left. */
static uint64_t agree_least(const struct replica *r, bool leads) {
    return !leads || agree_has_others(r) ? agree_asked(r->domain) : 0;
}

static bool agree_holds(const struct tide *d, uint64_t table_bytes, uint64_t least_bytes) {
    if (least_bytes == 0) {
        return true;
    }
    struct table_limits own = agree_limits(d, table_bytes), least = agree_limits(d, least_bytes);
    return table_bytes >= least_bytes && own.arena.limit >= least.arena.limit && own.arena.spare >= least.arena.spare &&
           own.keys >= least.keys;
}

int agree_join(struct replica *r, uint64_t asked_bytes, bool leads) {
    struct tide *d = r->domain;
    uint64_t had = agree_asked(d);
    r->table_bytes = asked_bytes != 0 ? asked_bytes : had != 0 ? had : d->words.table_bytes;
    atomic_store(&r->view.board->table_bytes, r->table_bytes);
    uint64_t least = agree_least(r, leads);
    if (!agree_holds(d, r->table_bytes, least)) {
        park_nap(AGREE_NAP_NS); /* a leader that raised it a moment ago may have seen us, and takes it back */
        least = agree_least(r, leads);
    }
    if (agree_holds(d, r->table_bytes, least)) {
        return 0;
    }
    return fault(TIDE_ERR_INVALID,
                 "table_bytes (--table) is %llu for replica %u: this domain's replicas have tables of %llu bytes, and "
                 "what they hold does not fit a smaller one. Give it as much, or leave the size out",
                 (unsigned long long)r->table_bytes, r->view.id, (unsigned long long)least);
}

/* ---- the leader --------------------------------------------------------------------------------------------------------- */

struct agreed {
    uint64_t table_bytes;
    struct table_limits limits;
};

static uint64_t agree_lower(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* What all replicas hold. Those with less than `floor` are about to be refused. A small table holds no more keys and bytes than a larger
 * one but for rounding, so each limit is compared. */
static struct agreed agree_look(const struct replica *leader, uint64_t floor) {
    const struct tide *d = leader->domain;
    struct agreed all = { leader->table_bytes, agree_limits(d, leader->table_bytes) };
    uint64_t last = leader->table_bytes;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        const struct replica_board *b = &d->log->replicas[i];
        uint64_t bytes = atomic_load(&b->table_bytes);
        if (i == leader->view.id || bytes == last || bytes < floor || !agree_runs(b) || !agree_is_budget(d, bytes)) {
            continue;
        }
        struct table_limits theirs = agree_limits(d, bytes);
        all.table_bytes = agree_lower(all.table_bytes, bytes);
        all.limits.arena.limit = agree_lower(all.limits.arena.limit, theirs.arena.limit);
        all.limits.arena.spare = agree_lower(all.limits.arena.spare, theirs.arena.spare);
        all.limits.keys = agree_lower(all.limits.keys, theirs.keys);
        last = bytes;
    }
    return all;
}

void agree_lead(struct replica *leader) {
    struct tide *d = leader->domain;
    _Atomic uint64_t *word = &d->log->leader.table_bytes;
    uint64_t before = atomic_load(word);
    uint64_t floor = agree_is_budget(d, before) && before <= leader->table_bytes ? before : 0;
    struct agreed all = agree_look(leader, floor);
    if (before != all.table_bytes) {
        atomic_store(word, all.table_bytes);
        all = agree_look(leader, floor); /* a newcomer that read the word before is seen now */
        atomic_store(word, all.table_bytes);
        if (before != 0 && before != all.table_bytes) {
            tide_logf(d, TIDE_LOG_INFO, "replica %u: what is admitted fits tables of %llu bytes from now on",
                      leader->view.id, (unsigned long long)all.table_bytes);
        }
    }
    if (leader->writer.arena.limit != all.limits.arena.limit || leader->writer.arena.spare != all.limits.arena.spare ||
        leader->writer.keys_limit != all.limits.keys) {
        table_admit_up_to(&leader->writer, all.limits);
    }
}

void agree_unlead(struct replica *r) {
    table_admit_up_to(&r->writer, agree_limits(r->domain, r->table_bytes));
}
