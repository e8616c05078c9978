/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which metrics there are. Names last: dashboards and alerts use them (share/grafana, share/prometheus). */
#include <math.h>
#include <stdio.h>

#include "engine/tidemark.h"
#include "tools/metrics/metrics.h"

/* Of a family the samples that one domain, or one of its replicas, has. */
typedef void domain_fn(struct prom *p, const struct gauges *g);
typedef void replica_fn(struct prom *p, const struct gauges *g, const struct gauges_replica *r);

struct family {
    struct prom_family head;
    domain_fn *domain;
    replica_fn *replica; /* one of the two */
    bool of_unknown;     /* also of a domain that cannot be read */
    bool of_table;       /* only of a replica whose table can be read */
};

static void families_begin(struct prom *p, const char *part, const struct gauges *g) {
    prom_begin(p, part);
    prom_label(p, "domain", g->peek.name);
}

static void families_begin_replica(struct prom *p, const char *part, const struct gauges *g,
                                   const struct gauges_replica *r) {
    families_begin(p, part, g);
    prom_label_u64(p, "replica", r->id);
    prom_label(p, "label", r->label);
}

/* ---- of a domain ------------------------------------------------------------------------------------------------- */

#define DOMAIN_U64(name, value)                                                                                        \
    static void name(struct prom *p, const struct gauges *g) {                                                         \
        families_begin(p, "", g);                                                                                      \
        prom_u64(p, value);                                                                                            \
    }
DOMAIN_U64(up, g->known)
DOMAIN_U64(commit_index, g->peek.commit)
DOMAIN_U64(groups, g->groups)
DOMAIN_U64(term, g->peek.term)
DOMAIN_U64(led, g->peek.led != 0)
DOMAIN_U64(members, g->peek.members)
DOMAIN_U64(dead_members, g->peek.dead)
DOMAIN_U64(memory, g->peek.memory_bytes)
DOMAIN_U64(ring_bytes, g->peek.ring_bytes)
DOMAIN_U64(ring_used, g->ring_used_bytes)
DOMAIN_U64(ring_waits, g->ring_waits)
DOMAIN_U64(refused_full, g->refused_full)
DOMAIN_U64(lapped, g->lapped)
DOMAIN_U64(expired, g->expired)
DOMAIN_U64(evicted, g->evicted)
DOMAIN_U64(hits, g->hits)
DOMAIN_U64(misses, g->misses)
DOMAIN_U64(evicts, g->evicts)
DOMAIN_U64(made, g->made)
DOMAIN_U64(waited, g->waited)

/* Of a fed domain alone. */
#define SOURCE_U64(name, value)                                                                                        \
    static void name(struct prom *p, const struct gauges *g) {                                                         \
        if (g->source[0] != 0) {                                                                                       \
            families_begin(p, "", g);                                                                                  \
            prom_u64(p, value);                                                                                        \
        }                                                                                                              \
    }
SOURCE_U64(source_revision, g->source_revision)
SOURCE_U64(complete_revision, g->complete_revision)
SOURCE_U64(questions, g->questions)
SOURCE_U64(answered, g->answered)
SOURCE_U64(writes_open, g->writes_open)

static void families_source_info(struct prom *p, const struct gauges *g) {
    if (g->source[0] != 0) {
        families_begin(p, "", g);
        prom_label(p, "source", g->source);
        prom_u64(p, 1);
    }
}

static void families_source_staleness(struct prom *p, const struct gauges *g) {
    if (g->source[0] != 0) {
        families_begin(p, "", g);
        if (g->complete_ns == UINT64_MAX) {
            prom_real(p, INFINITY);
        } else {
            prom_ns(p, g->complete_ns);
        }
    }
}

static void families_state(struct prom *p, const struct gauges *g) {
    static const char *const NAMES[] = { "alive", "dead", "damaged", "closed", "version", "missing" };
    size_t is = g->missing ? 5 : (size_t)g->peek.state;
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        families_begin(p, "", g);
        prom_label(p, "state", NAMES[i]);
        prom_u64(p, i == is);
    }
}

