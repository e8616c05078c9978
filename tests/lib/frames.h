/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entries that say by themselves what is in them. */
#ifndef TIDE_TESTS_FRAMES_H
#define TIDE_TESTS_FRAMES_H

#include "tests/lib/help.h"

#define RING (UINT64_C(64) << 10)
#define KEY_MOST 40u
#define VALUE_MOST 3000u

/* Entry `index` says by itself what is in it. */
struct made {
    uint8_t key[KEY_MOST], value[VALUE_MOST];
    struct ring_entry e;
};

void make_entry(struct made *m, uint64_t index, uint32_t value_most);
uint64_t entry_bytes(const struct made *m);

/* Read entry `index` at *pos as a follower does, and step over it. *same: it was there, whole and as it was made. */
enum ring_status read_entry(const struct ring *ring, uint64_t *pos, uint64_t index, uint32_t value_most, bool *same);

/* Append and commit entries while they end at or before `tail`. Room was reserved. */
void fill_until(struct ring_writer *w, uint64_t tail);

#endif
