/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide dump` for people. */
#include <inttypes.h>
#include <time.h>

#include "engine/tidemark.h"
#include "shm/board.h"
#include "shm/hdr.h"
#include "shm/usage.h"
#include "tools/lib/args.h"
#include "tools/dump/print.h"

#define LABEL "%-10s"

static const char *text_age_text(const struct dump_view *v, uint64_t ts, char *buf, size_t buf_size) {
    uint64_t age_ns = v->ages ? dump_age_ns(&v->clock, ts) : DUMP_AGE_UNKNOWN;
    if (age_ns == DUMP_AGE_UNKNOWN) {
        return "?";
    }
    return args_duration_text(age_ns, buf, buf_size);
}

static const char *text_unix_text(uint64_t unix_ns, char buf[32]) {
    time_t seconds = (time_t)(unix_ns / 1000000000u);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || strftime(buf, 32, "%Y-%m-%d %H:%M:%SZ", &tm) == 0) {
        snprintf(buf, 32, "?");
    }
    return buf;
}

static void text_header(struct dump_view *v, const struct dump_file *f, const struct segment_header *h,
                        bool understood) {
    char created[32];
    fprintf(v->out, LABEL " ", "segment");
    escape_print(v->out, f->path, dump_name_len(f->path, sizeof(f->path)), ESCAPE_UNBOUNDED);
    fprintf(v->out, ", %" PRIu64 " bytes\n", f->size_bytes);
    if (!understood) {
        return;
    }
    fprintf(v->out, LABEL " %s of domain \"", "header", dump_kind_name(h->kind));
    escape_print(v->out, h->name, dump_name_len(h->name, sizeof(h->name)), ESCAPE_UNBOUNDED);
    fprintf(v->out, "\", layout %u, fingerprint 0x%016" PRIx64 ", uid %u, created %s\n", h->version, h->fingerprint,
            h->owner_uid, text_unix_text(h->created_unix_ns, created));
    fprintf(v->out, LABEL " incarnation 0x%016" PRIx64 ", segment id 0x%016" PRIx64 "\n", "", h->incarnation,
            h->segment_id);
    if (!v->ages) {
        fprintf(v->out, LABEL " its clock is not this machine's of now: ages are not known\n", "");
    }
}

static void text_leader(struct dump_view *v, const struct dump_log *log) {
    const struct log_segment *seg = log->seg;
    const struct leader_board *l = &seg->leader;
    char slow[32];
    fprintf(v->out,
            LABEL " ring %" PRIu64 " bytes at %" PRIu64 ", tables %" PRIu64 " bytes, expected keys %" PRIu64
                  ", slow follower %s, clock %s\n",
            "settings", seg->ring_bytes, seg->ring_off, seg->table_bytes, seg->expected_keys,
            args_duration_text(seg->slow_follower_ns, slow, sizeof(slow)),
            seg->clock.use_tsc ? "tsc" : "clock_gettime");
    fprintf(v->out, LABEL " ", "leader");
    if (l->leader < 0) {
        fputs("nobody", v->out);
    } else {
        fprintf(v->out, "replica %d", l->leader);
    }
    fprintf(v->out, ", term %u, commit %" PRIu64 ", tail %" PRIu64 ", reclaimed %" PRIu64 "; %s\n", l->term, l->commit,
            l->tail, l->reclaimed, log->led ? "its process lives" : "no living process leads");
    fprintf(v->out,
            LABEL " groups %" PRIu64 ", wakes %" PRIu64 ", waits for room %" PRIu64 ", lapped %" PRIu64
                  ", refused full %" PRIu64 ", tables of %" PRIu64 " bytes, parked %u\n",
            "", l->groups, l->wakes, l->waits, l->lapped, l->refused_full, l->table_bytes, l->parked);
}

/* Of a fed domain. */
static void text_source(struct dump_view *v, const struct log_segment *seg) {
    const struct feed_board *f = &seg->feed;
    char ago[32];
    fprintf(v->out, LABEL " \"", "source");
    escape_print(v->out, seg->source, dump_name_len(seg->source, sizeof(seg->source)), ESCAPE_UNBOUNDED);
    fprintf(v->out, "\", revision %" PRIu64 "; ", f->position);
    if (f->complete_ts == 0) {
        fputs("never complete", v->out);
    } else {
        fprintf(v->out, "complete up to %" PRIu64 " at index %" PRIu64 ", %s ago", f->complete_revision,
                f->complete_index, text_age_text(v, f->complete_ts, ago, sizeof(ago)));
    }
    fprintf(v->out, "; questions %" PRIu64 ", answered %" PRIu64 ", wanted %" PRIu64 "; writes open %" PRIu64 "\n",
            f->begun, f->done, f->wanted, f->writes_open);
    if (f->note[0] != 0) {
        fprintf(v->out, LABEL " \"", "");
        escape_print(v->out, f->note, dump_name_len(f->note, sizeof(f->note)), ESCAPE_UNBOUNDED);
        fputs("\"\n", v->out);
    }
}

static void text_members(struct dump_view *v, const struct dump_log *log) {
    uint32_t alive = 0, dead = 0;
    char started[32];
    for (uint32_t i = 0; i < LAYOUT_MEMBERS; i++) {
        alive += log->seg->members[i].used != 0 && log->lives[i];
        dead += log->seg->members[i].used != 0 && !log->lives[i];
    }
    fprintf(v->out, LABEL " %u alive, %u dead\n", "members", alive, dead);
    for (uint32_t i = 0; i < LAYOUT_MEMBERS; i++) {
        const struct member_slot *m = &log->seg->members[i];
        if (m->used != 0) {
            fprintf(v->out, "member %-3u pid %u %s, since %s\n", i, m->pid, log->lives[i] ? "alive" : "dead",
                    text_unix_text(m->started_unix_ns, started));
        }
    }
}

static void text_lane(struct dump_view *v, uint32_t id, const struct lane *lane) {
    fprintf(v->out, "lane %-5u ", id);
    if (lane->owner == 0 || lane->owner == LANE_ORPHAN) {
        fputs(lane->owner == 0 ? "free" : "orphan", v->out);
    } else {
        fprintf(v->out, "member %u", lane->owner - 1);
    }
    fprintf(v->out, " pid %u, request %" PRIu64 " %s%s: %u operations, %" PRIu64 " bytes%s", lane->pid,
            dump_lane_seq(lane), dump_phase_name(dump_lane_phase(lane)), lane->asleep ? ", writer asleep" : "",
            lane->ops, lane->request_bytes, (lane->flags & LANE_SPILLED) ? " in a file" : "");
    if (dump_lane_phase(lane) == LANE_ANSWERED) {
        fprintf(v->out, "; answer %d, index %" PRIu64 ", found %" PRIu64 ", failed %u", lane->result, lane->index,
                lane->found, lane->failed);
    }
    fputc('\n', v->out);
}

static void text_lanes(struct dump_view *v, const struct log_segment *seg) {
    const struct lanes_board *b = &seg->lanes_board;
    uint32_t owned = 0;
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        owned += seg->lanes[i].owner != 0;
    }
    fprintf(v->out, LABEL " %u owned, ready 0x%016" PRIx64 ", their thread %s%s\n", "lanes", owned, b->ready,
            b->asleep ? "asleep" : "awake", b->step_down ? ", the leader is asked to step down" : "");
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        if (dump_lane_shown(&seg->lanes[i])) {
            text_lane(v, i, &seg->lanes[i]);
        }
    }
}

static void text_replica(struct dump_view *v, const struct log_segment *seg, uint32_t id) {
    const struct replica_board *b = &seg->replicas[id];
    char behind[32], delay[32];
    uint64_t lag = dump_lag(seg, b);
    fprintf(v->out, "replica %-2u \"", id);
    escape_print(v->out, b->label, dump_name_len(b->label, sizeof(b->label)), ESCAPE_UNBOUNDED);
    fprintf(v->out, "\" %s %s, applied %" PRIu64 ", lag %" PRIu64 ", staleness %s, pos %" PRIu64 ", member %u pid %u\n",
            dump_role_name(b->role), dump_state_name(b->state), b->applied, lag,
            lag == 0 ? "0" : text_age_text(v, b->applied_ts, behind, sizeof(behind)), b->pos, board_owner(b), b->pid);
    fprintf(v->out,
            LABEL " delay %s, entries %" PRIu64 ", joins %" PRIu64 ", lapped %" PRIu64 ", waiters %u, digest "
                  "0x%016" PRIx64 " at %" PRIu64 "\n",
            "", args_duration_text(b->apply_delay_ns, delay, sizeof(delay)), b->entries, b->joins, b->lapped,
            b->waiters, b->digest, b->digest_index);
}

/* One line: for the domain, or for a replica that served. */
static void text_reads(struct dump_view *v, const char *label, const uint64_t counts[LAYOUT_REASONS]) {
    fprintf(v->out, LABEL, label);
    for (uint32_t reason = 0; reason < TIDE_REASONS; reason++) {
        fprintf(v->out, "%s %s %" PRIu64, reason ? "," : "", tide_reason_name((enum tide_reason)reason),
                counts[reason]);
    }
    fputc('\n', v->out);
}

static void text_all_reads(struct dump_view *v, const struct log_segment *seg) {
    struct dump_reads reads;
    dump_reads_sum(&reads, seg);
    fprintf(v->out, LABEL " %u counted\n", "readers", reads.readers);
    text_reads(v, "reads", reads.all);
    for (uint32_t id = 0; id < LAYOUT_REPLICAS; id++) {
        char label[16];
        snprintf(label, sizeof(label), "  by r%u", id);
        if (reads.served[id]) {
            text_reads(v, label, reads.by[id]);
        }
    }
}

static void text_lag(struct dump_view *v, const char *label, const struct hdr *h) {
    struct dump_lag_summary lag = dump_lag_summary(h);
    char t[DUMP_LAG_PERCENTILES][32];
    for (int i = 0; i < DUMP_LAG_PERCENTILES; i++) {
        args_duration_text((uint64_t)lag.ns[i], t[i], sizeof(t[i]));
    }
    fprintf(v->out, LABEL " %" PRId64 " entries, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n", label, lag.entries, t[0],
            t[1], t[2], t[3], t[4]);
}

static void text_table(struct dump_view *v, const struct dump_table *t) {
    const struct table_segment *s = &t->seg;
    fprintf(v->out, LABEL " replica %u, %" PRIu64 " live keys of %" PRIu64 " bytes, %" PRIu64 " bytes retired\n",
            "table", s->header.replica, s->live_keys, s->live_bytes, s->retired_bytes);
    fprintf(v->out, LABEL " %" PRIu64 " from byte %" PRIu64 ", reorganised %" PRIu64 "\n", "buckets", s->buckets,
            s->buckets_off, s->reorganised);
    fprintf(v->out,
            LABEL " in pages of %" PRIu64 " bytes, from byte %" PRIu64 " to %" PRIu64 "; %" PRIu64
                  " bytes in use, %" PRIu64 " of %" PRIu64 " admitted\n",
            "nodes", s->page_bytes, s->pages_off, s->nodes_end, s->used_bytes, s->sum_bytes, s->limit_bytes);
    struct usage u = usage_of(s, s->nodes_end - s->buckets_off);
    fprintf(v->out,
            LABEL " %" PRIu64 " bytes live, %" PRIu64 " free, %" PRIu64 " waiting, %" PRIu64
                  " overhead; room for %" PRIu64 " keys\n",
            "budget", u.live, u.free, u.waiting, u.overhead, s->keys_most);
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        if (s->lanes[i].seq != 0) {
            fprintf(v->out, "lane %-5u request %" PRIu64 " is done, at index %" PRIu64 "\n", i, s->lanes[i].seq,
                    s->lanes[i].index);
        }
    }
    if (t->all && t->rolling) {
        text_lag(v, "lag, all", t->all);
        text_lag(v, "lag, 10 s", t->rolling);
    }
}

static void text_spill(struct dump_view *v, const struct segment_header *h) {
    fprintf(v->out, LABEL " of lane %u, %" PRIu64 " bytes\n", "request", h->replica,
            h->size_bytes < sizeof(*h) ? 0 : h->size_bytes - sizeof(*h));
}

static void text_ring(struct dump_view *v, const struct log_segment *seg) {
    uint64_t tail = seg->leader.tail, reclaimed = seg->leader.reclaimed;
    uint64_t held = tail > reclaimed ? tail - reclaimed : 0;
    fprintf(v->out, LABEL " %" PRIu64 " of %" PRIu64 " bytes hold entries\n", "ring",
            held > seg->ring_bytes ? seg->ring_bytes : held, seg->ring_bytes);
    fprintf(v->out, "%10s %4s %10s %-6s %4s %-4s %-5s %s\n", "index", "term", "age", "type", "lane", "crc", "flags",
            "key = value");
}

static void text_bytes(struct dump_view *v, const uint8_t *bytes, size_t n, uint64_t room) {
    fputc('"', v->out);
    size_t shown = escape_print(v->out, bytes, n, v->full ? ESCAPE_UNBOUNDED : room);
    fputc('"', v->out);
    if (shown < n) {
        fprintf(v->out, "+%zu", n - shown);
    }
}

static void text_frame(struct dump_view *v, const struct dump_frame *frame) {
    const struct frame *f = &frame->f;
    char age[32], flags[8];
    bool expires = dump_frame_expires(frame);
    uint32_t known = FRAME_MORE | FRAME_EXPIRES | FRAME_KEEP | FRAME_SOURCED | FRAME_REACHED;
    snprintf(flags, sizeof(flags), "%s%s%s%s%s", f->flags & FRAME_MORE ? "M" : "", expires ? "X" : "",
             f->flags & FRAME_KEEP ? "K" : "", f->flags & FRAME_REACHED ? "R" : "", f->flags & ~known ? "?" : "");
    fprintf(v->out, "%10" PRIu64 " %4u %10s %-6s %4u %-4s %-5s ", f->index, f->term,
            text_age_text(v, f->commit_ts, age, sizeof(age)), dump_type_name(f->type), f->lane,
            frame->crc_good ? "good" : "BAD", flags[0] ? flags : "-");
    if (f->key_len > 0 || f->value_len > 0) {
        text_bytes(v, frame->key, f->key_len, v->key_room);
        if (f->type == FRAME_PUT || f->value_len > 0) {
            fputs(" = ", v->out);
            text_bytes(v, frame->value, f->value_len, v->value_room);
        }
    }
    if (f->flags & FRAME_SOURCED) {
        fprintf(v->out, "  rev %" PRIu64, frame->version);
    }
    if (expires && frame->expiry >= f->commit_ts) {
        fprintf(v->out, "  ttl %s", args_duration_text(frame->expiry - f->commit_ts, age, sizeof(age)));
    }
    if (frame->problem) {
        fprintf(v->out, "  BAD: %s", frame->problem);
    }
    fputc('\n', v->out);
}

static void text_gap(struct dump_view *v, const struct dump_gap *gap) {
    fprintf(v->out, "%10" PRIu64 " to %" PRIu64 ": not shown (%s)\n", gap->first, gap->last, gap->why);
}

static void text_problem(struct dump_view *v, const char *text) {
    fputs(v->other_version ? "" : "BAD: ", v->out);
    escape_text_print(v->out, text, strlen(text), "");
    fputc('\n', v->out);
}

static void text_end(struct dump_view *v, const struct dump_totals *t) {
    fprintf(v->out, LABEL " %" PRIu64 " frames shown, %" PRIu64 " bad, %" PRIu64 " problems: %s\n", "end", t->frames,
            t->bad, t->problems,
            t->other_version     ? "ANOTHER VERSION'S"
            : t->code == TOOL_OK ? "good"
            : t->code == TOOL_NO ? "CORRUPT"
                                 : "NOT READ");
}

const struct dump_format dump_text = {
    .header = text_header,
    .leader = text_leader,
    .source = text_source,
    .members = text_members,
    .replica = text_replica,
    .lanes = text_lanes,
    .reads = text_all_reads,
    .table = text_table,
    .spill = text_spill,
    .ring = text_ring,
    .frame = text_frame,
    .gap = text_gap,
    .problem = text_problem,
    .end = text_end,
};
