/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* After the killing: is everything there that was acknowledged, once, whole, and the same in all replicas? */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shm/board.h"
#include "shm/bytes.h"
#include "shm/crc.h"
#include "shm/ring.h"
#include "shm/segment.h"
#include "tests/crash_world.h"

#define CHECK_PATIENCE_NS UINT64_C(20000000000)

/* A linearizable read, however long it takes until there is a leader. */
static int check_get(struct crash_world *w, struct tide_reader *r, const char *key, size_t key_len, void *buf,
                     size_t room, struct tide_answer *a) {
    uint64_t until = crash_now_ns() + CHECK_PATIENCE_NS;
    for (;;) {
        int error = tide_get(r, key, key_len, NULL, buf, room, a);
        if (error == 0 || error == TIDE_ERR_NOT_FOUND) {
            return error;
        }
        if (crash_now_ns() > until) {
            crash_fail(w, "key %.*s: nobody serves it: %s", (int)key_len, key, tide_strerror(error));
            return error;
        }
        crash_nap_us(1000);
    }
}

static void check_key(struct crash_world *w, struct tide_reader *r, uint32_t writer, uint32_t key,
                      uint32_t generation) {
    static uint8_t value[CRASH_BIG_BYTES];
    const struct crash_key *k = &w->writers[writer].keys[key][generation];
    uint64_t acked = atomic_load(&k->acked), pending = atomic_load(&k->pending), n[2] = { 0, 0 };
    if (acked == 0 && pending == 0) {
        return;
    }
    for (uint32_t part = 0; part < (key == CRASH_PAIR ? 2u : 1u); part++) {
        char name[48];
        size_t length = crash_key_name(name, writer, key, generation, part);
        struct tide_answer a = TIDE_ANSWER_INIT;
        int error = check_get(w, r, name, length, value, sizeof(value), &a);
        if (error != 0 && error != TIDE_ERR_NOT_FOUND) {
            return;
        }
        n[part] = error == 0 ? crash_value_number(value, a.value_size, writer, key, generation) : 0;
        bool is_acked = acked != 0 && (error == 0 ? n[part] << 1 == acked : (acked & 1) != 0);
        bool is_pending = pending != 0 && (error == 0 ? n[part] << 1 == pending : (pending & 1) != 0);
        bool never = error != 0 && acked == 0;
        if (error == 0 && n[part] == 0) {
            crash_fail(w, "key %s is torn", name);
        } else if (!is_acked && !is_pending && !never) {
            crash_fail(w, "key %s: acknowledged %llu%s at %llu, unknown %llu%s, found %s%llu", name,
                       (unsigned long long)(acked >> 1), acked & 1 ? " (delete)" : "",
                       (unsigned long long)atomic_load(&k->index), (unsigned long long)(pending >> 1),
                       pending & 1 ? " (delete)" : "", error == 0 ? "" : "nothing ", (unsigned long long)n[part]);
        }
        uint64_t index = atomic_load(&k->index) - (key == CRASH_PAIR && part == 0);
        if (error == 0 && is_acked && a.version != index) {
            crash_fail(w, "key %s: acknowledged at index %llu, the log has it at %llu", name, (unsigned long long)index,
                       (unsigned long long)a.version);
        }
    }
    if (key == CRASH_PAIR && n[0] != n[1]) {
        crash_fail(w, "writer %u: half a batch: %llu and %llu", writer, (unsigned long long)n[0],
                   (unsigned long long)n[1]);
    }
}

static void check_counter(struct crash_world *w, struct tide_reader *r) {
    uint64_t value = 0, acks = 0, unknown = 0;
    struct tide_answer a = TIDE_ANSWER_INIT;
    check_get(w, r, "count", 5, &value, sizeof(value), &a);
    for (uint32_t i = 0; i < CRASH_WRITERS; i++) {
        acks += atomic_load(&w->writers[i].counted);
        unknown += atomic_load(&w->writers[i].counted_unknown) + atomic_load(&w->writers[i].counting);
    }
    if (value < acks || value > acks + unknown) {
        crash_fail(w, "the counter is %llu: %llu increments were acknowledged, %llu are unknown",
                   (unsigned long long)value, (unsigned long long)acks, (unsigned long long)unknown);
    }
}

