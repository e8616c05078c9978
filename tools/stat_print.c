/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/lib/args.h"
#include "tools/lib/colour.h"
#include "tools/lib/escape.h"
#include "tools/lib/figures.h"
#include "tools/lib/json_out.h"
#include "tools/lib/key_sizes.h"
#include "tools/lib/sizes.h"
#include "tools/stat.h"

/* ---- text ---- */

static const char *stat_print_time_text(uint64_t ns, char buf[32]) {
    return args_duration_text(ns, buf, 32);
}

static int stat_print_width_of(const struct stat_look *s) {
    return s->wide ? 0 : COLOUR_NARROW;
}

/* On a read-only mount it is no member. */
static int stat_print_among_them(const struct peek *p) {
    uint32_t i = 0;
    while (i < p->members && p->pids[i] != getpid()) {
        i++;
    }
    return i < p->members;
}

/* Of a fed domain. */
static void stat_print_source(const struct stat_look *s) {
    const struct tide_info *i = &s->info;
    char time[32];
    struct buf t = { 0 };
    buf_printf(&t, "%s, revision %llu; ", i->source, (unsigned long long)i->source_revision);
    if (i->complete_ns == TIDE_UNBOUNDED) {
        buf_add_text(&t, "never complete, and nothing is read before that");
    } else {
        buf_printf(&t, "complete up to %llu as of %s ago", (unsigned long long)i->complete_revision,
                   stat_print_time_text(i->complete_ns, time));
    }
    buf_printf(&t, "; %llu questions, %llu answered; ", (unsigned long long)i->probes_begun,
               (unsigned long long)i->probes_done);
    if (i->bound_wanted_ns == TIDE_UNBOUNDED) {
        buf_add_text(&t, "nobody reads by a bound");
    } else {
        buf_printf(&t, "tightest bound %s", stat_print_time_text(i->bound_wanted_ns, time));
    }
    buf_printf(&t, "; %llu writes open", (unsigned long long)i->writes_open);
    colour_paragraph("source", &t, stat_print_width_of(s));
    if (i->source_note[0] != 0) { /* it comes from the segment */
        printf("          ");
        escape_text_print(stdout, i->source_note, strlen(i->source_note), "");
        putchar('\n');
    }
}

static void stat_print_domain(const struct stat_look *s) {
    const struct tide_info *i = &s->info;
    char created[32] = "?", ring[24], table[24], used[24], memory[24];
    time_t seconds = (time_t)(i->created_unix_ns / 1000000000u);
    struct tm tm;
    struct buf t = { 0 };
    if (gmtime_r(&seconds, &tm)) {
        strftime(created, sizeof(created), "%Y-%m-%d %H:%M:%SZ", &tm);
    }
    buf_printf(&t, "%s, incarnation %016llx, created %s", i->name, (unsigned long long)i->incarnation, created);
    colour_paragraph("domain", &t, stat_print_width_of(s));
    if (i->led && i->leader >= 0) {
        printf("leader    replica %d, process %d, term %llu\n", i->leader, i->leader_pid, (unsigned long long)i->term);
    } else {
        fputs("leader    ", stdout);
        colour_print(COLOUR_BAD, 0, "nobody");
        printf(", last term %llu\n", (unsigned long long)i->term);
    }
    buf_printf(&t, "commit %llu, ring %s, %s used (%.1f %%)", (unsigned long long)i->commit_index,
               sizes_text(i->ring_bytes, ring, sizeof(ring)), sizes_text(i->ring_used_bytes, used, sizeof(used)),
               100 * s->ring_used_ratio);
    colour_paragraph("log", &t, stat_print_width_of(s));
    if (i->source[0] != 0) {
        stat_print_source(s);
    }
    buf_printf(&t, "%u living (%u dead)%s; tables of %s, %s of shared memory in all", s->peek.members, s->peek.dead,
               stat_print_among_them(&s->peek) ? ", this command among them" : "",
               sizes_text(i->table_bytes, table, sizeof(table)),
               sizes_text(s->peek.memory_bytes, memory, sizeof(memory)));
    colour_paragraph("members", &t, stat_print_width_of(s));
    printf("lapped    %llu times a follower was left behind\n", (unsigned long long)i->lapped_total);
    printf("removed   %llu keys expired, %llu were evicted\n", (unsigned long long)i->expired_total,
           (unsigned long long)i->evicted_total);
}