static void families_domain_info(struct prom *p, const struct gauges *g) {
    char text[20];
    snprintf(text, sizeof(text), "%016llx", (unsigned long long)g->peek.incarnation);
    families_begin(p, "", g);
    prom_label(p, "incarnation", text);
    prom_u64(p, 1);
}

static void families_start_time(struct prom *p, const struct gauges *g) {
    families_begin(p, "", g);
    prom_ns(p, g->peek.created_unix_ns);
}

static void families_ring_ratio(struct prom *p, const struct gauges *g) {
    families_begin(p, "", g);
    prom_real(p, g->peek.ring_bytes ? (double)g->ring_used_bytes / (double)g->peek.ring_bytes : 0);
}

static void families_fallback_ratio(struct prom *p, const struct gauges *g) {
    uint64_t all = 0, fell_back = 0;
    for (uint32_t r = 0; r < TIDE_REASONS; r++) {
        all += g->by_reason[r];
        fell_back += r >= TIDE_REASON_REDIRECTED ? g->by_reason[r] : 0;
    }
    families_begin(p, "", g);
    prom_real(p, all ? (double)fell_back / (double)all : 0);
}

static bool families_is_shown(const struct gauges *g, uint32_t id) {
    for (uint32_t i = 0; i < g->n; i++) {
        if (g->replicas[i].id == id) {
            return true;
        }
    }
    return false;
}

/* Also of a replica that is gone: a counter must not fall. One that nobody has read from has no sample. */
static void families_reads(struct prom *p, const struct gauges *g) {
    for (uint32_t id = 0; id < PEEK_REPLICAS; id++) {
        for (uint32_t r = 0; r < TIDE_REASONS; r++) {
            if (g->peek.reads[id][r] == 0 && !families_is_shown(g, id)) {
                continue;
            }
            families_begin(p, "", g);
            prom_label_u64(p, "replica", id);
            prom_label(p, "reason", tide_reason_name(r));
            prom_u64(p, g->peek.reads[id][r]);
        }
    }
}

/* ---- of a replica ------------------------------------------------------------------------------------------------ */

#define REPLICA_U64(name, value)                                                                                       \
    static void name(struct prom *p, const struct gauges *g, const struct gauges_replica *r) {                         \
        families_begin_replica(p, "", g, r);                                                                           \
        prom_u64(p, value);                                                                                            \
    }
#define REPLICA_NS(name, value)                                                                                        \
    static void name(struct prom *p, const struct gauges *g, const struct gauges_replica *r) {                         \
        families_begin_replica(p, "", g, r);                                                                           \
        prom_ns(p, value);                                                                                             \
    }
REPLICA_U64(replica_leads, r->leads)
REPLICA_U64(replica_lives, r->lives)
REPLICA_U64(applied_index, r->applied)
REPLICA_U64(lag_entries, r->lag)
REPLICA_NS(apply_delay, r->apply_delay_ns)
REPLICA_U64(entries, r->entries)
REPLICA_U64(joins, r->joins)
REPLICA_U64(replica_lapped, r->lapped)
REPLICA_U64(keys, r->table.keys)
REPLICA_U64(keys_most, r->table.keys_most)
REPLICA_U64(table_limit, r->table.table_bytes)
REPLICA_U64(table_used, r->table.used_bytes)

static void families_staleness(struct prom *p, const struct gauges *g, const struct gauges_replica *r) {
    families_begin_replica(p, "", g, r);
    if (r->staleness_ns == UINT64_MAX) {
        prom_real(p, INFINITY); /* of a fed domain that was never complete */
    } else {
        prom_ns(p, r->staleness_ns);
    }
}

