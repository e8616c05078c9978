/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A replica's page. */
#include <stdio.h>

#include "tools/lib/escape.h"
#include "tools/lib/figures.h"
#include "tools/lib/sizes.h"
#include "tools/top/top.h"

static void draw_replica_facts(const struct top *t, struct canvas *c, const struct gauges_replica *r) {
    char label[ESCAPE_LABEL_BYTES], text[4][FIGURES_BYTES], size[5][24];
    int ink, column;
    const char *state = top_state(r, &ink);
    column = canvas_printf(c, 1, 0, INK_BOLD, "r%u %s", r->id,
                           escape_label(r->label, sizeof(r->label), label, sizeof(label)));
    column = canvas_printf(c, 1, column + 2, ink, "%s", state);
    canvas_printf(c, 1, column, INK_PLAIN, ", process %d; joined %llu times, lapped %llu times", (int)r->pid,
                  (unsigned long long)r->joins, (unsigned long long)r->lapped);
    canvas_printf(c, 2, 0, INK_PLAIN, "applied %llu of %llu, %llu behind; staleness %s; applies %s/s",
                  (unsigned long long)r->applied, (unsigned long long)t->now->peek.commit, (unsigned long long)r->lag,
                  figures_time(r->staleness_ns, text[0]),
                  figures_count(t->rates->seconds > 0 ? t->rates->replicas[r->id].applied_s : -1, text[1]));
    uint64_t behind = r->pos < t->now->ring_tail ? t->now->ring_tail - r->pos : 0;
    if (r->pins) {
        column = canvas_printf(c, 3, 0, INK_PLAIN, "pins the ring %s%s behind its end",
                               sizes_text(behind, size[0], sizeof(size[0])), behind < 1024 ? " bytes" : "");
    } else {
        column = canvas_put(c, 3, 0, INK_PLAIN, "does not pin the ring");
    }
    if (r->apply_delay_ns != 0) {
        canvas_printf(c, 3, column, INK_PLAIN, "; told to apply %s late", figures_time(r->apply_delay_ns, text[0]));
    }
    if (r->has_table) {
        const struct peek_table *table = &r->table;
        canvas_printf(c, 4, 0, INK_PLAIN, "%s keys; table %s: live %s, free %s, waiting %s, overhead %s",
                      figures_count((double)table->keys, text[0]),
                      sizes_text(table->table_bytes, size[0], sizeof(size[0])),
                      sizes_text(table->usage.live, size[1], sizeof(size[1])),
                      sizes_text(table->usage.free, size[2], sizeof(size[2])),
                      sizes_text(table->usage.waiting, size[3], sizeof(size[3])),
                      sizes_text(table->usage.overhead, size[4], sizeof(size[4])));
    } else {
        canvas_put(c, 4, 0, INK_WARN, "its table cannot be read");
    }
}

/* ---- the histogram ----------------------------------------------------------------------------------------------- */

static uint64_t draw_replica_count_between(const struct gauges_histogram *h, uint32_t from, uint32_t to) {
    return h->up_to[to - 1] - (from > 0 ? h->up_to[from - 1] : 0);
}

/* The buckets that hold something in either: from *first to before *end. False: none. */
static bool draw_replica_range_of(const struct gauges_lag *lag, uint32_t *first, uint32_t *end) {
    *first = GAUGES_BUCKETS;
    *end = 0;
    for (uint32_t i = 0; i < GAUGES_BUCKETS; i++) {
        if (draw_replica_count_between(&lag->all, i, i + 1) + draw_replica_count_between(&lag->recent, i, i + 1) > 0) {
            *first = i < *first ? i : *first;
            *end = i + 1;
        }
    }
    return *first < *end;
}

static void draw_replica_part(struct canvas *c, int row, int column, int width, uint64_t n, uint64_t count) {
    char text[FIGURES_BYTES];
    double share = count ? (double)n / (double)count : 0;
    canvas_field(c, row, column, 8, true, n ? INK_PLAIN : INK_DIM, figures_share(share, text));
    if (width > 9) {
        canvas_bar(c, row, column + 9, width - 9, share, INK_ACCENT);
    }
}

static void draw_replica_histogram(struct canvas *c, int row, int rows, const struct gauges_lag *lag) {
    uint32_t first, end, stride = 1;
    int half = (c->width - 9) / 2;
    char text[FIGURES_BYTES];
    canvas_ink(c, row, 0, c->width, INK_UNDERLINE);
    canvas_field(c, row, 0, 8, true, INK_UNDERLINE, "UP TO");
    canvas_printf(c, row, 10, INK_UNDERLINE, "LAST 10 S: %s entries", figures_count((double)lag->recent.count, text));
    canvas_printf(c, row, 10 + half, INK_UNDERLINE, "SINCE ITS START: %s", figures_count((double)lag->all.count, text));
    if (!draw_replica_range_of(lag, &first, &end)) {
        canvas_put(c, row + 1, 0, INK_DIM, "nothing was applied yet");
        return;
    }
    /* Wider steps until all fits; ends stay where a doubling, or a power of it, ends. */
    while ((end + stride - 1) / stride - first / stride > (uint32_t)rows) {
        stride *= 2;
    }
    for (uint32_t i = first / stride; i * stride < end; i++) {
        uint32_t to = (i + 1) * stride < GAUGES_BUCKETS ? (i + 1) * stride : GAUGES_BUCKETS;
        row++;
        canvas_field(c, row, 0, 8, true, INK_PLAIN, figures_time(gauges_bucket_end_ns(to - 1), text));
        draw_replica_part(c, row, 9, half - 1, draw_replica_count_between(&lag->recent, i * stride, to),
                          lag->recent.count);
        draw_replica_part(c, row, 9 + half, half - 1, draw_replica_count_between(&lag->all, i * stride, to),
                          lag->all.count);
    }
}

void top_draw_replica(const struct top *t, struct canvas *c, const struct gauges_replica *r) {
    const struct gauges_lag *lag = &r->replication;
    char text[3][FIGURES_BYTES];
    draw_replica_facts(t, c, r);
    top_draw_reasons(t, c, 5, t->rates->replicas[r->id].by_reason_s);
    canvas_put(c, 7, 0, INK_PLAIN, "lag p99");
    top_draw_trail(t, c, 7, 10, c->width - 10, t->trails[r->id].lag);
    canvas_put(c, 8, 0, INK_PLAIN, "staleness");
    top_draw_trail(t, c, 8, 10, c->width - 10, t->trails[r->id].stale);
    if (r->leads) {
        canvas_put(c, 9, 0, INK_DIM, "it leads: an entry is in its table before it is committed, so there is no lag");
    } else if (!lag->known) {
        canvas_put(c, 9, 0, INK_WARN, "its histograms of lag cannot be read");
        return;
    } else if (lag->recent.count > 0) {
        canvas_printf(c, 9, 0, INK_PLAIN, "lag of the last 10 s: p50 %s, p99 %s, p99.9 %s",
                      figures_time(lag->quantile_ns[GAUGES_P50], text[0]),
                      figures_time(lag->quantile_ns[GAUGES_P99], text[1]),
                      figures_time(lag->quantile_ns[GAUGES_P999], text[2]));
    } else {
        canvas_put(c, 9, 0, INK_DIM, "nothing was applied in the last 10 s");
    }
    draw_replica_histogram(c, 10, c->height - 13, lag);
}
