/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide dump --json`: one object a line; the fields are listed in docs/layout.md. Random 64-bit numbers are hex
 * strings, because most readers of JSON keep 53 bits of a number. */
#include <inttypes.h>

#include "engine/tidemark.h"
#include "shm/board.h"
#include "shm/hdr.h"
#include "shm/usage.h"
#include "tools/dump/peek.h"
#include "tools/dump/print.h"
#include "tools/lib/key_sizes.h"

#define PIECE 4096u
#define FLUSH_SIZE (64u << 10)

static struct json_out *json_start(struct dump_view *v, const char *line) {
    json_out_open(&v->json, NULL, '{');
    json_out_text(&v->json, "line", line);
    return &v->json;
}

static void json_finish(struct dump_view *v) {
    json_out_close(&v->json, '}');
    json_out_end_line(&v->json);
    json_out_flush(&v->json, v->out);
}

static void json_hex(struct json_out *j, const char *name, uint64_t value) {
    char text[24];
    snprintf(text, sizeof(text), "0x%016" PRIx64, value);
    json_out_text(j, name, text);
}

/*
 * Bytes, escaped as in the text form; the escapes are ASCII, and JSON escapes their backslashes once more. Piece by
 * piece, since a value may be larger than what memory is there for its escapes. Returns whether all of it was shown.
 */
static bool json_text(struct dump_view *v, const char *name, const void *bytes, size_t n, uint64_t room) {
    struct buf escaped = { 0 };
    size_t done = 0, taken = 0, piece = 0;
    json_out_name(&v->json, name);
    buf_add_char(&v->json.text, '"');
    for (; done < n && taken == piece && !ferror(v->out); done += taken) {
        piece = n - done < PIECE ? n - done : PIECE;
        escaped.size = 0;
        taken = escape_bytes(&escaped, (const char *)bytes + done, piece, room);
        room -= room == ESCAPE_UNBOUNDED ? 0 : escaped.size;
        for (size_t i = 0; i < escaped.size; i++) {
            json_quote_byte(&v->json.text, escaped.data[i]);
        }
        if (v->json.text.size >= FLUSH_SIZE) {
            json_out_flush(&v->json, v->out);
        }
    }
    buf_add_char(&v->json.text, '"');
    buf_free(&escaped);
    return done == n;
}

static void json_age(struct dump_view *v, const char *name, uint64_t ts) {
    uint64_t age_ns = v->ages ? dump_age_ns(&v->clock, ts) : DUMP_AGE_UNKNOWN;
    if (age_ns == DUMP_AGE_UNKNOWN) {
        json_out_null(&v->json, name);
    } else {
        json_out_u64(&v->json, name, age_ns);
    }
}

static void json_header(struct dump_view *v, const struct dump_file *f, const struct segment_header *h,
                        bool understood) {
    struct json_out *j = json_start(v, "header");
    json_text(v, "path", f->path, dump_name_len(f->path, sizeof(f->path)), ESCAPE_UNBOUNDED);
    json_out_u64(j, "file_bytes", f->size_bytes);
    json_out_bool(j, "understood", understood);
    if (understood) {
        json_out_text(j, "kind", dump_kind_name(h->kind));
        json_out_u64(j, "version", h->version);
        json_hex(j, "fingerprint", h->fingerprint);
        json_out_u64(j, "size_bytes", h->size_bytes);
        json_hex(j, "incarnation", h->incarnation);
        json_hex(j, "segment_id", h->segment_id);
        json_out_u64(j, "created_unix_ns", h->created_unix_ns);
        json_out_u64(j, "time_ns_inode", h->time_ns_inode);
        json_out_u64(j, "owner_uid", h->owner_uid);
        json_out_u64(j, "replica", h->replica);
        json_text(v, "name", h->name, dump_name_len(h->name, sizeof(h->name)), ESCAPE_UNBOUNDED);
        json_out_bool(j, "ages_known", v->ages);
    }
    json_finish(v);
}

static void json_leader(struct dump_view *v, const struct dump_log *log) {
    const struct log_segment *seg = log->seg;
    const struct leader_board *l = &seg->leader;
    struct json_out *j = json_start(v, "settings");
    json_out_u64(j, "ring_off", seg->ring_off);
    json_out_u64(j, "ring_bytes", seg->ring_bytes);
    json_out_u64(j, "slow_follower_ns", seg->slow_follower_ns);
    json_out_u64(j, "table_bytes", seg->table_bytes);
    json_out_u64(j, "expected_keys", seg->expected_keys);
    json_out_text(j, "clock", seg->clock.use_tsc ? "tsc" : "clock_gettime");
    json_finish(v);
    json_start(v, "leader");
    if (l->leader < 0) {
        json_out_null(j, "replica");
    } else {
        json_out_u64(j, "replica", (uint64_t)l->leader);
    }
    json_out_bool(j, "led", log->led);
    json_out_u64(j, "term", l->term);
    json_out_u64(j, "commit", l->commit);
    json_out_u64(j, "tail", l->tail);
    json_out_u64(j, "reclaimed", l->reclaimed);
    json_out_u64(j, "groups", l->groups);
    json_out_u64(j, "wakes", l->wakes);
    json_out_u64(j, "waits", l->waits);
    json_out_u64(j, "lapped", l->lapped);
    json_out_u64(j, "refused_full", l->refused_full);
    json_out_u64(j, "table_bytes", l->table_bytes);
    json_out_u64(j, "parked", l->parked);
    json_finish(v);
}

/* Of a fed domain. */
static void json_source(struct dump_view *v, const struct log_segment *seg) {
    const struct feed_board *f = &seg->feed;
    struct json_out *j = json_start(v, "source");
    json_text(v, "kind", seg->source, dump_name_len(seg->source, sizeof(seg->source)), ESCAPE_UNBOUNDED);
    json_text(v, "note", f->note, dump_name_len(f->note, sizeof(f->note)), ESCAPE_UNBOUNDED);
    json_out_u64(j, "revision", f->position);
    json_out_u64(j, "complete_revision", f->complete_revision);
    json_out_u64(j, "complete_index", f->complete_index);
    json_out_u64(j, "complete_ts", f->complete_ts);
    json_out_u64(j, "begun", f->begun);
    json_out_u64(j, "done", f->done);
    json_out_u64(j, "wanted", f->wanted);
    json_out_u64(j, "writes_open", f->writes_open);
    json_hex(j, "identity", f->identity);
    json_finish(v);
}

static void json_members(struct dump_view *v, const struct dump_log *log) {
    for (uint32_t i = 0; i < LAYOUT_MEMBERS; i++) {
        const struct member_slot *m = &log->seg->members[i];
        if (m->used == 0) {
            continue;
        }
        struct json_out *j = json_start(v, "member");
        json_out_u64(j, "id", i);
        json_out_u64(j, "pid", m->pid);
        json_out_bool(j, "alive", log->lives[i]);
        json_out_u64(j, "started_unix_ns", m->started_unix_ns);
        json_finish(v);
    }
}

static void json_lane(struct dump_view *v, uint32_t id, const struct lane *lane) {
    bool member = lane->owner != 0 && lane->owner != LANE_ORPHAN;
    struct json_out *j = &v->json;
    json_out_open(j, NULL, '{');
    json_out_u64(j, "id", id);
    json_out_text(j, "owner", member ? "member" : lane->owner == 0 ? "free" : "orphan");
    if (member) {
        json_out_u64(j, "member", lane->owner - 1);
    } else {
        json_out_null(j, "member");
    }
    json_out_u64(j, "pid", lane->pid);
    json_out_text(j, "phase", dump_phase_name(dump_lane_phase(lane)));
    json_out_u64(j, "seq", dump_lane_seq(lane));
    json_out_u64(j, "ops", lane->ops);
    json_out_u64(j, "bytes", lane->request_bytes);
    json_out_bool(j, "spilled", (lane->flags & LANE_SPILLED) != 0);
    json_out_bool(j, "asleep", lane->asleep != 0);
    if (dump_lane_phase(lane) == LANE_ANSWERED) {
        json_out_open(j, "answer", '{');
        json_out_i64(j, "result", lane->result);
        json_out_u64(j, "index", lane->index);
        json_out_u64(j, "found", lane->found);
        json_out_u64(j, "failed", lane->failed);
        json_out_close(j, '}');
    } else {
        json_out_null(j, "answer");
    }
    json_out_close(j, '}');
}

static void json_lanes(struct dump_view *v, const struct log_segment *seg) {
    const struct lanes_board *b = &seg->lanes_board;
    struct json_out *j = json_start(v, "lanes");
    json_hex(j, "ready", b->ready);
    json_out_bool(j, "asleep", b->asleep != 0);
    json_out_bool(j, "step_down", b->step_down != 0);
    json_out_open(j, "lanes", '[');
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        if (dump_lane_shown(&seg->lanes[i])) {
            json_lane(v, i, &seg->lanes[i]);
        }
    }
    json_out_close(j, ']');
    json_finish(v);
}

static void json_replica(struct dump_view *v, const struct log_segment *seg, uint32_t id) {
    const struct replica_board *b = &seg->replicas[id];
    uint64_t lag = dump_lag(seg, b);
    struct json_out *j = json_start(v, "replica");
    json_out_u64(j, "id", id);
    json_text(v, "label", b->label, dump_name_len(b->label, sizeof(b->label)), ESCAPE_UNBOUNDED);
    json_out_text(j, "role", dump_role_name(b->role));
    json_out_text(j, "state", dump_state_name(b->state));
    json_out_u64(j, "member", board_owner(b));
    json_out_u64(j, "pid", b->pid);
    json_out_u64(j, "applied", b->applied);
    json_out_u64(j, "applied_ts", b->applied_ts);
    json_out_u64(j, "lag", lag);
    if (lag == 0) {
        json_out_u64(j, "staleness_ns", 0);
    } else {
        json_age(v, "staleness_ns", b->applied_ts);
    }
    json_out_u64(j, "pos", b->pos);
    json_out_u64(j, "apply_delay_ns", b->apply_delay_ns);
    json_out_u64(j, "entries", b->entries);
    json_out_u64(j, "joins", b->joins);
    json_out_u64(j, "lapped", b->lapped);
    json_out_u64(j, "table_bytes", b->table_bytes);
    json_out_u64(j, "waiters", b->waiters);
    json_out_u64(j, "digest_index", b->digest_index);
    json_hex(j, "digest", b->digest);
    json_hex(j, "segment_id", b->segment_id);
    json_finish(v);
}

static void json_counts(struct json_out *j, const uint64_t counts[LAYOUT_REASONS]) {
    for (uint32_t reason = 0; reason < TIDE_REASONS; reason++) {
        json_out_u64(j, tide_reason_name((enum tide_reason)reason), counts[reason]);
    }
}

static void json_reads(struct dump_view *v, const struct log_segment *seg) {
    struct dump_reads reads;
    dump_reads_sum(&reads, seg);
    struct json_out *j = json_start(v, "reads");
    json_out_u64(j, "readers", reads.readers);
    json_counts(j, reads.all);
    json_out_open(j, "replicas", '[');
    for (uint32_t id = 0; id < LAYOUT_REPLICAS; id++) {
        if (!reads.served[id]) {
            continue;
        }
        json_out_open(j, NULL, '{');
        json_out_u64(j, "id", id);
        json_counts(j, reads.by[id]);
        json_out_close(j, '}');
    }
    json_out_close(j, ']');
    json_finish(v);
}

static void json_lag(struct json_out *j, const char *name, const struct hdr *h) {
    static const char *const NAMES[DUMP_LAG_PERCENTILES] = { "p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns" };
    struct dump_lag_summary lag = dump_lag_summary(h);
    json_out_open(j, name, '{');
    json_out_i64(j, "entries", lag.entries);
    for (int i = 0; i < DUMP_LAG_PERCENTILES; i++) {
        json_out_u64(j, NAMES[i], (uint64_t)lag.ns[i]);
    }
    json_out_close(j, '}');
}

static void json_table(struct dump_view *v, const struct dump_table *t) {
    const struct table_segment *s = &t->seg;
    struct json_out *j = json_start(v, "table");
    struct usage u = usage_of(s, s->nodes_end - s->buckets_off);
    struct tide_size sizes[TIDE_SIZES];
    peek_sizes_of(s, sizes);
    json_out_u64(j, "replica", s->header.replica);
    json_out_u64(j, "live_keys", s->live_keys);
    json_out_u64(j, "live_bytes", s->live_bytes);
    key_sizes_json(j, sizes);
    json_out_u64(j, "retired_bytes", s->retired_bytes);
    json_out_u64(j, "buckets", s->buckets);
    json_out_u64(j, "buckets_off", s->buckets_off);
    json_out_u64(j, "reorganised", s->reorganised);
    json_out_u64(j, "reused", s->reused);
    json_out_u64(j, "used_bytes", s->used_bytes);
    json_out_u64(j, "sum_bytes", s->sum_bytes);
    json_out_u64(j, "limit_bytes", s->limit_bytes);
    json_out_u64(j, "keys_most", s->keys_most);
    json_out_u64(j, "free_bytes", u.free);
    json_out_u64(j, "overhead_bytes", u.overhead);
    json_out_u64(j, "pages_off", s->pages_off);
    json_out_u64(j, "page_bytes", s->page_bytes);
    json_out_u64(j, "nodes_end", s->nodes_end);
    if (t->all && t->rolling) {
        json_lag(j, "lag_all", t->all);
        json_lag(j, "lag_10s", t->rolling);
    }
    json_out_open(j, "lanes", '[');
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        if (s->lanes[i].seq == 0) {
            continue;
        }
        json_out_open(j, NULL, '{');
        json_out_u64(j, "id", i);
        json_out_u64(j, "seq", s->lanes[i].seq);
        json_out_u64(j, "index", s->lanes[i].index);
        json_out_close(j, '}');
    }
    json_out_close(j, ']');
    json_finish(v);
}

static void json_spill(struct dump_view *v, const struct segment_header *h) {
    struct json_out *j = json_start(v, "spill");
    json_out_u64(j, "lane", h->replica);
    json_out_u64(j, "request_bytes", h->size_bytes < sizeof(*h) ? 0 : h->size_bytes - sizeof(*h));
    json_finish(v);
}

static void json_ring(struct dump_view *v, const struct log_segment *seg) {
    struct json_out *j = json_start(v, "ring");
    json_out_u64(j, "bytes", seg->ring_bytes);
    json_out_u64(j, "commit", seg->leader.commit);
    json_out_u64(j, "tail", seg->leader.tail);
    json_out_u64(j, "reclaimed", seg->leader.reclaimed);
    json_finish(v);
}

static void json_frame(struct dump_view *v, const struct dump_frame *frame) {
    const struct frame *f = &frame->f;
    struct json_out *j = json_start(v, "frame");
    json_out_u64(j, "index", f->index);
    json_out_u64(j, "pos", frame->pos);
    json_out_u64(j, "length", f->length);
    json_out_u64(j, "term", f->term);
    json_out_u64(j, "commit_ts", f->commit_ts);
    json_age(v, "age_ns", f->commit_ts);
    json_out_text(j, "type", dump_type_name(f->type));
    json_out_u64(j, "lane", f->lane);
    json_out_u64(j, "lane_seq", f->lane_seq);
    json_out_u64(j, "flags", f->flags);
    json_out_bool(j, "more", (f->flags & FRAME_MORE) != 0);
    if (dump_frame_expires(frame)) {
        json_out_u64(j, "expires_ts", frame->expiry);
    }
    if (f->flags & FRAME_SOURCED) {
        json_out_u64(j, "revision", frame->version);
        json_out_bool(j, "reached", (f->flags & FRAME_REACHED) != 0);
    }
    json_out_text(j, "crc", frame->crc_good ? "good" : "bad");
    json_out_u64(j, "key_len", f->key_len);
    json_out_u64(j, "value_len", f->value_len);
    bool key_whole = json_text(v, "key", frame->key, f->key_len, v->full ? ESCAPE_UNBOUNDED : v->key_room);
    bool value_whole = json_text(v, "value", frame->value, f->value_len, v->full ? ESCAPE_UNBOUNDED : v->value_room);
    json_out_bool(j, "cut", !key_whole || !value_whole);
    if (frame->problem) {
        json_out_text(j, "problem", frame->problem);
    }
    json_finish(v);
}

static void json_gap(struct dump_view *v, const struct dump_gap *gap) {
    struct json_out *j = json_start(v, "gap");
    json_out_u64(j, "first", gap->first);
    json_out_u64(j, "last", gap->last);
    json_out_text(j, "why", gap->why);
    json_finish(v);
}

static void json_problem(struct dump_view *v, const char *what) {
    struct json_out *j = json_start(v, "problem");
    json_out_text(j, "text", what);
    json_finish(v);
}

static void json_end(struct dump_view *v, const struct dump_totals *t) {
    struct json_out *j = json_start(v, "end");
    json_out_u64(j, "frames", t->frames);
    json_out_u64(j, "bad", t->bad);
    json_out_u64(j, "problems", t->problems);
    json_out_u64(j, "code", t->code);
    json_finish(v);
}

const struct dump_format dump_json = {
    .header = json_header,
    .leader = json_leader,
    .source = json_source,
    .members = json_members,
    .replica = json_replica,
    .lanes = json_lanes,
    .reads = json_reads,
    .table = json_table,
    .spill = json_spill,
    .ring = json_ring,
    .frame = json_frame,
    .gap = json_gap,
    .problem = json_problem,
    .end = json_end,
};