static void families_replica_state(struct prom *p, const struct gauges *g, const struct gauges_replica *r) {
    for (uint32_t s = TIDE_STATE_CLAIMED; s <= TIDE_STATE_ORPHAN; s++) {
        if (s == TIDE_STATE_STOPPED) {
            continue;
        }
        families_begin_replica(p, "", g, r);
        prom_label(p, "state", tide_state_name((enum tide_state)s));
        prom_u64(p, s == r->state);
    }
}

static void families_table_kind(struct prom *p, const struct gauges *g, const struct gauges_replica *r,
                                const char *kind, uint64_t bytes) {
    families_begin_replica(p, "", g, r);
    prom_label(p, "kind", kind);
    prom_u64(p, bytes);
}

static void families_table(struct prom *p, const struct gauges *g, const struct gauges_replica *r) {
    families_table_kind(p, g, r, "live", r->table.usage.live);
    families_table_kind(p, g, r, "free", r->table.usage.free);
    families_table_kind(p, g, r, "waiting", r->table.usage.waiting);
    families_table_kind(p, g, r, "overhead", r->table.usage.overhead);
}

static void families_lag(struct prom *p, const struct gauges *g, const struct gauges_replica *r) {
    const struct gauges_histogram *lag = &r->replication.all;
    char end[32];
    if (!r->replication.known) {
        return;
    }
    /* Of the buckets every fourth, the powers of two: thirty series for each replica are enough. */
    for (uint32_t i = 0; i < GAUGES_BUCKETS + GAUGES_BUCKETS_DOUBLING; i += GAUGES_BUCKETS_DOUBLING) {
        bool last = i >= GAUGES_BUCKETS;
        if (!last) {
            snprintf(end, sizeof(end), "%.12g", (double)gauges_bucket_end_ns(i) / 1e9);
        }
        families_begin_replica(p, "_bucket", g, r);
        prom_label(p, "le", last ? "+Inf" : end);
        prom_u64(p, last ? lag->count : lag->up_to[i]);
    }
    families_begin_replica(p, "_sum", g, r);
    prom_real(p, lag->sum_ns / 1e9);
    families_begin_replica(p, "_count", g, r);
    prom_u64(p, lag->count);
}

