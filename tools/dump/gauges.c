/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump/gauges.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/tidemark.h"
#include "shm/board.h"
#include "shm/crc.h"
#include "shm/segment.h"
#include "tools/dump/dump.h"

/* ---- reads ------------------------------------------------------------------------------------------------------- */

/* One reader's keys, as tide_read_counts() adds them up. */
static void gauges_add_reader(struct gauges *g, const struct reader_slot *reader) {
    struct gauges_reader row = { .pid = (int32_t)reader->owner_pid };
    uint64_t served = 0, most = 0, misses = reader->misses;
    for (uint32_t k = 0; k < LAYOUT_REPLICAS; k++) {
        uint64_t here = 0;
        for (uint32_t reason = 0; reason < TIDE_REASON_REFUSED; reason++) {
            here += reader->counts[k][reason];
        }
        row.replica = here > most ? k : row.replica;
        most = here > most ? here : most;
        row.refused += reader->counts[k][TIDE_REASON_REFUSED];
        served += here;
    }
    row.reads = served;
    if (row.pid != 0 || served != 0 || row.refused != 0) {
        g->readers[g->n_readers++] = row;
    }
    uint64_t keys = served + reader->extra;
    g->misses += misses;
    g->hits += (int64_t)(keys - misses) > 0 ? keys - misses : 0; /* a read may be half counted just now */
    g->made += reader->made;
    g->waited += reader->waited;
}

static void gauges_add_reads(struct gauges *g, const struct log_segment *seg) {
    for (uint32_t i = 0; i < LAYOUT_READERS; i++) {
        gauges_add_reader(g, &seg->readers[i]);
    }
    for (uint32_t k = 0; k < LAYOUT_REPLICAS; k++) {
        for (uint32_t reason = 0; reason < LAYOUT_REASONS; reason++) {
            g->by_reason[reason] += g->peek.reads[k][reason];
        }
    }
}

/* ---- a replica --------------------------------------------------------------------------------------------------- */

/* When the entry at this position was committed; 0 where it cannot be had any more, or is another. */
static uint64_t gauges_commit_time(struct dump_file *f, const struct log_segment *seg, uint64_t pos, uint64_t index,
                                   uint64_t *complete_ts) {
    struct frame frame;
    uint64_t reclaimed, at = pos & (seg->ring_bytes - 1), head = seg->ring_bytes - at;
    head = head < sizeof(frame) ? head : sizeof(frame);
    if (!dump_file_read(f, seg->ring_off + at, &frame, head) ||
        (head < sizeof(frame) && !dump_file_read(f, seg->ring_off, (char *)&frame + head, sizeof(frame) - head))) {
        return 0;
    }
    atomic_thread_fence(memory_order_seq_cst);
    /* What lies at `reclaimed` or beyond was not overwritten before it was read. */
    if (!dump_file_read(f, offsetof(struct log_segment, leader.reclaimed), &reclaimed, sizeof(reclaimed))) {
        return 0;
    }
    bool good = reclaimed <= pos && frame.index == index;
    *complete_ts = good ? frame.lane_seq : 0; /* of a fed domain */
    return good ? frame.commit_ts : 0;
}

/* As the engine has it (docs/design.md, *Staleness, exactly*): a replica is complete up to the instant before the next entry's. */
static uint64_t gauges_staleness_of(struct dump_file *f, const struct log_segment *seg, const struct replica_board *b) {
    uint64_t applied = b->applied, complete = b->applied_ts, fed_ts = 0;
    bool fed = seg->source[0] != 0;
    if (applied >= seg->leader.commit && !fed) {
        return 0;
    }
    uint64_t next = applied < seg->leader.commit ? gauges_commit_time(f, seg, b->pos, applied + 1, &fed_ts) : 0;
    if (fed) { /* *Fed domains*: complete as of an instant at which the source was asked */
        fed_ts = applied >= seg->feed.complete_index ? seg->feed.complete_ts : fed_ts;
        complete = fed_ts > b->source_ts ? fed_ts : b->source_ts;
        if (complete == 0) {
            return UINT64_MAX;
        }
    } else if (next != 0 && next - 1 > complete) {
        complete = next - 1;
    }
    uint64_t ns = dump_age_ns(&seg->clock, complete);
    ns = ns == DUMP_AGE_UNKNOWN || ns == 0 ? 1 : ns;
    return ns + (ns >> 12) + 1; /* the domain's clock may be slow by some parts in a million: round up */
}

/* The log's header has been checked in every way; a table of that domain is of the same version and layout. */
static bool gauges_is_table_of(const struct segment_header *h, const struct segment_header *log, uint32_t replica) {
    return h->magic == log->magic && h->version == log->version && h->fingerprint == log->fingerprint &&
           h->kind == SEGMENT_TABLE && h->incarnation == log->incarnation && h->replica == replica &&
           crc32c(0, h, offsetof(struct segment_header, crc)) == h->crc;
}

