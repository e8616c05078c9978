/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "shm/hdr.h"
#include "shm/lag.h"
#include "tools/dump/dump.h"

struct dump_lag_summary dump_lag_summary(const struct hdr *h) {
    static const double WANTED[DUMP_LAG_PERCENTILES] = { 50, 90, 99, 99.9, 100 };
    struct dump_lag_summary lag = { 0 };
    for (int32_t i = 0; i < h->counts_len; i++) {
        lag.entries += hdr_count_at_index(h, i);
    }
    hdr_values_at_percentiles(h, WANTED, lag.ns, DUMP_LAG_PERCENTILES);
    return lag;
}

static void table_check_geometry(const struct table_segment *t, const struct dump_file *f, struct dump_problems *p) {
    uint64_t buckets = t->buckets, page = t->page_bytes;
    if (t->header.replica >= LAYOUT_REPLICAS) {
        dump_problem(p, "there is no replica %u", t->header.replica);
    }
    if (t->nodes_end > f->size_bytes || t->buckets_off > t->nodes_end || t->buckets_off < sizeof(*t)) {
        dump_problem(p, "buckets from byte %llu and nodes up to byte %llu do not fit the file",
                     (unsigned long long)t->buckets_off, (unsigned long long)t->nodes_end);
        return;
    }
    if (buckets > (t->nodes_end - t->buckets_off) / sizeof(struct table_bucket)) {
        dump_problem(p, "%llu buckets do not fit the file", (unsigned long long)buckets);
    }
    if (page == 0 || (page & (page - 1)) != 0 || t->pages_off < t->buckets_off || t->pages_off > t->nodes_end ||
        (t->nodes_end - t->pages_off) % page != 0) {
        dump_problem(p, "pages of %llu bytes from byte %llu do not fit the file", (unsigned long long)page,
                     (unsigned long long)t->pages_off);
    }
    if (t->used_bytes > f->size_bytes) {
        dump_problem(p, "%llu bytes in use are more than there are", (unsigned long long)t->used_bytes);
    }
}

/* Private copies, so that what is checked is what is used. What cannot be had is a problem, and the rest is shown. */
static void table_read_lag(struct dump_table *t, struct dump_file *f) {
    size_t all_bytes = lag_all_size_bytes(), windows_bytes = lag_windows_size_bytes();
    /* Rounded, as aligned_alloc wants it. */
    void *all = aligned_alloc(LAYOUT_PAIR, (all_bytes + LAYOUT_PAIR - 1) / LAYOUT_PAIR * LAYOUT_PAIR);
    void *windows = aligned_alloc(LAYOUT_PAIR, (windows_bytes + LAYOUT_PAIR - 1) / LAYOUT_PAIR * LAYOUT_PAIR);
    if (!all || !windows) {
        dump_problem(&t->problems, "histograms: out of memory");
    } else if (!dump_file_read(f, t->seg.lag_all_off, all, all_bytes) ||
               !dump_file_read(f, t->seg.lag_windows_off, windows, windows_bytes)) {
        dump_problem(&t->problems, "histograms: %s", f->fault);
    } else if (lag_check(all, all_bytes, windows, windows_bytes) != 0) {
        dump_problem(&t->problems, "histograms: they are damaged");
    } else if ((t->all = lag_new()) != NULL && (t->rolling = lag_new()) != NULL) {
        lag_all(all, t->all);
        lag_rolling(windows, dump_now_ns(), t->rolling);
    }
    free(all);
    free(windows);
}

bool dump_table_read(struct dump_table *t, struct dump_file *f) {
    memset((void *)t, 0, sizeof(*t));
    if (!dump_file_read(f, 0, &t->seg.header, sizeof(t->seg.header))) {
        return false;
    }
    t->understood = dump_header_check(&t->seg.header, f, &t->problems) && t->seg.header.kind == SEGMENT_TABLE;
    if (!t->understood) {
        return true;
    }
    if (!dump_file_read(f, 0, &t->seg, sizeof(t->seg))) {
        return false;
    }
    table_check_geometry(&t->seg, f, &t->problems);
    table_read_lag(t, f);
    return true;
}

void dump_table_free(struct dump_table *t) {
    hdr_free(t->all);
    hdr_free(t->rolling);
    t->all = t->rolling = NULL;
}