static void families_lag_quantiles(struct prom *p, const struct gauges *g, const struct gauges_replica *r) {
    static const char *const QUANTILES[GAUGES_QUANTILES] = { "0.5", "0.99", "0.999" };
    const struct gauges_lag *lag = &r->replication;
    for (int i = 0; lag->known && i < GAUGES_QUANTILES; i++) {
        families_begin_replica(p, "", g, r);
        prom_label(p, "quantile", QUANTILES[i]);
        if (lag->recent.count == 0) {
            prom_real(p, NAN);
        } else {
            prom_ns(p, lag->quantile_ns[i]);
        }
    }
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

#define OF_DOMAIN(name, type, unit, fn, help)                                                                          \
    { { name, PROM_##type, unit, help }, fn, NULL, false, false }
#define OF_ANY(name, type, unit, fn, help)                                                                             \
    { { name, PROM_##type, unit, help }, fn, NULL, true, false }
#define OF_REPLICA(name, type, unit, fn, help)                                                                         \
    { { name, PROM_##type, unit, help }, NULL, fn, false, false }
#define OF_TABLE(name, type, unit, fn, help)                                                                           \
    { { name, PROM_##type, unit, help }, NULL, fn, false, true }

/* clang-format off */
static const struct family FAMILIES[] = {
    OF_ANY("tide_up", GAUGE, NULL, up, "1: the domain could be read; 0: it is missing, damaged, closed to this user, or of another version (tide_domain_state)."),
    OF_ANY("tide_domain_state", GAUGE, NULL, families_state, "What the domain is, as tide ls has it: 1 for the families_state that it has. dead: no process is attached."),
    OF_DOMAIN("tide_domain_info", GAUGE, NULL, families_domain_info, "Which incarnation of the domain this is."),
    OF_DOMAIN("tide_domain_start_time_seconds", GAUGE, "seconds", families_start_time, "When the domain was made, since the epoch."),
    OF_DOMAIN("tide_commit_index", GAUGE, NULL, commit_index, "Index of the last entry of the log that is committed."),
    OF_DOMAIN("tide_writes", COUNTER, NULL, commit_index, "Entries committed: writes, removals of expired and evicted keys, changes of leader."),
    OF_DOMAIN("tide_commit_groups", COUNTER, NULL, groups, "Commits: groups of entries."),
    OF_DOMAIN("tide_leader_term", GAUGE, NULL, term, "Grows by one with every change of leader."),
    OF_DOMAIN("tide_led", GAUGE, NULL, led, "1: the kernel certifies that a leader lives."),
    OF_DOMAIN("tide_members", GAUGE, NULL, members, "Living processes (handles) that are attached."),
    OF_DOMAIN("tide_dead_members", GAUGE, NULL, dead_members, "Slots of dead processes that nobody has freed yet."),
    OF_DOMAIN("tide_memory_bytes", GAUGE, "bytes", memory, "Shared memory that the domain's files hold."),
    OF_DOMAIN("tide_ring_bytes", GAUGE, "bytes", ring_bytes, "Size of the log ring."),
    OF_DOMAIN("tide_ring_used_bytes", GAUGE, "bytes", ring_used, "Between the slowest pinned replica and the end of the log."),
    OF_DOMAIN("tide_ring_used_ratio", GAUGE, "ratio", families_ring_ratio, "The same as a share of the ring; near 1 the leader waits for somebody."),
    OF_DOMAIN("tide_ring_waits", COUNTER, NULL, ring_waits, "Times that the leader found the ring full and waited."),
    OF_DOMAIN("tide_refused_full", COUNTER, NULL, refused_full, "Writes that were refused because the table was full."),
    OF_DOMAIN("tide_lapped", COUNTER, NULL, lapped, "Followers that the log overtook."),
    OF_DOMAIN("tide_expirations", COUNTER, NULL, expired, "Keys removed because their time was over."),
    OF_DOMAIN("tide_evictions", COUNTER, NULL, evicted, "Keys removed because their room was needed."),
    OF_DOMAIN("tide_evicts", GAUGE, NULL, evicts, "1: when its tables are full the domain evicts keys; 0: it refuses writes."),
    OF_DOMAIN("tide_reads", COUNTER, NULL, families_reads, "Reads, by the replica that served and by why it did."),
    OF_DOMAIN("tide_bounded_staleness_fallback_ratio", GAUGE, "ratio", families_fallback_ratio, "Of all reads ever, those that no replica within the bound served: redirected, stale by choice, refused."),
    OF_DOMAIN("tide_hits", COUNTER, NULL, hits, "Keys that were looked up and found."),
    OF_DOMAIN("tide_misses", COUNTER, NULL, misses, "Keys that were looked up and not found."),
    OF_DOMAIN("tide_made", COUNTER, NULL, made, "Values made by tide_get_or_make()."),
    OF_DOMAIN("tide_waited", COUNTER, NULL, waited, "Values had by waiting for another that made them."),
    OF_DOMAIN("tide_source_info", GAUGE, NULL, families_source_info, "What feeds the domain. Nothing of these where no source does."),
    OF_DOMAIN("tide_source_revision", GAUGE, NULL, source_revision, "The highest revision of the source that the log holds."),
    OF_DOMAIN("tide_source_complete_revision", GAUGE, NULL, complete_revision, "The domain holds everything of the source up to this revision."),
    OF_DOMAIN("tide_source_staleness_seconds", GAUGE, "seconds", families_source_staleness, "How long ago the source was asked for what the domain holds now; +Inf: never."),
    OF_DOMAIN("tide_source_questions", COUNTER, NULL, questions, "Questions to the source, how far it is."),
    OF_DOMAIN("tide_source_answered", GAUGE, NULL, answered, "Number of the newest question that was answered."),
    OF_DOMAIN("tide_source_writes_open", GAUGE, NULL, writes_open, "Writes that were handed to the source and are not answered."),
    OF_REPLICA("tide_replica_state", GAUGE, NULL, families_replica_state, "The replica's state: 1 for the one that it has."),
    OF_REPLICA("tide_replica_is_leader", GAUGE, NULL, replica_leads, "1: this replica leads."),
    OF_REPLICA("tide_replica_alive", GAUGE, NULL, replica_lives, "1: the kernel certifies that the replica's process lives."),
    OF_REPLICA("tide_applied_index", GAUGE, NULL, applied_index, "The replica's state is the log up to this index."),
    OF_REPLICA("tide_replication_lag_entries", GAUGE, NULL, lag_entries, "Committed entries that the replica has not applied."),
    OF_REPLICA("tide_staleness_seconds", GAUGE, "seconds", families_staleness, "How old the replica's state is at most; 0: it has applied everything."),
    OF_REPLICA("tide_apply_delay_seconds", GAUGE, "seconds", apply_delay, "How long the replica is told to wait before it applies."),
    OF_REPLICA("tide_replica_entries", COUNTER, NULL, entries, "Entries applied since the replica started."),
    OF_REPLICA("tide_replica_joins", COUNTER, NULL, joins, "Times that it copied another replica's table."),
    OF_REPLICA("tide_replica_lapped", COUNTER, NULL, replica_lapped, "Times that the log overtook it."),
    OF_TABLE("tide_replication_lag_seconds", HISTOGRAM, "seconds", families_lag, "From commit to applied, of each entry since the replica started."),
    OF_TABLE("tide_replication_lag_quantile_seconds", SUMMARY, "seconds", families_lag_quantiles, "The same over the last 10 seconds; NaN where nothing was applied in them."),
    OF_TABLE("tide_keys", GAUGE, NULL, keys, "Live keys."),
    OF_TABLE("tide_keys_limit", GAUGE, NULL, keys_most, "How many keys the table's buckets have room for."),
    OF_TABLE("tide_table_limit_bytes", GAUGE, "bytes", table_limit, "The table's budget."),
    OF_TABLE("tide_table_used_bytes", GAUGE, "bytes", table_used, "Of the budget, what is given out."),
    OF_TABLE("tide_table_bytes", GAUGE, "bytes", families_table, "What the budget is used for: live (keys and values), free (what puts may take yet), waiting (for readers), overhead."),
};
/* clang-format on */

static void families_write_domain(struct prom *p, const struct family *f, const struct gauges *g) {
    if (f->domain && (g->known || f->of_unknown)) {
        f->domain(p, g);
    }
    for (uint32_t i = 0; f->replica && i < g->n; i++) {
        if (!f->of_table || g->replicas[i].has_table) {
            f->replica(p, g, &g->replicas[i]);
        }
    }
}

static void families_write_build(struct prom *p) {
    static const struct prom_family BUILD = { "tide_build_info", PROM_GAUGE, NULL,
                                              "Version of the tide that tells this." };
    uint32_t v = tide_version();
    char text[40];
    snprintf(text, sizeof(text), "%u.%u.%u", v >> 16, v >> 8 & 0xff, v & 0xff);
    prom_family(p, &BUILD);
    prom_begin(p, "");
    prom_label(p, "version", text);
    prom_u64(p, 1);
}

void families_write(struct prom *p, const struct gauges *domains, size_t n) {
    families_write_build(p);
    for (size_t i = 0; i < sizeof(FAMILIES) / sizeof(FAMILIES[0]); i++) {
        prom_family(p, &FAMILIES[i].head);
        for (size_t d = 0; d < n; d++) {
            families_write_domain(p, &FAMILIES[i], &domains[d]);
        }
    }
    prom_end(p);
}
