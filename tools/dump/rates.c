/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump/rates.h"

#include <string.h>

#include "engine/tidemark.h"

static double rates_rate(uint64_t before, uint64_t now, double seconds) {
    return now > before ? (double)(now - before) / seconds : 0;
}

bool rates_is_fallback(uint32_t reason) {
    return reason >= TIDE_REASON_REDIRECTED;
}

/* A replica that started anew counts from its start. */
static bool rates_is_same(const struct gauges_replica *a, const struct gauges_replica *b) {
    return a && a->pid == b->pid && a->entries <= b->entries;
}

static uint64_t rates_difference(uint64_t before, uint64_t now) {
    return now > before ? now - before : 0;
}

static uint64_t rates_quantile(const struct gauges_histogram *h, double q) {
    uint64_t wanted = (uint64_t)(q * (double)h->count);
    wanted = wanted < h->count ? wanted + 1 : h->count;
    for (uint32_t i = 0; i < GAUGES_BUCKETS; i++) {
        if (h->up_to[i] >= wanted) {
            return gauges_bucket_end_ns(i);
        }
    }
    return gauges_bucket_end_ns(GAUGES_BUCKETS - 1);
}

static void rates_lag_between(struct rates_replica *out, const struct gauges_lag *before,
                              const struct gauges_lag *now) {
    if (!before->known || !now->known || now->all.count <= before->all.count) {
        return;
    }
    uint64_t most = 0;
    out->lag.count = now->all.count - before->all.count;
    for (uint32_t i = 0; i < GAUGES_BUCKETS; i++) {
        /* The counts grew while they were read: each of the two sums only grows, but their difference may fall. */
        uint64_t n = rates_difference(before->all.up_to[i], now->all.up_to[i]);
        most = n > most ? n : most;
        out->lag.up_to[i] = most < out->lag.count ? most : out->lag.count;
    }
    out->lag_p50_ns = rates_quantile(&out->lag, 0.5);
    out->lag_p99_ns = rates_quantile(&out->lag, 0.99);
}

static void rates_replica_between(struct rates_replica *out, const struct gauges_replica *before,
                                  const struct gauges_replica *now, double seconds) {
    out->known = rates_is_same(before, now);
    for (uint32_t r = 0; before && r < PEEK_REASONS; r++) {
        double n = rates_rate(before->by_reason[r], now->by_reason[r], seconds);
        out->by_reason_s[r] = n;
        *(r == TIDE_REASON_REFUSED ? &out->refused_s : &out->reads_s) += n;
    }
    if (out->known) {
        out->applied_s = rates_rate(before->entries, now->entries, seconds);
        rates_lag_between(out, &before->replication, &now->replication);
    }
}

static void rates_reads_between(struct rates *r, const struct gauges *before, const struct gauges *now) {
    double all = 0, fell_back = 0;
    for (uint32_t i = 0; i < PEEK_REASONS; i++) {
        double n = rates_rate(before->by_reason[i], now->by_reason[i], r->seconds);
        r->by_reason_s[i] = n;
        *(i == TIDE_REASON_REFUSED ? &r->refused_s : &r->reads_s) += n;
        all += n;
        fell_back += rates_is_fallback(i) ? n : 0;
    }
    r->fallback_ratio = all > 0 ? fell_back / all : -1;
    r->hits_s = rates_rate(before->hits, now->hits, r->seconds);
    r->misses_s = rates_rate(before->misses, now->misses, r->seconds);
    double keys = r->hits_s + r->misses_s;
    r->hit_ratio = keys > 0 ? r->hits_s / keys : -1;
}

void rates_between(struct rates *r, const struct gauges *before, const struct gauges *now) {
    *r = (struct rates){ .hit_ratio = -1, .fallback_ratio = -1 };
    if (!before || !before->known || !now->known || before->peek.incarnation != now->peek.incarnation ||
        now->now_ns <= before->now_ns) {
        return;
    }
    r->seconds = (double)(now->now_ns - before->now_ns) / 1e9;
    r->writes_s = rates_rate(before->peek.commit, now->peek.commit, r->seconds);
    r->groups_s = rates_rate(before->groups, now->groups, r->seconds);
    r->made_s = rates_rate(before->made, now->made, r->seconds);
    r->waited_s = rates_rate(before->waited, now->waited, r->seconds);
    r->expired_s = rates_rate(before->expired, now->expired, r->seconds);
    r->evicted_s = rates_rate(before->evicted, now->evicted, r->seconds);
    r->refused_full_s = rates_rate(before->refused_full, now->refused_full, r->seconds);
    rates_reads_between(r, before, now);
    for (uint32_t i = 0; i < now->n; i++) {
        const struct gauges_replica *x = &now->replicas[i];
        rates_replica_between(&r->replicas[x->id], gauges_find(before, x->id), x, r->seconds);
    }
}
