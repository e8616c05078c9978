/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The domain's page, and the help. */
#include <stdio.h>
#include <string.h>

#include "engine/tidemark.h"
#include "tools/lib/args.h"
#include "tools/lib/escape.h"
#include "tools/lib/figures.h"
#include "tools/lib/sizes.h"
#include "tools/top/top.h"

#define ROW_LIST 10 /* of the list's first replica */
#define EVENT_ROWS 4

const char *top_state(const struct gauges_replica *r, int *ink) {
    const char *name = gauges_state(r);
    bool serves = r->state == TIDE_STATE_SERVING && r->lives;
    bool moves = r->lives && (r->state == TIDE_STATE_JOINING || r->state == TIDE_STATE_CLAIMED);
    *ink = serves ? INK_GOOD : moves || r->state == TIDE_STATE_ORPHAN ? INK_WARN : INK_BAD;
    return serves && r->leads ? "leads" : name;
}

static void draw_title(const struct top *t, struct canvas *c) {
    const struct peek *p = &t->now->peek;
    char clock[16], interval[32];
    struct tm tm;
    int column;
    canvas_ink(c, 0, 0, c->width, INK_REVERSE);
    column = canvas_printf(c, 0, 0, INK_REVERSE | INK_BOLD, " %s", p->name);
    column = canvas_put(c, 0, column, INK_REVERSE, p->state == PEEK_DEAD ? "  dead: no process" : "  alive");
    if (p->led) {
        canvas_printf(c, 0, column, INK_REVERSE, ", r%d leads, process %d, term %u", (int)p->leader, (int)p->leader_pid,
                      p->term);
    } else {
        canvas_printf(c, 0, column, INK_REVERSE, ", nobody leads, term was %u", p->term);
    }
    strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&t->at, &tm));
    char text[80];
    snprintf(text, sizeof(text), " %s  %s  every %s ", t->paused ? "PAUSED" : "", clock,
             args_duration_text(t->interval_ns, interval, sizeof(interval)));
    canvas_put(c, 0, c->width - (int)strlen(text), INK_REVERSE | (t->paused ? INK_BOLD : 0), text);
}

/* "name figure  ": a figure that is not 0 is bright, and where it is bad it is red. */
static int draw_figure(struct canvas *c, int row, int column, const char *name, const char *figure, bool bad) {
    bool zero = strcmp(figure, "0") == 0 || strcmp(figure, "-") == 0;
    column = canvas_printf(c, row, column, INK_PLAIN, "%s ", name);
    return canvas_printf(c, row, column, zero ? INK_DIM : bad ? INK_BAD | INK_BOLD : INK_BOLD, "%s", figure) + 2;
}

/* Below 0 where there is no sample before, so that nobody takes it for a rate of 0. */
static double draw_rate_of(const struct top *t, double rate) {
    return t->rates->seconds > 0 ? rate : -1;
}

static int draw_rate(const struct top *t, struct canvas *c, int row, int column, const char *name, double rate,
                     bool bad) {
    char text[FIGURES_BYTES];
    return draw_figure(c, row, column, name, figures_count(draw_rate_of(t, rate), text), bad && rate > 0);
}

void top_draw_reasons(const struct top *t, struct canvas *c, int row, const double by_reason_s[PEEK_REASONS]) {
    static const char *const NAMES[TIDE_REASONS] = { "FRESH",  "IN BOUND", "WAITED", "TO LEADER",
                                                     "BEHIND", "STALE",    "REFUSED" };
    char text[FIGURES_BYTES];
    int column = canvas_field(c, row, 0, 10, false, INK_UNDERLINE, "READS/S");
    canvas_put(c, row + 1, 0, INK_PLAIN, "by reason");
    for (uint32_t r = 0; r < TIDE_REASONS; r++) {
        double rate = draw_rate_of(t, by_reason_s[r]);
        int ink = rate <= 0 ? INK_DIM : rates_is_fallback(r) ? INK_WARN : INK_PLAIN;
        canvas_ink(c, row, column, 10, INK_UNDERLINE);
        canvas_field(c, row, column, 10, true, INK_UNDERLINE, NAMES[r]);
        canvas_field(c, row + 1, column, 10, true, ink, figures_count(rate, text));
        column += 10;
    }
}