static void gauges_read_table(struct gauges_replica *r, struct gauges_sum *sum, const struct segment_header *log) {
    char path[SEGMENT_PATH_BYTES];
    struct stat st;
    struct dump_file f;
    struct table_segment seg;
    if (segment_path(path, NULL, log->name, SEGMENT_TABLE, r->id) != 0 || lstat(path, &st) != 0 ||
        !S_ISREG(st.st_mode) || !dump_file_open(&f, path)) {
        return;
    }
    if (dump_file_read(&f, 0, &seg, sizeof(seg)) && gauges_is_table_of(&seg.header, log, r->id) &&
        peek_table_of(&seg, f.size_bytes, &r->table) == 0) {
        r->has_table = true;
        if (sum) {
            gauges_read_lag(&r->replication, sum, &f, seg.lag_all_off, seg.lag_windows_off);
        }
    }
    dump_file_close(&f);
}

static void gauges_read_replica(struct gauges *g, struct gauges_sum *sum, struct dump_file *f,
                                const struct log_segment *seg, uint32_t id) {
    const struct replica_board *b = &seg->replicas[id];
    uint32_t state = board_state(b);
    if (state == REPLICA_FREE || state == REPLICA_STOPPED || state > REPLICA_ORPHAN) {
        return;
    }
    struct gauges_replica *r = &g->replicas[g->n++];
    *r = (struct gauges_replica){
        .id = id,
        .state = state,
        .leads = g->peek.led && g->peek.leader == (int32_t)id,
        .lives = g->peek.living >> id & 1,
        .pid = (int32_t)b->pid,
        .applied = b->applied,
        .lag = dump_lag(seg, b),
        .staleness_ns = gauges_staleness_of(f, seg, b),
        .apply_delay_ns = b->apply_delay_ns,
        .entries = b->entries,
        .joins = b->joins,
        .lapped = b->lapped,
        .pins = board_pins(state),
        .pos = b->pos,
    };
    memcpy(r->by_reason, g->peek.reads[id], sizeof(r->by_reason));
    memcpy(r->label, b->label, sizeof(r->label));
    r->label[sizeof(r->label) - 1] = '\0';
    gauges_read_table(r, sum, &seg->header);
}

/* ---- a domain ---------------------------------------------------------------------------------------------------- */

static uint64_t gauges_ring_used(const struct log_segment *seg) {
    uint64_t tail = seg->leader.tail, least = board_least_pin(seg, UINT64_MAX);
    uint64_t used = least < tail ? tail - least : 0;
    return used < seg->ring_bytes ? used : seg->ring_bytes;
}

static void gauges_add_source(struct gauges *g, const struct log_segment *seg) {
    const struct feed_board *f = &seg->feed;
    memcpy(g->source, seg->source, sizeof(g->source));
    g->source[sizeof(g->source) - 1] = 0;
    if (g->source[0] == 0) {
        return;
    }
    memcpy(g->source_note, f->note, sizeof(g->source_note));
    g->source_note[sizeof(g->source_note) - 1] = 0;
    g->source_revision = f->position;
    g->complete_revision = f->complete_revision;
    g->complete_ns = f->complete_ts != 0 ? dump_age_ns(&seg->clock, f->complete_ts) : UINT64_MAX;
    g->questions = f->begun;
    g->answered = f->done;
    g->writes_open = f->writes_open;
}

static void gauges_read_log(void *ctx, struct dump_file *f, const struct dump_log *log) {
    struct gauges *g = ctx;
    const struct log_segment *seg = log->seg;
    g->known = true;
    g->now_ns = dump_now_ns();
    g->evicts = seg->evict != EVICT_NONE;
    g->default_ttl_ns = seg->default_ttl_ns;
    g->ring_tail = seg->leader.tail;
    g->ring_reclaimed = seg->leader.reclaimed;
    g->groups = seg->leader.groups;
    g->ring_used_bytes = gauges_ring_used(seg);
    g->ring_waits = seg->leader.waits;
    g->refused_full = seg->leader.refused_full;
    g->lapped = seg->leader.lapped;
    g->expired = seg->leader.expired;
    g->evicted = seg->leader.evicted;
    gauges_add_source(g, seg);
    gauges_add_reads(g, seg);
    struct gauges_sum *sum = gauges_sum_new(); /* without memory lag is not known */
    for (uint32_t id = 0; id < LAYOUT_REPLICAS; id++) {
        gauges_read_replica(g, sum, f, seg, id);
    }
    gauges_sum_free(sum);
}

void gauges_why(const struct gauges *g, char *why, size_t why_size) {
    static const char *const WORDS[] = { "", "", "damaged: ", "it cannot be opened: ", "" };
    if (g->missing) {
        const char *no_directory = peek_no_directory();
        snprintf(why, why_size, "%s",
                 no_directory ? no_directory : "there is no such domain; 'tide ls' lists the domains");
    } else if (g->known) {
        snprintf(why, why_size, "%s", "");
    } else {
        snprintf(why, why_size, "%s%s", WORDS[g->peek.state], g->peek.why);
    }
}

const struct gauges_replica *gauges_find(const struct gauges *g, uint32_t id) {
    for (uint32_t i = 0; i < g->n; i++) {
        if (g->replicas[i].id == id) {
            return &g->replicas[i];
        }
    }
    return NULL;
}

const char *gauges_state(const struct gauges_replica *r) {
    return r->state != TIDE_STATE_ORPHAN && !r->lives ? "dead" : tide_state_name((enum tide_state)r->state);
}

void gauges_read(struct gauges *g, const char *name) {
    memset(g, 0, sizeof(*g));
    g->missing = peek_domain_more(name, &g->peek, gauges_read_log, g) != 0;
}
