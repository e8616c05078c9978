/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `tide stat` knows of a domain at one moment, and its two forms. */
#ifndef TIDE_TOOLS_STAT_H
#define TIDE_TOOLS_STAT_H

#include "engine/tidemark.h"
#include "tools/dump/peek.h"

struct stat_look {
    struct tide_info info;
    struct tide_replica_info replicas[TIDE_REPLICAS];
    size_t n; /* of those, slots in use */
    struct peek peek;
    uint64_t by_reason[TIDE_REASONS];
    double fallback_ratio; /* of all reads, those that no replica within the bound served */
    double ring_used_ratio;
};

void stat_print_text(const struct stat_look *s);
void stat_print_json(const struct stat_look *s);

#endif
