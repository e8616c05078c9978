/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "engine/tidemark.h"
#include "tools/top/top.h"

bool top_init(struct top *t) {
    memset(t, 0, sizeof(*t));
    t->now = calloc(1, sizeof(*t->now));
    t->before = calloc(1, sizeof(*t->before));
    t->rates = calloc(1, sizeof(*t->rates));
    memset(t->trails, -1, sizeof(t->trails));
    if (!t->now || !t->before || !t->rates) {
        top_free(t);
        return false;
    }
    return true;
}

void top_free(struct top *t) {
    free(t->now);
    free(t->before);
    free(t->rates);
}

int top_level(uint64_t ns) {
    int level = 0;
    for (uint64_t up_to = 1000; ns > 0 && level < 8; up_to *= 10) {
        level++;
        if (ns < up_to) {
            break;
        }
    }
    return level;
}

static void model_add_trails(struct top *t) {
    uint32_t at = t->samples % TOP_TRAIL;
    for (uint32_t id = 0; id < PEEK_REPLICAS; id++) {
        t->trails[id].lag[at] = t->trails[id].stale[at] = -1;
    }
    for (uint32_t i = 0; i < t->now->n; i++) {
        const struct gauges_replica *r = &t->now->replicas[i];
        const struct rates_replica *rates = &t->rates->replicas[r->id];
        if (rates->lag.count > 0) {
            t->trails[r->id].lag[at] = (int8_t)top_level(rates->lag_p99_ns);
        }
        if (r->state == TIDE_STATE_SERVING || r->state == TIDE_STATE_JOINING) {
            t->trails[r->id].stale[at] = (int8_t)top_level(r->staleness_ns);
        }
    }
}

static void model_add_events(struct top *t) {
    t->n_fresh = t->samples == 0 ? 0 : events_between(t->fresh, EVENTS_MOST, t->before, t->now);
    for (size_t i = 0; i < t->n_fresh; i++) {
        t->events[t->n_events++ % TOP_EVENTS] = (struct top_event){ t->at, t->fresh[i] };
    }
}

bool top_sample(struct top *t, const char *name) {
    struct gauges *oldest = t->before;
    t->before = t->now;
    t->now = oldest;
    gauges_read(t->now, name);
    t->at = time(NULL);
    rates_between(t->rates, t->samples > 0 ? t->before : NULL, t->now);
    model_add_events(t);
    model_add_trails(t);
    t->samples++;
    return t->now->known && (t->samples == 1 || t->now->peek.incarnation == t->before->peek.incarnation);
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* What is sorted by: larger figures come first. */
static double model_figure_of(const struct top *t, const struct gauges_replica *r) {
    const struct rates_replica *rates = &t->rates->replicas[r->id];
    switch (t->sort) {
    case SORT_STATE: /* what does not serve first */
        return r->state == TIDE_STATE_SERVING && r->lives ? 0 : 1;
    case SORT_LAG:
        return (double)r->lag;
    case SORT_STALENESS:
        return (double)r->staleness_ns;
    case SORT_P99:
        return (double)r->replication.quantile_ns[GAUGES_P99];
    case SORT_READS:
        return rates->reads_s;
    case SORT_APPLIED:
        return rates->applied_s;
    default:
        return 0;
    }
}

static int model_compare(const struct top *t, uint32_t x, uint32_t y) {
    const struct gauges_replica *a = &t->now->replicas[x], *b = &t->now->replicas[y];
    int order = 0;
    if (t->sort == SORT_LABEL) {
        order = strncmp(a->label, b->label, sizeof(a->label));
    } else {
        double p = model_figure_of(t, a), q = model_figure_of(t, b);
        order = p > q ? -1 : p < q;
    }
    order = order != 0 ? order : a->id < b->id ? -1 : a->id > b->id;
    return t->reverse ? -order : order;
}

uint32_t top_order(const struct top *t, uint32_t order[PEEK_REPLICAS]) {
    uint32_t n = t->now->n;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = i;
        for (; at > 0 && model_compare(t, i, order[at - 1]) < 0; at--) {
            order[at] = order[at - 1];
        }
        order[at] = i;
    }
    return n;
}

void top_choose(struct top *t, int by) {
    uint32_t order[PEEK_REPLICAS], n = top_order(t, order);
    int at = 0;
    if (n == 0) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        at = t->now->replicas[order[i]].id == t->chosen ? (int)i : at;
    }
    at += by;
    at = at < 0 ? 0 : at >= (int)n ? (int)n - 1 : at;
    t->chosen = t->now->replicas[order[at]].id;
}