static void check_sum(struct crash_world *w, struct tide_reader *r) {
    char text[32] = { 0 };
    uint64_t added = 0, unknown = 0;
    struct tide_answer a = TIDE_ANSWER_INIT;
    check_get(w, r, "sum", 3, text, sizeof(text) - 1, &a);
    for (uint32_t i = 0; i < CRASH_WRITERS; i++) {
        added += atomic_load(&w->writers[i].added);
        unknown += atomic_load(&w->writers[i].added_unknown) + atomic_load(&w->writers[i].adding);
    }
    uint64_t sum = strtoull(text, NULL, 10);
    if (sum < added || sum > added + unknown) {
        crash_fail(w, "the sum is %s: %llu were added and acknowledged, %llu are unknown", text,
                   (unsigned long long)added, (unsigned long long)unknown);
    }
}

/* All replicas, once they have caught up. */
static void check_replicas(struct crash_world *w, struct tide *d) {
    uint64_t until = crash_now_ns() + CHECK_PATIENCE_NS;
    struct tide_verify v = TIDE_VERIFY_INIT;
    for (;;) {
        int error = tide_verify(d, &v);
        if (error != 0 || v.differing != 0 || v.damaged != 0) {
            crash_fail(w, "verify: %s, %u of %u replicas differ, %llu of %llu nodes damaged", tide_strerror(error),
                       v.differing, v.replicas, (unsigned long long)v.damaged, (unsigned long long)v.nodes);
            return;
        }
        if (v.replicas != 0 && v.compared == v.replicas) {
            return;
        }
        if (crash_now_ns() > until) {
            crash_fail(w, "verify: %u of %u replicas could be compared at index %llu", v.compared, v.replicas,
                       (unsigned long long)v.index);
            return;
        }
        crash_nap_us(2000);
    }
}

void crash_check_all(struct crash_world *w, struct tide *d) {
    struct tide_reader *r;
    int error = tide_reader_open(d, NULL, &r);
    if (error != 0) {
        crash_fail(w, "reader: %s", tide_strerror(error));
        return;
    }
    /* A write that is answered: there is a leader, and it has looked at the lanes of the dead. */
    uint64_t until = crash_now_ns() + CHECK_PATIENCE_NS;
    while ((error = tide_put(d, r, "check", 5, "x", 1, NULL)) != 0 && crash_now_ns() < until) {
    }
    if (error != 0) {
        crash_fail(w, "nobody takes a write any more: %s", tide_strerror(error));
        return;
    }
    tide_gc(d, NULL);
    for (uint32_t i = 0; i < CRASH_WRITERS; i++) {
        for (uint32_t key = 0; key < CRASH_KEYS; key++) {
            uint32_t last = atomic_load(&w->writers[i].generation[key]);
            for (uint32_t g = 0; g <= last && g < CRASH_GENERATIONS; g++) {
                check_key(w, r, i, key, g);
            }
        }
    }
    check_counter(w, r);
    check_sum(w, r);
    check_replicas(w, d);
    tide_reader_close(r);
}

/* ---- the auditor ------------------------------------------------------------------------------------------------------ */

struct crash_audit {
    struct crash_world *w;
    struct segment segment;
    struct log_segment *log;
    struct ring ring;
    uint64_t index, pos; /* of the next frame */
    uint64_t entries, last_ts;
    uint32_t last_term;
    bool more; /* the frame before was not the last of its batch */
    uint64_t lane_seq[LAYOUT_LANES + 1];
    uint8_t payload[CRASH_BIG_BYTES * 2];
    uint8_t seen[CRASH_WRITERS][CRASH_NUMBERS / 8];
};

struct crash_audit *crash_audit_open(struct crash_world *w) {
    struct crash_audit *a = calloc(1, sizeof(*a));
    assert_non_null(a);
    a->w = w;
    a->segment = (struct segment)SEGMENT_INIT;
    a->index = 1;
    if (segment_attach(&a->segment, NULL, w->name, SEGMENT_LOG, 0, false) != 0) {
        free(a);
        return NULL;
    }
    a->log = (struct log_segment *)a->segment.base;
    a->ring = (struct ring){ .log = a->log, .bytes = a->log->ring_bytes };
    assert_int_equal(segment_map_ring(&a->segment, a->log->ring_off, a->ring.bytes, &a->ring.base), 0);
    return a;
}

