/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide dump --json`: one object a line; the fields are listed in docs/layout.md. Random 64-bit numbers are hex
 * strings, because most readers of JSON keep 53 bits of a number. */
#include <inttypes.h>

#include "engine/tidemark.h"
#include "shm/board.h"
#include "shm/hdr.h"
#include "tools/dump_print.h"

static void start(struct dump_view *v, const char *line) {
    fprintf(v->out, "{\"line\": \"%s\"", line);
}

static void finish(struct dump_view *v) {
    fputs("}\n", v->out);
}

static void number(struct dump_view *v, const char *name, uint64_t value) {
    fprintf(v->out, ", \"%s\": %" PRIu64, name, value);
}

static void hex(struct dump_view *v, const char *name, uint64_t value) {
    fprintf(v->out, ", \"%s\": \"0x%016" PRIx64 "\"", name, value);
}

static void boolean(struct dump_view *v, const char *name, bool value) {
    fprintf(v->out, ", \"%s\": %s", name, value ? "true" : "false");
}

/* Returns whether all of it was shown. */
static bool text(struct dump_view *v, const char *name, const void *bytes, size_t n, uint64_t room) {
    fprintf(v->out, ", \"%s\": \"", name);
    size_t shown = dump_escape(v->out, bytes, n, room, true);
    fputc('"', v->out);
    return shown == n;
}

static void word(struct dump_view *v, const char *name, const char *value) {
    fprintf(v->out, ", \"%s\": \"%s\"", name, value);
}

static void age(struct dump_view *v, const char *name, uint64_t ts) {
    uint64_t age_ns = v->ages ? dump_age_ns(&v->clock, ts) : DUMP_AGE_UNKNOWN;
    if (age_ns == DUMP_AGE_UNKNOWN)
        fprintf(v->out, ", \"%s\": null", name);
    else
        number(v, name, age_ns);
}

static void json_header(struct dump_view *v, const struct dump_file *f, const struct segment_header *h,
                        bool understood) {
    start(v, "header");
    text(v, "path", f->path, dump_name_len(f->path, sizeof(f->path)), DUMP_UNBOUNDED);
    number(v, "file_bytes", f->size_bytes);
    boolean(v, "understood", understood);
    if (understood) {
        word(v, "kind", dump_kind_name(h->kind));
        number(v, "version", h->version);
        hex(v, "fingerprint", h->fingerprint);
        number(v, "size_bytes", h->size_bytes);
        hex(v, "incarnation", h->incarnation);
        hex(v, "segment_id", h->segment_id);
        number(v, "created_unix_ns", h->created_unix_ns);
        number(v, "time_ns_inode", h->time_ns_inode);
        number(v, "owner_uid", h->owner_uid);
        number(v, "replica", h->replica);
        text(v, "name", h->name, dump_name_len(h->name, sizeof(h->name)), DUMP_UNBOUNDED);
        boolean(v, "ages_known", v->ages);
    }
    finish(v);
}

static void print_leader(struct dump_view *v, const struct dump_log *log) {
    const struct log_segment *seg = log->seg;
    const struct leader_board *l = &seg->leader;
    start(v, "settings");
    number(v, "ring_off", seg->ring_off);
    number(v, "ring_bytes", seg->ring_bytes);
    number(v, "slow_follower_ns", seg->slow_follower_ns);
    number(v, "table_bytes", seg->table_bytes);
    number(v, "expected_keys", seg->expected_keys);
    word(v, "clock", seg->clock.use_tsc ? "tsc" : "clock_gettime");
    finish(v);
    start(v, "leader");
    if (l->leader < 0)
        fputs(", \"replica\": null", v->out);
    else
        number(v, "replica", (uint64_t)l->leader);
    boolean(v, "led", log->led);
    number(v, "term", l->term);
    number(v, "commit", l->commit);
    number(v, "tail", l->tail);
    number(v, "reclaimed", l->reclaimed);
    number(v, "groups", l->groups);
    number(v, "wakes", l->wakes);
    number(v, "waits", l->waits);
    number(v, "lapped", l->lapped);
    number(v, "refused_full", l->refused_full);
    number(v, "parked", l->parked);
    finish(v);
}

static void print_members(struct dump_view *v, const struct dump_log *log) {
    for (uint32_t i = 0; i < LAYOUT_MEMBERS; i++) {
        const struct member_slot *m = &log->seg->members[i];
        if (m->used == 0)
            continue;
        start(v, "member");
        number(v, "id", i);
        number(v, "pid", m->pid);
        boolean(v, "alive", log->lives[i]);
        number(v, "started_unix_ns", m->started_unix_ns);
        finish(v);
    }
}

static void print_lane(struct dump_view *v, uint32_t id, const struct lane *lane) {
    bool member = lane->owner != 0 && lane->owner != LANE_ORPHAN;
    fprintf(v->out, "{\"id\": %u", id);
    word(v, "owner", member ? "member" : lane->owner == 0 ? "free" : "orphan");
    if (member)
        number(v, "member", lane->owner - 1);
    else
        fputs(", \"member\": null", v->out);
    number(v, "pid", lane->pid);
    word(v, "phase", dump_phase_name(dump_lane_phase(lane)));
    number(v, "seq", dump_lane_seq(lane));
    number(v, "ops", lane->ops);
    number(v, "bytes", lane->request_bytes);
    boolean(v, "spilled", lane->spilled != 0);
    boolean(v, "asleep", lane->asleep != 0);
    if (dump_lane_phase(lane) == LANE_ANSWERED)
        fprintf(v->out,
                ", \"answer\": {\"result\": %d, \"index\": %" PRIu64 ", \"found\": %" PRIu64 ", \"failed\": %u}}",
                lane->result, lane->index, lane->found, lane->failed);
    else
        fputs(", \"answer\": null}", v->out);
}

static void print_lanes(struct dump_view *v, const struct log_segment *seg) {
    const struct lanes_board *b = &seg->lanes_board;
    const char *between = "";
    start(v, "lanes");
    hex(v, "ready", b->ready);
    boolean(v, "asleep", b->asleep != 0);
    boolean(v, "step_down", b->step_down != 0);
    fputs(", \"lanes\": [", v->out);
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        if (!dump_lane_shown(&seg->lanes[i]))
            continue;
        fputs(between, v->out);
        print_lane(v, i, &seg->lanes[i]);
        between = ", ";
    }
    fputc(']', v->out);
    finish(v);
}

static void print_replica(struct dump_view *v, const struct log_segment *seg, uint32_t id) {
    const struct replica_board *b = &seg->replicas[id];
    uint64_t lag = dump_lag(seg, b);
    start(v, "replica");
    number(v, "id", id);
    text(v, "label", b->label, dump_name_len(b->label, sizeof(b->label)), DUMP_UNBOUNDED);
    word(v, "role", dump_role_name(b->role));
    word(v, "state", dump_state_name(b->state));
    number(v, "member", board_owner(b));
    number(v, "pid", b->pid);
    number(v, "applied", b->applied);
    number(v, "applied_ts", b->applied_ts);
    number(v, "lag", lag);
    if (lag == 0)
        number(v, "staleness_ns", 0);
    else
        age(v, "staleness_ns", b->applied_ts);
    number(v, "pos", b->pos);
    number(v, "apply_delay_ns", b->apply_delay_ns);
    number(v, "entries", b->entries);
    number(v, "joins", b->joins);
    number(v, "lapped", b->lapped);
    number(v, "waiters", b->waiters);
    number(v, "digest_index", b->digest_index);
    hex(v, "digest", b->digest);
    hex(v, "segment_id", b->segment_id);
    finish(v);
}

static void print_counts(struct dump_view *v, const uint64_t counts[LAYOUT_REASONS]) {
    for (uint32_t reason = 0; reason < TIDE_REASONS; reason++)
        number(v, tide_reason_name((enum tide_reason)reason), counts[reason]);
}

static void print_reads(struct dump_view *v, const struct log_segment *seg) {
    struct dump_reads reads;
    dump_reads_sum(&reads, seg);
    start(v, "reads");
    number(v, "readers", reads.readers);
    print_counts(v, reads.all);
    fputs(", \"replicas\": [", v->out);
    const char *between = "";
    for (uint32_t id = 0; id < LAYOUT_REPLICAS; id++) {
        if (!reads.served[id])
            continue;
        fprintf(v->out, "%s{\"id\": %u", between, id);
        print_counts(v, reads.by[id]);
        fputc('}', v->out);
        between = ", ";
    }
    fputc(']', v->out);
    finish(v);
}

static void json_log(struct dump_view *v, const struct dump_log *log) {
    const struct log_segment *seg = log->seg;
    print_leader(v, log);
    print_members(v, log);
    for (uint32_t id = 0; id < LAYOUT_REPLICAS; id++)
        if (seg->replicas[id].state != REPLICA_FREE)
            print_replica(v, seg, id);
    print_lanes(v, seg);
    print_reads(v, seg);
}

static void print_lag(struct dump_view *v, const char *name, const struct hdr *h) {
    static const char *const NAMES[DUMP_LAG_PERCENTILES] = { "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns" };
    struct dump_lag_summary lag = dump_lag_summary(h);
    fprintf(v->out, ", \"%s\": {\"entries\": %" PRId64, name, lag.entries);
    for (int i = 0; i < DUMP_LAG_PERCENTILES; i++)
        number(v, NAMES[i], (uint64_t)lag.ns[i]);
    fputc('}', v->out);
}

static void json_table(struct dump_view *v, const struct dump_table *t) {
    const struct table_segment *s = &t->seg;
    start(v, "table");
    number(v, "replica", s->header.replica);
    number(v, "live_keys", s->live_keys);
    number(v, "live_bytes", s->live_bytes);
    number(v, "retired_bytes", s->retired_bytes);
    number(v, "buckets", s->buckets);
    number(v, "buckets_off", s->buckets_off);
    number(v, "reorganised", s->reorganised);
    number(v, "reused", s->reused);
    number(v, "used_bytes", s->used_bytes);
    number(v, "sum_bytes", s->sum_bytes);
    number(v, "limit_bytes", s->limit_bytes);
    number(v, "pages_off", s->pages_off);
    number(v, "page_bytes", s->page_bytes);
    number(v, "nodes_end", s->nodes_end);
    if (t->all && t->rolling) {
        print_lag(v, "lag_all", t->all);
        print_lag(v, "lag_10s", t->rolling);
    }
    fputs(", \"lanes\": [", v->out);
    const char *between = "";
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        if (s->lanes[i].seq == 0)
            continue;
        fprintf(v->out, "%s{\"id\": %u, \"seq\": %" PRIu64 ", \"index\": %" PRIu64 "}", between, i, s->lanes[i].seq,
                s->lanes[i].index);
        between = ", ";
    }
    fputc(']', v->out);
    finish(v);
}

static void json_spill(struct dump_view *v, const struct segment_header *h) {
    start(v, "spill");
    number(v, "lane", h->replica);
    number(v, "request_bytes", h->size_bytes < sizeof(*h) ? 0 : h->size_bytes - sizeof(*h));
    finish(v);
}

static void json_ring(struct dump_view *v, const struct log_segment *seg) {
    start(v, "ring");
    number(v, "bytes", seg->ring_bytes);
    number(v, "commit", seg->leader.commit);
    number(v, "tail", seg->leader.tail);
    number(v, "reclaimed", seg->leader.reclaimed);
    finish(v);
}

static void json_frame(struct dump_view *v, const struct dump_frame *frame) {
    const struct frame *f = &frame->f;
    start(v, "frame");
    number(v, "index", f->index);
    number(v, "pos", frame->pos);
    number(v, "length", f->length);
    number(v, "term", f->term);
    number(v, "commit_ts", f->commit_ts);
    age(v, "age_ns", f->commit_ts);
    word(v, "type", dump_type_name(f->type));
    number(v, "lane", f->lane);
    number(v, "lane_seq", f->lane_seq);
    number(v, "flags", f->flags);
    boolean(v, "more", (f->flags & FRAME_MORE) != 0);
    fprintf(v->out, ", \"crc\": \"%s\"", frame->crc_good ? "good" : "bad");
    number(v, "key_len", f->key_len);
    number(v, "value_len", f->value_len);
    bool key_whole = text(v, "key", frame->key, f->key_len, v->full ? DUMP_UNBOUNDED : v->key_room);
    bool value_whole = text(v, "value", frame->value, f->value_len, v->full ? DUMP_UNBOUNDED : v->value_room);
    boolean(v, "cut", !key_whole || !value_whole);
    if (frame->problem)
        word(v, "problem", frame->problem);
    finish(v);
}

static void json_gap(struct dump_view *v, const struct dump_gap *gap) {
    start(v, "gap");
    number(v, "first", gap->first);
    number(v, "last", gap->last);
    word(v, "why", gap->why);
    finish(v);
}

static void json_problem(struct dump_view *v, const char *what) {
    start(v, "problem");
    word(v, "text", what);
    finish(v);
}

static void json_end(struct dump_view *v, const struct dump_totals *t) {
    start(v, "end");
    number(v, "frames", t->frames);
    number(v, "bad", t->bad);
    number(v, "problems", t->problems);
    number(v, "code", t->code);
    finish(v);
}

const struct dump_format dump_json = {
    .header = json_header,
    .log = json_log,
    .table = json_table,
    .spill = json_spill,
    .ring = json_ring,
    .frame = json_frame,
    .gap = json_gap,
    .problem = json_problem,
    .end = json_end,
};