static void draw_rates(const struct top *t, struct canvas *c) {
    const struct rates *r = t->rates;
    char text[FIGURES_BYTES];
    int column = canvas_printf(c, 1, 0, INK_PLAIN, "commit %llu  ", (unsigned long long)t->now->peek.commit);
    column = draw_rate(t, c, 1, column, "writes/s", r->writes_s, false);
    column = draw_rate(t, c, 1, column, "groups/s", r->groups_s, false);
    column = draw_rate(t, c, 1, column, "reads/s", r->reads_s, false);
    draw_figure(c, 1, column, "fell back", figures_share(r->fallback_ratio, text), r->fallback_ratio > 0);
    top_draw_reasons(t, c, 2, r->by_reason_s);
    column = canvas_put(c, 4, 0, INK_PLAIN, "keys/s  ");
    column = draw_rate(t, c, 4, column, "found", r->hits_s, false);
    column = draw_rate(t, c, 4, column, "missing", r->misses_s, false);
    column = draw_figure(c, 4, column, "hit ratio", figures_share(r->hit_ratio, text), false);
    column = draw_rate(t, c, 4, column, "expired", r->expired_s, false);
    column = draw_rate(t, c, 4, column, "evicted", r->evicted_s, false);
    draw_rate(t, c, 4, column, "full", r->refused_full_s, true);
}

/* ---- the ring ---------------------------------------------------------------------------------------------------- */

/* How far a pin is behind the end of the log, in bytes; no farther than the ring is long. */
static uint64_t draw_behind(const struct gauges *g, const struct gauges_replica *r) {
    uint64_t n = r->pos < g->ring_tail ? g->ring_tail - r->pos : 0;
    return n < g->peek.ring_bytes ? n : g->peek.ring_bytes;
}

/* The ring from its oldest byte at the left to the end of the log at the right. What a pin holds is full; each pin is a mark. */
static void draw_ring(const struct top *t, struct canvas *c) {
    const struct gauges *g = t->now;
    const struct gauges_replica *slowest = NULL;
    char used[FIGURES_BYTES], size[24], distance[24];
    int start = 6, width = c->width - 34, pins = 0;
    double share = g->peek.ring_bytes ? (double)g->ring_used_bytes / (double)g->peek.ring_bytes : 0;
    int ink = share > 0.8 ? INK_BAD : share > 0.5 ? INK_WARN : INK_ACCENT;
    int full = (int)(share * width + 0.5);
    canvas_put(c, 5, 0, INK_PLAIN, "ring [");
    for (int i = 0; i < width; i++) {
        bool is_full = i >= width - full;
        canvas_put(c, 5, start + i, is_full ? ink : INK_DIM, is_full ? c->unicode ? "▒" : "=" : c->unicode ? "·" : ".");
    }
    for (uint32_t i = 0; i < g->n; i++) {
        const struct gauges_replica *r = &g->replicas[i];
        if (!r->pins || g->peek.ring_bytes == 0) {
            continue;
        }
        int at = start + width - 1 - (int)((double)draw_behind(g, r) / (double)g->peek.ring_bytes * (width - 1));
        canvas_put(c, 5, at, ink | INK_BOLD, c->unicode ? "┃" : "|");
        slowest = !slowest || draw_behind(g, r) > draw_behind(g, slowest) ? r : slowest;
        pins++;
    }
    canvas_printf(c, 5, start + width, INK_PLAIN, "] %s of %s, %d %s", figures_share(share, used),
                  sizes_text(g->peek.ring_bytes, size, sizeof(size)), pins, pins == 1 ? "pin" : "pins");
    if (slowest && draw_behind(g, slowest) > 0) {
        int at = start + width - 1 - (int)((double)draw_behind(g, slowest) / (double)g->peek.ring_bytes * (width - 1));
        char text[80];
        snprintf(text, sizeof(text), "r%u is %s%s behind", slowest->id,
                 sizes_text(draw_behind(g, slowest), distance, sizeof(distance)),
                 draw_behind(g, slowest) < 1024 ? " bytes" : "");
        at = at + (int)strlen(text) > c->width ? c->width - (int)strlen(text) : at;
        canvas_put(c, 6, at, INK_PLAIN, text);
    } else if (pins > 0) {
        canvas_put(c, 6, start, INK_DIM, "oldest");
        canvas_put(c, 6, start + width - 6, INK_DIM, "newest");
    }
}

static uint32_t draw_readers_of(const struct gauges *g) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_readers; i++) {
        n += g->readers[i].pid != 0;
    }
    return n;
}