/* The ring went on without us: from a newer frame whose place is known. */
static bool audit_skip(struct crash_audit *a, uint64_t commit) {
    uint64_t best = 0, pos = 0;
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        uint64_t index = atomic_load(&a->log->marks[i].index), at = atomic_load(&a->log->marks[i].pos);
        if (index > best && index <= commit && atomic_load(&a->log->marks[i].index) == index) {
            best = index;
            pos = at;
        }
    }
    if (best <= a->index) {
        return false;
    }
    a->index = best;
    a->pos = pos;
    a->more = false;
    memset(a->lane_seq, 0, sizeof(a->lane_seq));
    return true;
}

static void audit_number(struct crash_audit *a, const struct frame *f) {
    uint32_t writer, key, generation, part;
    char name[64] = { 0 };
    if (f->type != FRAME_PUT || f->key_len >= sizeof(name)) {
        return;
    }
    memcpy(name, a->payload, f->key_len);
    if (sscanf(name, "%u.%u.%u.%u", &writer, &key, &generation, &part) != 4 || writer >= CRASH_WRITERS) {
        return;
    }
    uint64_t n = crash_value_number(a->payload + f->key_len, f->value_len, writer, key, generation);
    if (n == 0 || n >= CRASH_NUMBERS) {
        crash_fail(a->w, "entry %llu: the log has a torn value", (unsigned long long)f->index);
        return;
    }
    uint8_t bit = (uint8_t)(1u << n % 8);
    if (part == 0) {
        if ((a->seen[writer][n / 8] & bit) != 0) {
            crash_fail(a->w, "entry %llu: write %llu of writer %u is in the log twice", (unsigned long long)f->index,
                       (unsigned long long)n, writer);
        }
        a->seen[writer][n / 8] |= bit;
    }
}

static void audit_frame(struct crash_audit *a, const struct frame *f, uint32_t payload_crc) {
    if (ring_frame_crc(f, payload_crc) != f->crc) {
        crash_fail(a->w, "entry %llu: its CRC is wrong", (unsigned long long)f->index);
    }
    if (f->commit_ts < a->last_ts || f->term < a->last_term) {
        crash_fail(a->w, "entry %llu: time or term fell (%llu after %llu, %u after %u)", (unsigned long long)f->index,
                   (unsigned long long)f->commit_ts, (unsigned long long)a->last_ts, f->term, a->last_term);
    }
    if (f->lane > LAYOUT_LANES) {
        crash_fail(a->w, "entry %llu: lane %u", (unsigned long long)f->index, f->lane);
    } else if (f->lane != 0) {
        uint64_t before = a->lane_seq[f->lane];
        if (a->more ? f->lane_seq != before : f->lane_seq <= before) {
            crash_fail(a->w, "entry %llu: request %llu of lane %u after %llu", (unsigned long long)f->index,
                       (unsigned long long)f->lane_seq, f->lane, (unsigned long long)before);
        }
        a->lane_seq[f->lane] = f->lane_seq;
    }
    audit_number(a, f);
    atomic_fetch_add(&a->w->evicted, f->type == FRAME_EVICT);
    atomic_fetch_add(&a->w->expired, f->type == FRAME_EXPIRE);
    a->more = (f->flags & FRAME_MORE) != 0;
    a->last_ts = f->commit_ts;
    a->last_term = f->term;
    a->entries++;
}

void crash_audit_step(struct crash_audit *a) {
    uint64_t begun =
        atomic_load(&a->w->begun); /* before commit: what comes after that was begun later, or is under way */
    uint64_t commit = board_commit(a->log);
    while (a->index <= commit) {
        struct frame f;
        enum ring_status status = ring_header(&a->ring, a->pos, a->index, &f);
        size_t payload = status == RING_OK ? (size_t)ring_payload_bytes(&f) : 0;
        if (status == RING_OK && payload <= sizeof(a->payload)) {
            bytes_copy_racy(a->payload, ring_payload(&a->ring, a->pos), payload);
            status = ring_intact(&a->ring, a->pos) ? RING_OK : RING_LAPPED;
        }
        if (status == RING_CORRUPT) {
            crash_fail(a->w, "the log is damaged at entry %llu, position %llu, of %llu", (unsigned long long)a->index,
                       (unsigned long long)a->pos, (unsigned long long)commit);
        }
        if (status != RING_OK) {
            if (!audit_skip(a, commit)) {
                return;
            }
            continue;
        }
        audit_frame(a, &f, crc32c(0, a->payload, payload));
        a->pos += f.length;
        a->index++;
    }
    atomic_store(&a->w->audited, begun);
}

