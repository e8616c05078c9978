/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory for a segment, all of it before any is touched. For shm/segment.c alone. */
#ifndef SHM_SEGMENT_RESERVE_H
#define SHM_SEGMENT_RESERVE_H

#include "shm/segment.h"

/*
 * Look whether there is room, so that a request that cannot succeed fills nothing, starves nobody, and is not killed over a memory
 * limit while it reserves. Errors: NO_SPACE, with a text that names the number, the limit and what helps.
 */
int segment_check_room(const struct segment *s);

/* Every page of the file, now: a mapping of unreserved bytes ends in SIGBUS when the file system is full. The segment is mapped.
 * A file-size limit is an error and no signal. Errors: NO_SPACE, NOMEM, SYSTEM. */
int segment_reserve(const struct segment *s, enum segment_kind kind);

#endif
