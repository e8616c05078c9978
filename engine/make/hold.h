/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Leases as readers hold them: one that a reader holds is given up when the reader is closed, or its thread ends (engine/read/reader.c).
 * By the reader's thread. */
#ifndef TIDE_MAKE_HOLD_H
#define TIDE_MAKE_HOLD_H

#include "engine/read/reader.h"
#include "shm/lease.h"

/* The hash by which a lease knows the key. */
uint64_t hold_hash(const struct tide *d, const void *key, size_t key_len);

/* lease_take() for this reader. NONE also where the handle may not write. */
enum lease_status hold_take(struct tide_reader *r, uint64_t hash, struct lease_place *place);

bool hold_has(const struct tide_reader *r, uint32_t slot);

/* Give up a lease that hold_take() gave; nothing where the reader has none there. */
void hold_release(struct tide_reader *r, uint32_t slot, bool made);

#endif