static void draw_memory(const struct top *t, struct canvas *c) {
    const struct gauges *g = t->now;
    const struct gauges_replica *fullest = NULL;
    double most = -1;
    uint64_t keys = 0;
    char text[FIGURES_BYTES], size[24];
    for (uint32_t i = 0; i < g->n; i++) {
        const struct peek_table *table = &g->replicas[i].table;
        double share = table->table_bytes && g->replicas[i].has_table
                           ? 1 - (double)table->usage.free / (double)table->table_bytes
                           : -1;
        fullest = share > most ? &g->replicas[i] : fullest;
        most = share > most ? share : most;
        keys = g->replicas[i].has_table && table->keys > keys ? table->keys : keys;
    }
    int column = draw_figure(c, 7, 0, "keys", figures_count((double)keys, text), false);
    if (fullest) {
        snprintf(size, sizeof(size), "r%u", fullest->id);
        column = draw_figure(c, 7, column, "fullest table", size, false) - 1;
        column = draw_figure(c, 7, column, "at", figures_share(most, text), most > 0.95 && !g->evicts);
        column = canvas_put(c, 7, column, INK_PLAIN, g->evicts ? "evicts  " : "");
    }
    column = draw_figure(c, 7, column, "memory", sizes_text(g->peek.memory_bytes, size, sizeof(size)), false);
    column = draw_figure(c, 7, column, "members", figures_count(g->peek.members, text), false);
    column = draw_figure(c, 7, column, "dead", figures_count(g->peek.dead, text), true);
    draw_figure(c, 7, column, "readers", figures_count(draw_readers_of(g), text), false);
}

/* ---- the list ---------------------------------------------------------------------------------------------------- */

struct column {
    const char *name;
    int width;
    bool left;
    bool wide; /* only where there is more room than 80 columns */
    int sort;  /* enum top_sort; -1: none */
    void (*text)(const struct top *t, const struct gauges_replica *r, char out[ESCAPE_LABEL_BYTES]);
};

typedef char text_out[ESCAPE_LABEL_BYTES];

static void draw_id_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    snprintf(out, ESCAPE_LABEL_BYTES, "r%u", r->id);
}
static void draw_label_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    escape_label(r->label, sizeof(r->label), out, ESCAPE_LABEL_BYTES);
}
static void draw_state_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    int ink;
    (void)t;
    snprintf(out, ESCAPE_LABEL_BYTES, "%s", top_state(r, &ink));
}
static void draw_lag_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    figures_count((double)r->lag, out);
}
static void draw_stale_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    figures_time(r->staleness_ns, out);
}
static void draw_p99_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    if (!r->replication.known || r->replication.recent.count == 0) {
        snprintf(out, ESCAPE_LABEL_BYTES, "-");
    } else {
        figures_time(r->replication.quantile_ns[GAUGES_P99], out);
    }
}
static void draw_reads_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    figures_count(draw_rate_of(t, t->rates->replicas[r->id].reads_s), out);
}
static void draw_applied_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    figures_count(draw_rate_of(t, t->rates->replicas[r->id].applied_s), out);
}
static void draw_keys_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    figures_count(r->has_table ? (double)r->table.keys : -1, out);
}
static void draw_full_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    figures_share(r->has_table && r->table.table_bytes ? 1 - (double)r->table.usage.free / (double)r->table.table_bytes
                                                       : -1,
                  out);
}
static void draw_delay_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    figures_time(r->apply_delay_ns, out);
}
static void draw_joins_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    figures_count((double)r->joins, out);
}
static void draw_lapped_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    figures_count((double)r->lapped, out);
}
static void draw_pid_text(const struct top *t, const struct gauges_replica *r, text_out out) {
    (void)t;
    snprintf(out, ESCAPE_LABEL_BYTES, "%d", (int)r->pid);
}

static const struct column COLUMNS[] = {
    { "ID", 3, true, false, SORT_ID, draw_id_text },
    { "LABEL", 9, true, false, SORT_LABEL, draw_label_text },
    { "STATE", 8, true, false, SORT_STATE, draw_state_text },
    { "LAG", 6, false, false, SORT_LAG, draw_lag_text },
    { "STALE", 6, false, false, SORT_STALENESS, draw_stale_text },
    { "P99", 6, false, false, SORT_P99, draw_p99_text },
    { "READS/S", 7, false, false, SORT_READS, draw_reads_text },
    { "APPLY/S", 7, false, false, SORT_APPLIED, draw_applied_text },
    { "KEYS", 6, false, true, -1, draw_keys_text },
    { "FULL", 6, false, true, -1, draw_full_text },
    { "PID", 7, false, true, -1, draw_pid_text },
    { "LAPPED", 6, false, true, -1, draw_lapped_text },
    { "DELAY", 6, false, true, -1, draw_delay_text },
    { "JOINS", 5, false, true, -1, draw_joins_text },
};
#define SPARKS_LEAST 20 /* of both sparklines and the blanks before them */