uint64_t crash_audit_bytes(const struct crash_audit *a) {
    return a->pos;
}

uint64_t crash_audit_entries(const struct crash_audit *a) {
    return a->entries;
}

uint64_t crash_audit_missed(struct crash_audit *a) {
    uint64_t commit = board_commit(a->log);
    crash_audit_step(a); /* to there, or further: a change of leader makes an entry at any time */
    return (a->index <= commit ? commit : a->index - 1) - a->entries;
}

bool crash_audit_stale(const struct crash_audit *a) {
    return a->entries == 0 && segment_is_current(&a->segment) == 0;
}

pid_t crash_audit_leader(const struct crash_audit *a, uint32_t *term, uint64_t *commit) {
    int32_t leader = atomic_load(&a->log->leader.leader);
    if (term != NULL) {
        *term = atomic_load(&a->log->leader.term);
    }
    if (commit != NULL) {
        *commit = board_commit(a->log);
    }
    return leader >= 0 && leader < (int32_t)LAYOUT_REPLICAS ? (pid_t)atomic_load(&a->log->replicas[leader].pid) : 0;
}

static bool audit_lives(uint32_t pid) {
    return kill((pid_t)pid, 0) == 0 || errno != ESRCH;
}

/* Describe the slot of a dead member. False: there is none. */
static bool audit_dead_slot(const struct log_segment *log, char *what, size_t room) {
    for (uint32_t i = 0; i < LAYOUT_MEMBERS; i++) {
        if (atomic_load(&log->members[i].used) != 0 && !audit_lives(atomic_load(&log->members[i].pid))) {
            snprintf(what, room, "member %u is dead and was not reaped", i);
            return true;
        }
    }
    for (uint32_t i = 0; i < LAYOUT_READERS; i++) {
        uint32_t pid = atomic_load(&log->readers[i].owner_pid);
        if (pid != 0 && !audit_lives(pid)) {
            snprintf(what, room, "reader slot %u is a dead process's", i);
            return true;
        }
    }
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        uint32_t owner = atomic_load(&log->lanes[i].owner);
        bool taken = (atomic_load(&log->lanes[i].turn) & 7) == LANE_TAKEN;
        bool owned = owner != 0 && owner <= LAYOUT_MEMBERS && atomic_load(&log->members[owner - 1].used) != 0;
        if (owner == UINT32_MAX ? taken : owner != 0 && !owned) {
            snprintf(what, room, "lane %u is a dead process's (owner %u)", i, owner);
            return true;
        }
    }
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        uint32_t state = board_state(&log->replicas[i]);
        if (state != REPLICA_FREE && state != REPLICA_STOPPED && !audit_lives(atomic_load(&log->replicas[i].pid))) {
            snprintf(what, room, "replica %u is a dead process's, state %u", i, state);
            return true;
        }
    }
    return false;
}

void crash_audit_slots(struct crash_audit *a) {
    /* A process that is just opening the domain may be at it, and the collector has left it to that process. */
    uint64_t until = crash_now_ns() + CHECK_PATIENCE_NS;
    char what[128];
    while (audit_dead_slot(a->log, what, sizeof(what))) {
        if (crash_now_ns() > until) {
            crash_fail(a->w, "%s", what);
            return;
        }
        crash_nap_us(1000);
    }
}

void crash_audit_drop(struct crash_audit *a) {
    segment_unmap_ring(a->ring.base, a->ring.bytes);
    segment_detach(&a->segment);
    free(a);
}

void crash_audit_close(struct crash_audit *a) {
    crash_audit_step(a);
    for (uint32_t i = 0; i < CRASH_WRITERS; i++) {
        uint64_t numbers = atomic_load(&a->w->writers[i].next);
        for (uint64_t n = 0; n / 8 < sizeof(a->seen[i]) && n <= numbers; n += 8) {
            if ((a->seen[i][n / 8] & atomic_load(&a->w->writers[i].refused[n / 8])) != 0) {
                crash_fail(a->w, "writer %u: a write near %llu was refused, and is in the log", i,
                           (unsigned long long)n);
            }
        }
    }
    crash_audit_drop(a);
}