static void stat_print_reads(const struct stat_look *s) {
    struct buf t = { 0 };
    for (int r = 0; r < TIDE_REASONS; r++) {
        if (s->by_reason[r] != 0) {
            buf_printf(&t, "%s%s %llu", t.size > 0 ? ", " : "", tide_reason_name((enum tide_reason)r),
                       (unsigned long long)s->by_reason[r]);
        }
    }
    if (t.size > 0) {
        buf_printf(&t, "; fell back %.2f %%", 100 * s->fallback_ratio);
    } else {
        buf_add_text(&t, "none");
    }
    colour_paragraph("reads", &t, stat_print_width_of(s));
}

static void stat_print_cache(const struct stat_look *s) {
    struct buf t = { 0 };
    buf_printf(&t, "found %llu, missing %llu, hit ratio %.2f %%; made %llu, waited for %llu",
               (unsigned long long)s->counts.hits, (unsigned long long)s->counts.misses, 100 * s->hit_ratio,
               (unsigned long long)s->counts.made, (unsigned long long)s->counts.waited);
    colour_paragraph("keys", &t, stat_print_width_of(s));
    if (s->seconds > 0) {
        buf_printf(&t,
                   "in the last %.1f s: %.0f writes/s, %.0f reads/s, %.0f keys found/s, %.0f missing/s, %.0f "
                   "expired/s, %.0f evicted/s",
                   s->seconds, s->writes_s, s->reads_s, s->hits_s, s->misses_s, s->expired_s, s->evicted_s);
        if (s->hit_ratio_now >= 0) {
            buf_printf(&t, "; hit ratio %.2f %%", 100 * s->hit_ratio_now);
        }
        colour_paragraph("rates", &t, stat_print_width_of(s));
    }
}

/* ---- replicas ---- */

/* Its process is gone, and no process has freed its slot yet. */
static int stat_print_is_dead(const struct stat_look *s, const struct tide_replica_info *r) {
    return r->state != TIDE_STATE_ORPHAN && r->state != TIDE_STATE_STOPPED && (s->peek.living >> r->id & 1) == 0;
}

static int stat_print_leads(const struct stat_look *s, const struct tide_replica_info *r) {
    return s->info.led && s->info.leader == (int32_t)r->id;
}

static const char *stat_print_role_name(const struct stat_look *s, const struct tide_replica_info *r) {
    return stat_print_leads(s, r) ? "leader" : "follower";
}

static const char *stat_print_state_name(const struct stat_look *s, const struct tide_replica_info *r) {
    return stat_print_is_dead(s, r) ? "dead" : tide_state_name(r->state);
}

static enum colour stat_print_state_colour(const struct stat_look *s, const struct tide_replica_info *r) {
    if (stat_print_is_dead(s, r) || r->state == TIDE_STATE_LAPPED || r->state == TIDE_STATE_DIVERGED ||
        r->state == TIDE_STATE_FAILED) {
        return COLOUR_BAD;
    }
    return r->state == TIDE_STATE_SERVING ? COLOUR_GOOD : COLOUR_WARN;
}

