/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A summary as text and as JSON. */
#include <stdio.h>

#include "tools/dump/summary.h"
#include "tools/lib/figures.h"
#include "tools/lib/sizes.h"

#define BAR_COLUMNS 32 /* so that a line has 80 */
#define KEY_ROOM 58    /* characters of a key, so that a line has 80 */

static void summary_print_bar(FILE *out, uint64_t n, uint64_t most) {
    int full = most ? (int)((double)n / (double)most * BAR_COLUMNS + 0.5) : 0;
    full = n > 0 && full == 0 ? 1 : full;
    for (int i = 0; i < full; i++) {
        fputc('#', out);
    }
    fputc('\n', out);
}

static void summary_print_buckets(FILE *out, const char *title, const uint64_t *counts, uint32_t n) {
    uint64_t most = 0, all = 0;
    uint32_t first = n, end = 0;
    char share[FIGURES_BYTES];
    for (uint32_t i = 0; i < n; i++) {
        most = counts[i] > most ? counts[i] : most;
        all += counts[i];
        first = counts[i] > 0 && first == n ? i : first;
        end = counts[i] > 0 ? i + 1 : end;
    }
    if (all == 0) {
        return;
    }
    fprintf(out, "\n%-24s %12s %8s\n", title, "HOW MANY", "SHARE");
    for (uint32_t i = first; i < end; i++) {
        uint64_t from = i == 0 ? 0 : summary_bucket_end(i - 1) + 1, to = summary_bucket_end(i);
        char range[48];
        snprintf(range, sizeof(range), from == to ? "%llu" : "%llu to %llu", (unsigned long long)from,
                 (unsigned long long)to);
        fprintf(out, "%-24s %12llu %8s %s", range, (unsigned long long)counts[i],
                figures_share((double)counts[i] / (double)all, share), counts[i] ? "" : "\n");
        if (counts[i]) {
            summary_print_bar(out, counts[i], most);
        }
    }
}

static void summary_print_types(FILE *out, const struct summary *s) {
    char share[FIGURES_BYTES], text[3][24];
    fprintf(out, "\n%-8s %12s %8s %10s %10s %10s\n", "TYPE", "ENTRIES", "SHARE", "KEYS", "VALUES", "IN THE LOG");
    for (uint32_t i = 0; i < SUMMARY_TYPES; i++) {
        const struct summary_type *t = &s->types[i];
        if (t->entries > 0) {
            fprintf(out, "%-8s %12llu %8s %10s %10s %10s\n", dump_type_name(i), (unsigned long long)t->entries,
                    figures_share((double)t->entries / (double)s->entries, share),
                    sizes_text(t->key_bytes, text[0], sizeof(text[0])),
                    sizes_text(t->value_bytes, text[1], sizeof(text[1])),
                    sizes_text(t->frame_bytes, text[2], sizeof(text[2])));
        }
    }
}

static void summary_print_keys(FILE *out, const struct summary *s) {
    char share[FIGURES_BYTES];
    if (s->n_most == 0) {
        return;
    }
    fprintf(out, "\n%12s %8s KEYS WRITTEN MOST, of %s%llu\n", "ENTRIES", "SHARE", s->short_by ? "at least " : "",
            (unsigned long long)s->keys);
    for (uint32_t i = 0; i < s->n_most; i++) {
        const struct summary_key *k = &s->most[i];
        fprintf(out, "%12llu %8s ", (unsigned long long)k->entries,
                figures_share((double)k->entries / (double)s->entries, share));
        size_t shown = escape_print(out, k->bytes, k->len, KEY_ROOM - 12);
        fprintf(out, shown < k->len ? " +%u bytes\n" : "\n", (unsigned)(k->len - shown));
    }
    if (s->short_by > 0) {
        fprintf(out, "%21s (there are too many keys to count them all: each may have up to %llu more)\n", "",
                (unsigned long long)s->short_by);
    }
}

static void summary_print_pauses(FILE *out, const struct summary *s, const struct dump_view *v) {
    char text[FIGURES_BYTES];
    if (s->n_pauses == 0) {
        return;
    }
    fprintf(out, "\n%12s LONGEST PAUSES BETWEEN TWO ENTRIES\n", "TIME");
    for (uint32_t i = 0; i < s->n_pauses; i++) {
        const struct summary_pause *p = &s->pauses[i];
        uint64_t age = v->ages ? dump_age_ns(&v->clock, p->ts) : DUMP_AGE_UNKNOWN;
        fprintf(out, "%12s between %llu and %llu", figures_time(p->ns, text), (unsigned long long)p->before,
                (unsigned long long)p->after);
        if (age != DUMP_AGE_UNKNOWN) {
            fprintf(out, ", began %s ago", figures_time(age, text));
        }
        fputc('\n', out);
    }
}

