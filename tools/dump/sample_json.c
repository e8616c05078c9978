/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump/sample_json.h"

#include "engine/tidemark.h"
#include "tools/lib/wall.h"

void sample_ratio_json(struct json_out *j, const char *name, double ratio) {
    if (ratio < 0) {
        json_out_null(j, name);
    } else {
        json_out_real(j, name, ratio);
    }
}

void sample_reason_rates_json(struct json_out *j, const char *name, const double by_reason_s[PEEK_REASONS]) {
    json_out_open(j, name, '{');
    for (uint32_t r = 0; r < TIDE_REASONS; r++) {
        json_out_real(j, tide_reason_name(r), by_reason_s[r]);
    }
    json_out_close(j, '}');
}

void sample_reason_counts_json(struct json_out *j, const char *name, const uint64_t by_reason[PEEK_REASONS]) {
    json_out_open(j, name, '{');
    for (uint32_t r = 0; r < TIDE_REASONS; r++) {
        json_out_u64(j, tide_reason_name(r), by_reason[r]);
    }
    json_out_close(j, '}');
}

/* Of the buckets those that hold something: [[end_ns, entries], ...]; what took longer than the last end has -1. */
static void sample_histogram_json(struct json_out *j, const char *name, const struct gauges_histogram *h) {
    uint64_t below = 0;
    json_out_open(j, name, '[');
    for (uint32_t i = 0; i <= GAUGES_BUCKETS; i++) {
        uint64_t up_to = i < GAUGES_BUCKETS ? h->up_to[i] : h->count;
        if (up_to > below) {
            json_out_open(j, NULL, '[');
            if (i < GAUGES_BUCKETS) {
                json_out_u64(j, NULL, gauges_bucket_end_ns(i));
            } else {
                json_out_i64(j, NULL, -1);
            }
            json_out_u64(j, NULL, up_to - below);
            json_out_close(j, ']');
            below = up_to;
        }
    }
    json_out_close(j, ']');
}

static void sample_quantile_json(struct json_out *j, const char *name, uint64_t ns, uint64_t count) {
    if (count == 0) {
        json_out_null(j, name);
    } else {
        json_out_u64(j, name, ns);
    }
}

static void sample_lag_json(struct json_out *j, const struct gauges_lag *lag, const struct rates_replica *r) {
    json_out_open(j, "replication_lag", '{');
    json_out_open(j, "rolling_10s", '{');
    json_out_u64(j, "count", lag->recent.count);
    sample_quantile_json(j, "p50_ns", lag->quantile_ns[GAUGES_P50], lag->recent.count);
    sample_quantile_json(j, "p99_ns", lag->quantile_ns[GAUGES_P99], lag->recent.count);
    sample_quantile_json(j, "p999_ns", lag->quantile_ns[GAUGES_P999], lag->recent.count);
    sample_histogram_json(j, "histogram", &lag->recent);
    json_out_close(j, '}');
    json_out_open(j, "sample", '{'); /* since the sample before */
    json_out_u64(j, "count", r->lag.count);
    sample_quantile_json(j, "p50_ns", r->lag_p50_ns, r->lag.count);
    sample_quantile_json(j, "p99_ns", r->lag_p99_ns, r->lag.count);
    json_out_close(j, '}');
    json_out_open(j, "all", '{');
    json_out_u64(j, "count", lag->all.count);
    sample_histogram_json(j, "histogram", &lag->all);
    json_out_close(j, '}');
    json_out_close(j, '}');
}

void sample_table_json(struct json_out *j, const struct peek_table *t) {
    json_out_u64(j, "keys", t->keys);
    json_out_u64(j, "table_keys_most", t->keys_most);
    json_out_u64(j, "table_bytes", t->table_bytes);
    json_out_u64(j, "table_used_bytes", t->used_bytes);
    json_out_u64(j, "table_live_bytes", t->usage.live);
    json_out_u64(j, "table_free_bytes", t->usage.free);
    json_out_u64(j, "table_waiting_bytes", t->usage.waiting);
    json_out_u64(j, "table_overhead_bytes", t->usage.overhead);
}

static void sample_replica_json(struct json_out *j, const struct gauges_replica *r, const struct rates_replica *rates) {
    json_out_open(j, NULL, '{');
    json_out_u64(j, "replica", r->id);
    json_out_text(j, "label", r->label);
    json_out_text(j, "role", r->leads ? "leader" : "follower");
    json_out_text(j, "state", gauges_state(r));
    json_out_bool(j, "dead", !r->lives && r->state != TIDE_STATE_ORPHAN);
    json_out_i64(j, "pid", r->pid);
    json_out_u64(j, "applied_index", r->applied);
    json_out_u64(j, "lag", r->lag);
    json_out_u64(j, "staleness_ns", r->staleness_ns);
    json_out_u64(j, "apply_delay_ns", r->apply_delay_ns);
    json_out_u64(j, "entries", r->entries);
    json_out_u64(j, "joins", r->joins);
    json_out_u64(j, "lapped", r->lapped);
    json_out_bool(j, "pins", r->pins);
    json_out_u64(j, "ring_pos", r->pos);
    if (r->has_table) {
        sample_table_json(j, &r->table);
    }
    json_out_real(j, "applied_s", rates->applied_s);
    json_out_real(j, "reads_s", rates->reads_s);
    json_out_real(j, "refused_s", rates->refused_s);
    sample_reason_rates_json(j, "reads_by_reason_s", rates->by_reason_s);
    if (r->replication.known) {
        sample_lag_json(j, &r->replication, rates);
    }
    json_out_close(j, '}');
}