static void stat_print_replica_wide(const struct stat_look *s, const struct tide_replica_info *r) {
    char stale[32], delay[32], p50[32], p99[32], p999[32], label[ESCAPE_LABEL_BYTES];
    escape_label(r->label, sizeof(r->label), label, sizeof(label));
    printf("%3u  %-10s  %-8s  ", r->id, label, stat_print_role_name(s, r));
    colour_print(stat_print_state_colour(s, r), -8, stat_print_state_name(s, r));
    printf("  %7d  %12llu  %8llu  %9s  %7s  %10llu  %9s  %9s  %9s  %5llu  %6llu\n", r->pid,
           (unsigned long long)r->applied_index, (unsigned long long)r->lag,
           r->staleness_ns == UINT64_MAX ? "never" : stat_print_time_text(r->staleness_ns, stale),
           stat_print_time_text(r->apply_delay_ns, delay), (unsigned long long)r->keys,
           stat_print_time_text(r->lag_p50_ns, p50), stat_print_time_text(r->lag_p99_ns, p99),
           stat_print_time_text(r->lag_p999_ns, p999), (unsigned long long)r->joins, (unsigned long long)r->lapped);
}

/* A label in so many columns; what is longer ends with a star. Its characters are counted, not its bytes. */
static void stat_print_label(const struct tide_replica_info *r, size_t columns) {
    char label[ESCAPE_LABEL_BYTES];
    size_t n = 0, at = 0, cut = 0;
    escape_label(r->label, sizeof(r->label), label, sizeof(label));
    for (; label[at] != '\0'; at++) {
        bool starts = ((unsigned char)label[at] & 0xc0) != 0x80;
        n += starts;
        cut = starts && n == columns ? at : cut;
    }
    if (n > columns) {
        printf("%.*s*", (int)cut, label);
    } else {
        printf("%s%*s", label, (int)(columns - n), "");
    }
}

static uint64_t stat_print_reads_of(const struct stat_look *s, uint32_t id) {
    uint64_t n = 0;
    for (uint32_t r = 0; r < TIDE_REASON_REFUSED; r++) {
        n += s->peek.reads[id][r];
    }
    return n;
}

static void stat_print_replica(const struct stat_look *s, const struct tide_replica_info *r) {
    char text[7][FIGURES_BYTES];
    bool known = r->table_bytes != 0, serves = r->state == TIDE_STATE_SERVING && !stat_print_is_dead(s, r);
    double reads = s->seconds > 0 ? s->replica_reads_s[r->id] : (double)stat_print_reads_of(s, r->id);
    printf("%3u ", r->id);
    stat_print_label(r, 9);
    putchar(' ');
    colour_print(stat_print_state_colour(s, r), -8,
                 serves && stat_print_leads(s, r) ? "leads" : stat_print_state_name(s, r));
    printf(" %7d %6s %6s %6s %6s %6s %6s %7s\n", r->pid, figures_count((double)r->lag, text[0]),
           figures_time(r->staleness_ns, text[1]), figures_time(r->lag_p50_ns, text[2]),
           figures_time(r->lag_p99_ns, text[3]), figures_count(known ? (double)r->keys : -1, text[4]),
           figures_share(known ? 1 - (double)r->table_free_bytes / (double)r->table_bytes : -1, text[5]),
           figures_count(reads, text[6]));
}

static void stat_print_replicas(const struct stat_look *s) {
    char head[120];
    snprintf(head, sizeof(head), "%3s %-9s %-8s %7s %6s %6s %6s %6s %6s %6s %7s", "ID", "LABEL", "STATE", "PID", "LAG",
             "STALE", "P50", "P99", "KEYS", "FULL", s->seconds > 0 ? "READS/S" : "READS");
    if (s->wide) {
        printf("\n%3s  %-10s  %-8s  %-8s  %7s  %12s  %8s  %9s  %7s  %10s  %9s  %9s  %9s  %5s  %6s\n", "ID", "LABEL",
               "ROLE", "STATE", "PID", "APPLIED", "LAG", "STALENESS", "DELAY", "KEYS", "LAG P50", "P99", "P99.9",
               "JOINS", "LAPPED");
    } else {
        putchar('\n');
        colour_print(COLOUR_HEAD, 0, head);
        putchar('\n');
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->replicas[i].state == TIDE_STATE_STOPPED) {
            continue;
        }
        if (s->wide) {
            stat_print_replica_wide(s, &s->replicas[i]);
        } else {
            stat_print_replica(s, &s->replicas[i]);
        }
    }
}