/* How many of the columns there is room for; what is left is the sparklines'. */
static size_t draw_columns_of(const struct canvas *c, int *rest) {
    size_t n = 0;
    *rest = c->width;
    for (; n < sizeof(COLUMNS) / sizeof(COLUMNS[0]); n++) {
        int needs = COLUMNS[n].width + (n > 0);
        if (COLUMNS[n].wide && *rest - needs < SPARKS_LEAST) {
            break;
        }
        *rest -= needs;
    }
    return n;
}

static void draw_head(const struct top *t, struct canvas *c, size_t n, int spark) {
    int column = 0;
    canvas_ink(c, ROW_LIST - 1, 0, c->width, INK_UNDERLINE);
    for (size_t i = 0; i < n; i++) {
        const struct column *k = &COLUMNS[i];
        bool sorted = k->sort == (int)t->sort;
        column += i > 0;
        column = canvas_field(c, ROW_LIST - 1, column, k->width, !k->left,
                              INK_UNDERLINE | (sorted ? INK_REVERSE | INK_BOLD : 0), k->name);
    }
    canvas_field(c, ROW_LIST - 1, column + 1, spark, false, INK_UNDERLINE, spark >= 9 ? "LAG (P99)" : "LAG");
    canvas_field(c, ROW_LIST - 1, column + 2 + spark, spark, false, INK_UNDERLINE, spark >= 9 ? "STALENESS" : "STALE");
}

void top_draw_trail(const struct top *t, struct canvas *c, int row, int column, int width,
                    const int8_t levels[TOP_TRAIL]) {
    for (int i = 0; i < width && i < (int)TOP_TRAIL; i++) {
        if ((uint32_t)i < t->samples) {
            int level = levels[(t->samples - 1 - (uint32_t)i) % TOP_TRAIL];
            canvas_spark(c, row, column + width - 1 - i, level, level >= 7 ? INK_WARN : INK_ACCENT);
        }
    }
}

static void draw_replica(const struct top *t, struct canvas *c, int row, const struct gauges_replica *r, size_t n,
                         int spark) {
    int column = 0, state_ink;
    top_state(r, &state_ink);
    for (size_t i = 0; i < n; i++) {
        const struct column *k = &COLUMNS[i];
        text_out text;
        k->text(t, r, text);
        column += i > 0;
        column = canvas_field(c, row, column, k->width, !k->left, k->sort == SORT_STATE ? state_ink : INK_PLAIN, text);
    }
    if (r->id == t->chosen) {
        canvas_ink(c, row, 0, column, INK_REVERSE);
    }
    top_draw_trail(t, c, row, column + 1, spark, t->trails[r->id].lag);
    top_draw_trail(t, c, row, column + 2 + spark, spark, t->trails[r->id].stale);
}

static void draw_list(struct top *t, struct canvas *c, int rows) {
    uint32_t order[PEEK_REPLICAS], n = top_order(t, order), at = 0;
    int rest;
    size_t columns = draw_columns_of(c, &rest);
    int spark = (rest - 2) / 2;
    spark = spark > (int)TOP_TRAIL ? (int)TOP_TRAIL : spark;
    for (uint32_t i = 0; i < n; i++) {
        at = t->now->replicas[order[i]].id == t->chosen ? i : at;
    }
    t->first = at < t->first ? at : at >= t->first + (uint32_t)rows ? at - (uint32_t)rows + 1 : t->first;
    t->first = t->first + (uint32_t)rows > n ? n > (uint32_t)rows ? n - (uint32_t)rows : 0 : t->first;
    draw_head(t, c, columns, spark);
    for (uint32_t i = t->first; i < n && i < t->first + (uint32_t)rows; i++) {
        draw_replica(t, c, ROW_LIST + (int)(i - t->first), &t->now->replicas[order[i]], columns, spark);
    }
    if (n > (uint32_t)rows) {
        canvas_printf(c, ROW_LIST + rows, 0, INK_DIM, "replicas %u to %u of %u", t->first + 1,
                      t->first + (uint32_t)rows, n);
    }
}

