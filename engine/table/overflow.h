/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Overflow buckets: where they come from and go to. A share of the budget is set aside for buckets and overflow buckets together. When many
 * small keys come and go that is not enough: then pages of nodes serve, and come back once their overflow buckets are empty or have moved
 * to better places.
 */
#ifndef TIDE_TABLE_OVERFLOW_H
#define TIDE_TABLE_OVERFLOW_H

#include "engine/table/table.h"

/* A free overflow bucket, zeroed: its offset. 0: there is neither a bucket nor a page for more. */
uint64_t overflow_take(struct table_writer *w);

/* No reader of this process is in it any more. Where memory for a note of it is refused, it is not used again. */
void overflow_free(struct table_writer *w, uint64_t off);

/* For compaction: move overflow buckets, at most so many, out of pages and into better places, the highest pages first. Returns how many. After
 * grace periods, empty pages serve nodes. */
uint32_t overflow_evacuate(struct table_writer *w, uint32_t most);

#endif