/* What the dead left, and what can be done with it. */
static void stat_print_orphans(const struct stat_look *s) {
    bool any = false;
    for (size_t i = 0; i < s->n; i++) {
        const struct tide_replica_info *r = &s->replicas[i];
        struct buf t = { 0 };
        char size[24];
        if (r->state != TIDE_STATE_ORPHAN) {
            continue;
        }
        fputs(any ? "" : "\n", stdout);
        any = true;
        if (r->table_bytes != 0) {
            buf_printf(&t, "replica %u holds %llu keys (%s%s of keys and values), the log up to %llu of %llu: ", r->id,
                       (unsigned long long)r->keys, sizes_text(r->table_live_bytes, size, sizeof(size)),
                       r->table_live_bytes < 1024 ? " bytes" : "", (unsigned long long)r->applied_index,
                       (unsigned long long)s->info.commit_index);
            buf_printf(&t, "'tide serve %s' goes on from it, if it proves whole", s->info.name);
        } else {
            buf_printf(&t, "replica %u: its table cannot be read; 'tide dump %s.r%u' says why", r->id, s->info.name,
                       r->id);
        }
        colour_paragraph("orphan", &t, stat_print_width_of(s));
    }
}

/* What each table's budget is used for. */
static void stat_print_memory(const struct stat_look *s) {
    printf("\n%3s  %10s  %8s  %8s  %8s  %8s  %8s  %12s\n", "ID", "TABLE", "USED", "LIVE", "FREE", "WAITING", "OVERHEAD",
           "KEYS AT MOST");
    for (size_t i = 0; i < s->n; i++) {
        const struct tide_replica_info *r = &s->replicas[i];
        char text[6][24];
        if (r->state == TIDE_STATE_STOPPED || r->table_bytes == 0) {
            continue;
        }
        printf("%3u  %10s  %8s  %8s  %8s  %8s  %8s  %12llu\n", r->id,
               sizes_text(r->table_bytes, text[0], sizeof(text[0])),
               sizes_text(r->table_used_bytes, text[1], sizeof(text[1])),
               sizes_text(r->table_live_bytes, text[2], sizeof(text[2])),
               sizes_text(r->table_free_bytes, text[3], sizeof(text[3])),
               sizes_text(r->table_waiting_bytes, text[4], sizeof(text[4])),
               sizes_text(r->table_overhead_bytes, text[5], sizeof(text[5])), (unsigned long long)r->table_keys_most);
    }
}

/* The replica whose keys are told by size: they are everybody's. NULL: no table can be looked at. */
static const struct tide_replica_info *stat_print_whose(const struct stat_look *s) {
    const struct tide_replica_info *found = NULL;
    for (size_t i = 0; i < s->n; i++) {
        const struct tide_replica_info *r = &s->replicas[i];
        bool good = r->table_bytes != 0 && (r->state == TIDE_STATE_SERVING || r->state == TIDE_STATE_ORPHAN);
        found = good && (found == NULL || stat_print_leads(s, r)) ? r : found;
    }
    return found;
}

static void stat_print_sizes(const struct stat_look *s) {
    const struct tide_replica_info *r = stat_print_whose(s);
    struct buf t = { 0 };
    for (uint32_t k = 0; r != NULL && k < TIDE_SIZES; k++) {
        char most[24], all[24];
        if (r->sizes[k].keys == 0) {
            continue;
        }
        buf_printf(&t, "%s%s %s: %llu keys, %s", t.size > 0 ? "; " : "", k + 1 < TIDE_SIZES ? "up to" : "over",
                   sizes_text(UINT64_C(16) << (k + 1 < TIDE_SIZES ? k : k - 1), most, sizeof(most)),
                   (unsigned long long)r->sizes[k].keys, sizes_text(r->sizes[k].bytes, all, sizeof(all)));
    }
    if (t.size > 0) {
        colour_paragraph("sizes", &t, stat_print_width_of(s));
    }
}

