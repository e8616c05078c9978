/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Structs that a caller has filled, whose first field says how large the caller's is. Fields are added at the end. So a caller that was
 * compiled with an older header has a smaller one: it gets the fields that it knows. One with a newer header sees by the size which were
 * filled.
 */
#ifndef TIDE_READ_FILL_H
#define TIDE_READ_FILL_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "engine/tidemark.h"

/* The sizes of version 0.1.0, the least that is taken. A struct that has grown since: where its first new field begins. */
#define FILL_INFO_LEAST sizeof(struct tide_info)
#define FILL_REPLICA_INFO_LEAST offsetof(struct tide_replica_info, table_live_bytes)
#define FILL_VERIFY_LEAST sizeof(struct tide_verify)
#define FILL_READ_COUNTS_LEAST sizeof(struct tide_read_counts)

_Static_assert(FILL_INFO_LEAST == 168 && FILL_REPLICA_INFO_LEAST == 192 && FILL_VERIFY_LEAST == 576 &&
                   FILL_READ_COUNTS_LEAST == 576,
               "a released struct has another size than it was released with");

/* Is the caller's struct one that was ever released? */
static inline bool fill_takes(const void *out, size_t least) {
    size_t size = 0;
    if (out != NULL) {
        memcpy(&size, out, sizeof(size));
    }
    return size >= least;
}

/* Hand `whole`, of this version's size, over as far as the caller's struct goes. */
static inline void fill_give(void *out, const void *whole, size_t whole_bytes) {
    size_t size;
    memcpy(&size, out, sizeof(size));
    size = size < whole_bytes ? size : whole_bytes;
    memcpy(out, whole, size);
    memcpy(out, &size, sizeof(size));
}

#endif