void sample_rate_members_json(struct json_out *j, const struct rates *r) {
    json_out_real(j, "seconds", r->seconds);
    json_out_real(j, "writes_s", r->writes_s);
    json_out_real(j, "groups_s", r->groups_s);
    json_out_real(j, "reads_s", r->reads_s);
    json_out_real(j, "refused_s", r->refused_s);
    json_out_real(j, "hits_s", r->hits_s);
    json_out_real(j, "misses_s", r->misses_s);
    json_out_real(j, "made_s", r->made_s);
    json_out_real(j, "waited_s", r->waited_s);
    json_out_real(j, "expired_s", r->expired_s);
    json_out_real(j, "evicted_s", r->evicted_s);
}

static void sample_rates_json(struct json_out *j, const struct rates *r) {
    if (r->seconds <= 0) {
        json_out_null(j, "rates");
        return;
    }
    json_out_open(j, "rates", '{');
    sample_rate_members_json(j, r);
    json_out_real(j, "refused_full_s", r->refused_full_s);
    sample_ratio_json(j, "hit_ratio", r->hit_ratio);
    sample_ratio_json(j, "fallback_ratio", r->fallback_ratio);
    sample_reason_rates_json(j, "reads_by_reason_s", r->by_reason_s);
    json_out_close(j, '}');
}

static void sample_totals_json(struct json_out *j, const struct gauges *g) {
    json_out_hex(j, "incarnation", g->peek.incarnation);
    json_out_u64(j, "created_unix_ns", g->peek.created_unix_ns);
    json_out_bool(j, "led", g->peek.led);
    json_out_i64(j, "leader", g->peek.led ? g->peek.leader : -1);
    json_out_i64(j, "leader_pid", g->peek.leader_pid);
    json_out_u64(j, "term", g->peek.term);
    json_out_u64(j, "members", g->peek.members);
    json_out_u64(j, "dead_members", g->peek.dead);
    json_out_u64(j, "commit_index", g->peek.commit);
    json_out_u64(j, "groups", g->groups);
    json_out_u64(j, "memory_bytes", g->peek.memory_bytes);
    json_out_u64(j, "table_bytes", g->peek.table_bytes);
    json_out_bool(j, "evicts", g->evicts);
    json_out_u64(j, "default_ttl_ns", g->default_ttl_ns);
    json_out_u64(j, "lapped_total", g->lapped);
    json_out_u64(j, "expired_total", g->expired);
    json_out_u64(j, "evicted_total", g->evicted);
    json_out_u64(j, "refused_full_total", g->refused_full);
    json_out_u64(j, "hits_total", g->hits);
    json_out_u64(j, "misses_total", g->misses);
    json_out_u64(j, "made_total", g->made);
    json_out_u64(j, "waited_total", g->waited);
    sample_reason_counts_json(j, "reads_total", g->by_reason);
    json_out_open(j, "ring", '{');
    json_out_u64(j, "bytes", g->peek.ring_bytes);
    json_out_u64(j, "used_bytes", g->ring_used_bytes);
    json_out_u64(j, "tail", g->ring_tail);
    json_out_u64(j, "reclaimed", g->ring_reclaimed);
    json_out_u64(j, "waits", g->ring_waits);
    json_out_close(j, '}');
}

static void sample_readers_json(struct json_out *j, const struct gauges *g) {
    json_out_open(j, "readers", '[');
    for (uint32_t i = 0; i < g->n_readers; i++) {
        const struct gauges_reader *r = &g->readers[i];
        json_out_open(j, NULL, '{');
        json_out_i64(j, "pid", r->pid);
        json_out_u64(j, "reads", r->reads);
        json_out_u64(j, "refused", r->refused);
        json_out_u64(j, "replica", r->replica);
        json_out_close(j, '}');
    }
    json_out_close(j, ']');
}

const char *sample_state(const struct gauges *g) {
    static const char *const STATES[] = { "alive", "dead", "damaged", "closed", "version" };
    return g->missing ? "missing" : STATES[g->peek.state];
}

void sample_json(struct json_out *j, const struct gauges *g, const struct rates *rates) {
    char why[320];
    json_out_text(j, "name", g->peek.name);
    json_out_u64(j, "at_unix_ns", wall_unix_ns());
    json_out_text(j, "state", sample_state(g));
    if (!g->known) {
        gauges_why(g, why, sizeof(why));
        json_out_text(j, "why", why);
        return;
    }
    sample_totals_json(j, g);
    sample_rates_json(j, rates);
    json_out_open(j, "replicas", '[');
    for (uint32_t i = 0; i < g->n; i++) {
        sample_replica_json(j, &g->replicas[i], &rates->replicas[g->replicas[i].id]);
    }
    json_out_close(j, ']');
    sample_readers_json(j, g);
}

void sample_events_json(struct json_out *j, const struct event *events, size_t n) {
    json_out_open(j, "events", '[');
    for (size_t i = 0; i < n; i++) {
        json_out_open(j, NULL, '{');
        json_out_text(j, "event", event_name(events[i].kind));
        json_out_i64(j, "replica", events[i].replica);
        json_out_bool(j, "bad", event_is_bad(&events[i]));
        json_out_text(j, "text", events[i].text);
        json_out_close(j, '}');
    }
    json_out_close(j, ']');
}