void stat_print_text(const struct stat_look *s) {
    stat_print_domain(s);
    stat_print_reads(s);
    stat_print_cache(s);
    stat_print_sizes(s);
    stat_print_replicas(s);
    stat_print_orphans(s);
    stat_print_memory(s);
}

/* ---- JSON ---- */

static double stat_print_in_s(uint64_t ns) {
    return (double)ns / 1e9;
}

static void stat_print_lag_json(struct json_out *j, const struct tide_replica_info *r) {
    json_out_open(j, "tide_replication_lag_seconds", '{');
    json_out_open(j, "rolling_10s", '{');
    json_out_real(j, "p50", stat_print_in_s(r->lag_p50_ns));
    json_out_real(j, "p99", stat_print_in_s(r->lag_p99_ns));
    json_out_real(j, "p999", stat_print_in_s(r->lag_p999_ns));
    json_out_close(j, '}');
    json_out_open(j, "all", '{');
    json_out_real(j, "p50", stat_print_in_s(r->lag_all_p50_ns));
    json_out_real(j, "p99", stat_print_in_s(r->lag_all_p99_ns));
    json_out_real(j, "p999", stat_print_in_s(r->lag_all_p999_ns));
    json_out_real(j, "max", stat_print_in_s(r->lag_all_max_ns));
    json_out_u64(j, "count", r->lag_count);
    json_out_close(j, '}');
    json_out_close(j, '}');
}

static void stat_print_ns_or_null(struct json_out *j, const char *name, uint64_t ns) {
    if (ns == TIDE_UNBOUNDED) {
        json_out_null(j, name);
    } else {
        json_out_u64(j, name, ns);
    }
}

static void stat_print_replica_json(struct json_out *j, const struct stat_look *s, const struct tide_replica_info *r) {
    json_out_open(j, NULL, '{');
    json_out_u64(j, "replica", r->id);
    json_out_text(j, "label", r->label);
    json_out_text(j, "role", stat_print_role_name(s, r));
    json_out_text(j, "tide_replica_state", tide_state_name(r->state));
    json_out_bool(j, "dead", stat_print_is_dead(s, r));
    json_out_i64(j, "pid", r->pid);
    json_out_u64(j, "tide_applied_index", r->applied_index);
    json_out_u64(j, "lag", r->lag);
    stat_print_ns_or_null(j, "staleness_ns", r->staleness_ns); /* null: of a fed domain, never complete */
    json_out_u64(j, "apply_delay_ns", r->apply_delay_ns);
    json_out_u64(j, "keys", r->keys);
    json_out_u64(j, "table_bytes", r->table_bytes);
    json_out_u64(j, "table_used_bytes", r->table_used_bytes);
    json_out_u64(j, "table_live_bytes", r->table_live_bytes);
    json_out_u64(j, "table_free_bytes", r->table_free_bytes);
    json_out_u64(j, "table_waiting_bytes", r->table_waiting_bytes);
    json_out_u64(j, "table_overhead_bytes", r->table_overhead_bytes);
    json_out_u64(j, "table_keys_most", r->table_keys_most);
    key_sizes_json(j, r->sizes);
    json_out_u64(j, "joins", r->joins);
    json_out_u64(j, "lapped", r->lapped);
    stat_print_lag_json(j, r);
    json_out_close(j, '}');
}

static void stat_print_reads_json(struct json_out *j, const struct stat_look *s) {
    json_out_open(j, "tide_reads_total", '[');
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        for (uint32_t r = 0; r < TIDE_REASONS; r++) {
            if (s->peek.reads[i][r] == 0) {
                continue;
            }
            json_out_open(j, NULL, '{');
            json_out_u64(j, "replica", i);
            json_out_text(j, "reason", tide_reason_name((enum tide_reason)r));
            json_out_u64(j, "value", s->peek.reads[i][r]);
            json_out_close(j, '}');
        }
    }
    json_out_close(j, ']');
}