void summary_print_text(const struct summary *s, struct dump_view *v, const struct log_segment *seg) {
    FILE *out = v->out;
    char text[2][FIGURES_BYTES];
    double seconds = (double)(s->last_ts - s->first_ts) / 1e9;
    if (s->entries == 0) {
        fprintf(out, "\nno entry to sum up; %llu are not there any more, %llu are damaged\n",
                (unsigned long long)s->missing, (unsigned long long)s->bad);
        return;
    }
    fprintf(out, "\n%llu entries, from index %llu to %llu, over %s", (unsigned long long)s->entries,
            (unsigned long long)s->first, (unsigned long long)s->last, figures_time(s->last_ts - s->first_ts, text[0]));
    fprintf(out, seconds > 0 ? ": %s a second\n" : "\n", figures_count((double)s->entries / seconds, text[1]));
    fprintf(out, "%llu are not there any more, %llu are damaged; the term changed %llu times\n",
            (unsigned long long)s->missing, (unsigned long long)s->bad, (unsigned long long)s->terms);
    fprintf(out, "%llu came through lanes, from other processes; %llu expire, %llu are kept\n",
            (unsigned long long)s->of_lanes, (unsigned long long)s->expiring, (unsigned long long)s->kept);
    fprintf(out, "%llu batches, with %llu entries, at most %llu; %llu instants, at most %llu entries in one\n",
            (unsigned long long)s->batches.runs, (unsigned long long)s->batches.entries,
            (unsigned long long)s->batches.most, (unsigned long long)s->groups.runs,
            (unsigned long long)s->groups.most);
    fprintf(out, "since the domain was made: %llu entries in %llu groups (commits)\n",
            (unsigned long long)seg->leader.commit, (unsigned long long)seg->leader.groups);
    summary_print_types(out, s);
    summary_print_buckets(out, "KEY AND VALUE, BYTES", s->sizes, SUMMARY_SIZES);
    if (s->groups.most > 1) {
        summary_print_buckets(out, "ENTRIES OF ONE INSTANT", s->groups.by_length, SUMMARY_RUNS);
    }
    summary_print_buckets(out, "ENTRIES OF A BATCH", s->batches.by_length, SUMMARY_RUNS);
    summary_print_keys(out, s);
    summary_print_pauses(out, s, v);
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static void summary_buckets_json(struct json_out *j, const char *name, const uint64_t *counts, uint32_t n) {
    json_out_open(j, name, '[');
    for (uint32_t i = 0; i < n; i++) {
        if (counts[i] > 0) {
            json_out_open(j, NULL, '{');
            json_out_u64(j, "up_to", summary_bucket_end(i));
            json_out_u64(j, "count", counts[i]);
            json_out_close(j, '}');
        }
    }
    json_out_close(j, ']');
}

static void summary_runs_json(struct json_out *j, const char *name, const struct summary_runs *r) {
    json_out_open(j, name, '{');
    json_out_u64(j, "count", r->runs);
    json_out_u64(j, "entries", r->entries);
    json_out_u64(j, "most", r->most);
    summary_buckets_json(j, "sizes", r->by_length, SUMMARY_RUNS);
    json_out_close(j, '}');
}

static void summary_key_json(struct json_out *j, const struct dump_view *v, const struct summary_key *k) {
    struct buf text = { 0 };
    json_out_open(j, NULL, '{');
    size_t shown = escape_bytes(&text, k->bytes, k->len, v->full ? ESCAPE_UNBOUNDED : v->key_room);
    buf_add_char(&text, '\0');
    json_out_text(j, "key", text.data);
    json_out_bool(j, "cut", shown < k->len);
    json_out_u64(j, "entries", k->entries);
    json_out_close(j, '}');
    buf_free(&text);
}

void summary_print_json(const struct summary *s, struct dump_view *v, const struct log_segment *seg) {
    struct json_out *j = &v->json;
    json_out_open(j, NULL, '{');
    json_out_text(j, "kind", "summary");
    json_out_u64(j, "entries", s->entries);
    json_out_u64(j, "first", s->first);
    json_out_u64(j, "last", s->last);
    json_out_u64(j, "span_ns", s->last_ts - s->first_ts);
    json_out_u64(j, "missing", s->missing);
    json_out_u64(j, "bad", s->bad);
    json_out_u64(j, "term_changes", s->terms);
    json_out_u64(j, "of_lanes", s->of_lanes);
    json_out_u64(j, "expiring", s->expiring);
    json_out_u64(j, "kept", s->kept);
    json_out_u64(j, "commit", seg->leader.commit);
    json_out_u64(j, "groups_total", seg->leader.groups);
    json_out_open(j, "types", '[');
    for (uint32_t i = 0; i < SUMMARY_TYPES; i++) {
        const struct summary_type *t = &s->types[i];
        if (t->entries > 0) {
            json_out_open(j, NULL, '{');
            json_out_text(j, "type", dump_type_name(i));
            json_out_u64(j, "entries", t->entries);
            json_out_u64(j, "key_bytes", t->key_bytes);
            json_out_u64(j, "value_bytes", t->value_bytes);
            json_out_u64(j, "frame_bytes", t->frame_bytes);
            json_out_close(j, '}');
        }
    }
    json_out_close(j, ']');
    summary_buckets_json(j, "sizes", s->sizes, SUMMARY_SIZES);
    summary_runs_json(j, "instants", &s->groups);
    summary_runs_json(j, "batches", &s->batches);
    json_out_u64(j, "keys", s->keys);
    json_out_u64(j, "keys_short_by", s->short_by);
    json_out_open(j, "keys_most", '[');
    for (uint32_t i = 0; i < s->n_most; i++) {
        summary_key_json(j, v, &s->most[i]);
    }
    json_out_close(j, ']');
    json_out_open(j, "pauses", '[');
    for (uint32_t i = 0; i < s->n_pauses; i++) {
        json_out_open(j, NULL, '{');
        json_out_u64(j, "ns", s->pauses[i].ns);
        json_out_u64(j, "before", s->pauses[i].before);
        json_out_u64(j, "after", s->pauses[i].after);
        json_out_close(j, '}');
    }
    json_out_close(j, ']');
    json_out_close(j, '}');
    json_out_end_line(j);
    json_out_flush(j, v->out);
}
