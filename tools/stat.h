/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `tide stat` knows of a domain at one moment, and its two forms. */
#ifndef TIDE_TOOLS_STAT_H
#define TIDE_TOOLS_STAT_H

#include <stdbool.h>

#include "engine/tidemark.h"
#include "tools/dump/peek.h"

struct stat_look {
    struct tide_info info;
    struct tide_replica_info replicas[TIDE_REPLICAS];
    size_t n; /* of those, slots in use */
    struct peek peek;
    uint64_t by_reason[TIDE_REASONS];
    struct tide_read_counts counts; /* hits, misses, made, waited */
    double hit_ratio;               /* of all keys that were looked up */
    double replica_reads_s[TIDE_REPLICAS];
    bool wide;      /* the text has all columns, however wide */
    double seconds; /* since the look before this; 0: there was none. The rates are of these */
    double writes_s, reads_s, hits_s, misses_s, expired_s, evicted_s;
    double hit_ratio_now;  /* of the keys that were looked up since the look before; below 0: none was */
    double fallback_ratio; /* of all reads, those that no replica within the bound served */
    double ring_used_ratio;
};

void stat_print_text(const struct stat_look *s);
void stat_print_json(const struct stat_look *s);

#endif