/* Of --watch, from the second look on. */
static void stat_print_rates_json(struct json_out *j, const struct stat_look *s) {
    if (s->seconds <= 0) {
        return;
    }
    json_out_open(j, "rates", '{');
    json_out_real(j, "seconds", s->seconds);
    json_out_real(j, "writes_s", s->writes_s);
    json_out_real(j, "reads_s", s->reads_s);
    json_out_real(j, "hits_s", s->hits_s);
    json_out_real(j, "misses_s", s->misses_s);
    json_out_real(j, "expired_s", s->expired_s);
    json_out_real(j, "evicted_s", s->evicted_s);
    if (s->hit_ratio_now >= 0) {
        json_out_real(j, "hit_ratio", s->hit_ratio_now);
    } else {
        json_out_null(j, "hit_ratio");
    }
    json_out_close(j, '}');
}

/* null: no source feeds the domain. */
static void stat_print_source_json(struct json_out *j, const struct tide_info *i) {
    if (i->source[0] == 0) {
        json_out_null(j, "source");
        return;
    }
    json_out_open(j, "source", '{');
    json_out_text(j, "kind", i->source);
    json_out_text(j, "note", i->source_note);
    json_out_u64(j, "tide_source_revision", i->source_revision);
    json_out_u64(j, "tide_source_complete_revision", i->complete_revision);
    stat_print_ns_or_null(j, "complete_ns", i->complete_ns);
    json_out_u64(j, "questions", i->probes_begun);
    json_out_u64(j, "answered", i->probes_done);
    stat_print_ns_or_null(j, "bound_wanted_ns", i->bound_wanted_ns);
    json_out_u64(j, "tide_source_writes_open", i->writes_open);
    json_out_close(j, '}');
}

void stat_print_json(const struct stat_look *s) {
    const struct tide_info *i = &s->info;
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "name", i->name);
    json_out_hex(&j, "incarnation", i->incarnation);
    json_out_u64(&j, "created_unix_ns", i->created_unix_ns);
    json_out_i64(&j, "leader", i->led ? i->leader : -1);
    json_out_i64(&j, "leader_pid", i->led ? i->leader_pid : 0);
    json_out_bool(&j, "led", (int)i->led);
    json_out_u64(&j, "members", s->peek.members);
    json_out_u64(&j, "dead_members", s->peek.dead);
    json_out_u64(&j, "tide_commit_index", i->commit_index);
    json_out_u64(&j, "tide_leader_term", i->term);
    json_out_real(&j, "tide_ring_used_ratio", s->ring_used_ratio);
    json_out_real(&j, "tide_bounded_staleness_fallback_ratio", s->fallback_ratio);
    json_out_u64(&j, "ring_bytes", i->ring_bytes);
    json_out_u64(&j, "ring_used_bytes", i->ring_used_bytes);
    json_out_u64(&j, "table_bytes", i->table_bytes);
    json_out_u64(&j, "memory_bytes", s->peek.memory_bytes);
    json_out_u64(&j, "lapped_total", i->lapped_total);
    json_out_u64(&j, "expired_total", i->expired_total);
    json_out_u64(&j, "evicted_total", i->evicted_total);
    json_out_u64(&j, "default_ttl_ns", i->default_ttl_ns);
    stat_print_source_json(&j, i);
    json_out_open(&j, "replicas", '[');
    for (size_t k = 0; k < s->n; k++) {
        stat_print_replica_json(&j, s, &s->replicas[k]);
    }
    json_out_close(&j, ']');
    stat_print_reads_json(&j, s);
    json_out_u64(&j, "tide_hits_total", s->counts.hits);
    json_out_u64(&j, "tide_misses_total", s->counts.misses);
    json_out_real(&j, "tide_hit_ratio", s->hit_ratio);
    json_out_u64(&j, "tide_made_total", s->counts.made);
    json_out_u64(&j, "tide_waited_total", s->counts.waited);
    stat_print_rates_json(&j, s);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}
