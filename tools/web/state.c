/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One look as JSON. Names are those of `tide stat --json`, where it has the same figure. */
#include <stdlib.h>
#include <string.h>

#include "engine/tidemark.h"
#include "tools/dump/sample_json.h"
#include "tools/lib/escape.h"
#include "tools/lib/json_out.h"
#include "tools/lib/wall.h"
#include "tools/web/web.h"

int web_state_init(struct web_state *s, const char *name) {
    *s = (struct web_state){ .name = name };
    s->now = calloc(1, sizeof(*s->now));
    s->before = calloc(1, sizeof(*s->before));
    s->rates = calloc(1, sizeof(*s->rates));
    return s->now && s->before && s->rates ? 0 : -1;
}

void web_state_free(struct web_state *s) {
    free(s->now);
    free(s->before);
    free(s->rates);
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static double state_ratio(uint64_t part, uint64_t whole) {
    return whole ? (double)part / (double)whole : 0;
}

/* [bucket, entries] for each bucket that has any; what is above the last end is in the bucket behind the last. */
static void state_json_histogram(struct json_out *j, const char *name, const struct gauges_histogram *h) {
    uint64_t before = 0;
    json_out_open(j, name, '[');
    for (uint32_t i = 0; i <= GAUGES_BUCKETS; i++) {
        uint64_t up_to = i < GAUGES_BUCKETS ? h->up_to[i] : h->count;
        if (up_to > before) {
            json_out_open(j, NULL, '[');
            json_out_u64(j, NULL, i);
            json_out_u64(j, NULL, up_to - before);
            json_out_close(j, ']');
            before = up_to;
        }
    }
    json_out_close(j, ']');
}

static void state_json_lag(struct json_out *j, const struct gauges_lag *lag) {
    json_out_open(j, "replication_lag", '{');
    json_out_u64(j, "count", lag->all.count);
    json_out_u64(j, "recent_count", lag->recent.count);
    json_out_u64(j, "p50_ns", lag->quantile_ns[GAUGES_P50]);
    json_out_u64(j, "p99_ns", lag->quantile_ns[GAUGES_P99]);
    json_out_u64(j, "p999_ns", lag->quantile_ns[GAUGES_P999]);
    state_json_histogram(j, "all", &lag->all);
    state_json_histogram(j, "recent", &lag->recent);
    json_out_close(j, '}');
}

static void state_json_replica(struct json_out *j, const struct gauges_replica *r, const struct rates_replica *rates) {
    json_out_open(j, NULL, '{');
    json_out_u64(j, "replica", r->id);
    json_out_text(j, "label", r->label);
    json_out_text(j, "role", r->leads ? "leader" : "follower");
    json_out_text(j, "tide_replica_state", tide_state_name(r->state));
    json_out_text(j, "shown_state", gauges_state(r));
    json_out_i64(j, "pid", r->pid);
    json_out_u64(j, "tide_applied_index", r->applied);
    json_out_u64(j, "lag", r->lag);
    json_out_u64(j, "staleness_ns", r->staleness_ns);
    json_out_u64(j, "apply_delay_ns", r->apply_delay_ns);
    json_out_u64(j, "joins", r->joins);
    json_out_u64(j, "lapped", r->lapped);
    json_out_bool(j, "pins", r->pins);
    json_out_u64(j, "pos", r->pos);
    sample_reason_counts_json(j, "reads", r->by_reason);
    if (r->has_table) {
        sample_table_json(j, &r->table);
    }
    if (r->has_table && r->replication.known) {
        state_json_lag(j, &r->replication);
    }
    if (rates->known) {
        json_out_open(j, "rates", '{');
        json_out_real(j, "reads_s", rates->reads_s);
        json_out_real(j, "refused_s", rates->refused_s);
        json_out_real(j, "applied_s", rates->applied_s);
        json_out_u64(j, "lag_count", rates->lag.count);
        json_out_u64(j, "lag_p50_ns", rates->lag_p50_ns);
        json_out_u64(j, "lag_p99_ns", rates->lag_p99_ns);
        sample_reason_rates_json(j, "by_reason_s", rates->by_reason_s);
        json_out_close(j, '}');
    }
    json_out_close(j, '}');
}

static void state_json_rates(struct json_out *j, const struct rates *r) {
    json_out_open(j, "rates", '{');
    sample_rate_members_json(j, r);
    sample_ratio_json(j, "hit_ratio", r->hit_ratio);
    sample_ratio_json(j, "fallback_ratio", r->fallback_ratio);
    sample_reason_rates_json(j, "by_reason_s", r->by_reason_s);
    json_out_close(j, '}');
}

static void state_json_domain(struct json_out *j, const struct gauges *g) {
    uint64_t reads = 0, fell_back = 0;
    for (uint32_t r = 0; r < TIDE_REASONS; r++) {
        reads += g->by_reason[r];
        fell_back += rates_is_fallback(r) ? g->by_reason[r] : 0;
    }
    json_out_hex(j, "incarnation", g->peek.incarnation);
    json_out_u64(j, "created_unix_ns", g->peek.created_unix_ns);
    json_out_i64(j, "leader", g->peek.led ? g->peek.leader : -1);
    json_out_i64(j, "leader_pid", g->peek.led ? g->peek.leader_pid : 0);
    json_out_bool(j, "led", g->peek.led != 0);
    json_out_u64(j, "members", g->peek.members);
    json_out_u64(j, "dead_members", g->peek.dead);
    json_out_u64(j, "tide_commit_index", g->peek.commit);
    json_out_u64(j, "tide_leader_term", g->peek.term);
    json_out_real(j, "tide_ring_used_ratio", state_ratio(g->ring_used_bytes, g->peek.ring_bytes));
    json_out_real(j, "tide_bounded_staleness_fallback_ratio", state_ratio(fell_back, reads));
    json_out_u64(j, "ring_bytes", g->peek.ring_bytes);
    json_out_u64(j, "ring_used_bytes", g->ring_used_bytes);
    json_out_u64(j, "ring_tail", g->ring_tail);
    json_out_u64(j, "ring_reclaimed", g->ring_reclaimed);
    json_out_u64(j, "ring_waits", g->ring_waits);
    json_out_u64(j, "table_bytes", g->peek.table_bytes);
    json_out_u64(j, "memory_bytes", g->peek.memory_bytes);
    json_out_u64(j, "lapped_total", g->lapped);
    json_out_u64(j, "expired_total", g->expired);
    json_out_u64(j, "evicted_total", g->evicted);
    json_out_u64(j, "refused_full_total", g->refused_full);
    json_out_bool(j, "evicts", g->evicts);
    json_out_u64(j, "default_ttl_ns", g->default_ttl_ns);
    json_out_u64(j, "tide_hits_total", g->hits);
    json_out_u64(j, "tide_misses_total", g->misses);
    json_out_real(j, "tide_hit_ratio", state_ratio(g->hits, g->hits + g->misses));
    json_out_u64(j, "tide_made_total", g->made);
    json_out_u64(j, "tide_waited_total", g->waited);
    sample_reason_counts_json(j, "reads", g->by_reason);
}

/* As `tide stat --json` has it. null: no source feeds the domain. */
static void state_json_source(struct json_out *j, const struct gauges *g) {
    if (g->source[0] == 0) {
        json_out_null(j, "source");
        return;
    }
    json_out_open(j, "source", '{');
    json_out_text(j, "kind", g->source);
    json_out_text(j, "note", g->source_note);
    json_out_u64(j, "tide_source_revision", g->source_revision);
    json_out_u64(j, "tide_source_complete_revision", g->complete_revision);
    if (g->complete_ns == UINT64_MAX) {
        json_out_null(j, "complete_ns"); /* it never was */
    } else {
        json_out_u64(j, "complete_ns", g->complete_ns);
    }
    json_out_u64(j, "questions", g->questions);
    json_out_u64(j, "answered", g->answered);
    json_out_u64(j, "tide_source_writes_open", g->writes_open);
    json_out_close(j, '}');
}

static void state_json_readers(struct json_out *j, const struct gauges *g) {
    uint32_t living = 0;
    for (uint32_t i = 0; i < g->n_readers; i++) {
        living += g->readers[i].pid != 0;
    }
    json_out_u64(j, "readers", living);
}

/* Keys of any bytes, as `tide watch` shows them. */
static void state_json_entry(struct json_out *j, const struct recent_entry *e) {
    struct buf key = { 0 };
    escape_text(&key, e->key, e->kept_bytes, "");
    buf_add_char(&key, '\0');
    json_out_open(j, NULL, '{');
    json_out_u64(j, "index", e->index);
    if (e->age_ns != UINT64_MAX) {
        json_out_u64(j, "age_ns", e->age_ns);
    }
    json_out_text(j, "type", e->type);
    json_out_text(j, "key", key.data);
    json_out_u64(j, "key_bytes", e->key_bytes);
    json_out_bool(j, "key_is_cut", e->kept_bytes < e->key_bytes);
    json_out_u64(j, "value_bytes", e->value_bytes);
    json_out_u64(j, "ttl_ns", e->ttl_ns);
    json_out_bool(j, "keep", e->keep);
    json_out_bool(j, "batch", e->batch);
    json_out_close(j, '}');
    buf_free(&key);
}

static void state_json_known(struct json_out *j, const struct web_state *s) {
    const struct gauges *g = s->now;
    state_json_domain(j, g);
    state_json_source(j, g);
    state_json_readers(j, g);
    if (s->rates->seconds > 0) {
        state_json_rates(j, s->rates);
    }
    json_out_open(j, "replicas", '[');
    for (uint32_t i = 0; i < g->n; i++) {
        state_json_replica(j, &g->replicas[i], &s->rates->replicas[g->replicas[i].id]);
    }
    json_out_close(j, ']');
    json_out_open(j, "entries", '[');
    for (uint32_t i = 0; i < s->recent.n; i++) {
        state_json_entry(j, &s->recent.entries[i]);
    }
    json_out_close(j, ']');
}

static void state_json_events(struct json_out *j, const struct web_state *s) {
    struct event events[EVENTS_MOST];
    size_t n = s->looks > 1 ? events_between(events, EVENTS_MOST, s->before, s->now) : 0;
    json_out_open(j, "events", '[');
    for (size_t i = 0; i < n; i++) {
        json_out_open(j, NULL, '{');
        json_out_text(j, "kind", event_name(events[i].kind));
        json_out_bool(j, "bad", event_is_bad(&events[i]));
        json_out_text(j, "text", events[i].text);
        json_out_close(j, '}');
    }
    json_out_close(j, ']');
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static void state_look(struct web_state *s) {
    struct gauges *old = s->before;
    s->before = s->now;
    s->now = old;
    recent_read(&s->recent, s->name); /* first: replicas have applied what they have by the second look */
    gauges_read(s->now, s->name);
    s->looks++;
    rates_between(s->rates, s->looks > 1 ? s->before : NULL, s->now);
}

void web_state_look(struct web_state *s, struct buf *out) {
    struct json_out j = { 0 };
    char why[600];
    state_look(s);
    const struct gauges *g = s->now;
    gauges_why(g, why, sizeof(why));
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "name", s->name);
    json_out_text(&j, "state", sample_state(g));
    json_out_text(&j, "why", why);
    json_out_bool(&j, "known", g->known);
    json_out_u64(&j, "unix_ns", wall_unix_ns());
    state_json_events(&j, s);
    if (g->known) {
        state_json_known(&j, s);
    }
    json_out_close(&j, '}');
    buf_add(out, j.text.data, j.text.size);
    json_out_free(&j);
}