static void draw_events(const struct top *t, struct canvas *c, int row, int rows) {
    canvas_ink(c, row, 0, c->width, INK_UNDERLINE);
    canvas_put(c, row, 0, INK_UNDERLINE, t->n_events ? "EVENTS, the newest first" : "EVENTS: none since this began");
    for (int i = 0; i < rows && (uint32_t)i < t->n_events && i < (int)TOP_EVENTS; i++) {
        const struct top_event *e = &t->events[(t->n_events - 1 - (uint32_t)i) % TOP_EVENTS];
        bool bad = event_is_bad(&e->e);
        char clock[16];
        struct tm tm;
        strftime(clock, sizeof(clock), "%H:%M:%S", localtime_r(&e->at, &tm));
        canvas_printf(c, row + 1 + i, 0, bad ? INK_BAD : INK_PLAIN, "%s %c %s", clock, bad ? '!' : ' ', e->e.text);
    }
}

int top_rows(const struct top *t) {
    return ROW_LIST + (int)t->now->n + 2 + EVENT_ROWS;
}

static void draw_domain(struct top *t, struct canvas *c) {
    int below = c->height - 1 - ROW_LIST; /* for list and events, over the keys */
    int list = below - EVENT_ROWS - 2, n = (int)t->now->n;
    list = n < list ? n : list;
    draw_rates(t, c);
    draw_ring(t, c);
    draw_memory(t, c);
    draw_list(t, c, list);
    draw_events(t, c, ROW_LIST + list + 1, below - list - 2);
}

/* ---- help -------------------------------------------------------------------------------------------------------- */

static void draw_help(struct canvas *c) {
    static const char *const LINES[] = {
        "Up Down j k     choose a replica; PgUp, PgDn, Home, End go further",
        "Enter           the replica's own page, with its histogram of lag; Esc, b: back",
        "s S             sort by the next column, by the one before;  r: reverse",
        "p Space         pause: nothing is read until it is pressed again",
        "+ -             look more often, less often",
        "? h             this page;  q: quit",
        "",
        "STATE    leads, serving; joining (copies another replica); lapped (the log",
        "         overtook it); orphan (left for a warm start); dead (its process is",
        "         gone); diverged, failed (serve nothing)",
        "LAG      committed entries that it has not applied.  STALE: how old its data is",
        "P99      99 of 100 entries of the last 10 s were applied within that time",
        "READS/S  IN BOUND: late, but within the bound. TO LEADER, BEHIND: no replica",
        "         that was asked kept the bound, the fence. STALE: late by choice",
        "ring     left: the oldest byte that it can hold; right: the end of the log.",
        "         Marks are pins: a replica's next entry, which stays until it has it",
        "lines    a step is ten times: the lowest is 0, then below 1 us, 10 us, 100 us,",
        "         1 ms, 10 ms, 100 ms, 1 s, and above. Blank: nothing was applied",
        "All is read from outside: no lock, no slot, no write to shared memory.",
    };
    canvas_put(c, 2, 0, INK_BOLD, "KEYS AND WORDS");
    for (int i = 0; i < (int)(sizeof(LINES) / sizeof(LINES[0])); i++) {
        canvas_put(c, 3 + i, 0, INK_PLAIN, LINES[i]);
    }
}

void top_draw(struct top *t, struct canvas *c, bool footer) {
    const struct gauges_replica *r = gauges_find(t->now, t->chosen);
    static const char *const KEYS[] = { "q quit  p pause  s sort  r reverse  Enter replica  +- interval  ? help",
                                        "q quit  p pause  Up/Down another replica  Esc back  ? help",
                                        "q quit  Esc back" };
    enum top_page page = t->page == PAGE_REPLICA && !r ? PAGE_DOMAIN : t->page;
    draw_title(t, c);
    if (page == PAGE_HELP) {
        draw_help(c);
    } else if (page == PAGE_REPLICA) {
        top_draw_replica(t, c, r);
    } else {
        draw_domain(t, c);
    }
    if (footer) {
        canvas_ink(c, c->height - 1, 0, c->width, INK_REVERSE);
        canvas_printf(c, c->height - 1, 0, INK_REVERSE, " %s", KEYS[page]);
    }
}
