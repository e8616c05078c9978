/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reserving a segment's memory: all of it before any byte is touched. For shm/segment.c alone. */
#ifndef TIDE_SHM_SEGMENT_RESERVE_H
#define TIDE_SHM_SEGMENT_RESERVE_H

#include "shm/segment.h"

/*
 * Check that there is room. So a request that cannot succeed fills nothing, takes no other process's memory, and is not
 * killed over a memory limit while it reserves. Errors: NO_SPACE, with a text that names the number, the limit and what
 * helps.
 */
int segment_check_room(const struct segment *s, enum segment_kind kind);

/* Reserve every page of the file now: a mapping of unreserved bytes ends in SIGBUS when the file system is full. The
 * segment is mapped. Reaching a file-size limit is an error, not a signal. Errors: NO_SPACE, NOMEM, SYSTEM. */
int segment_reserve(const struct segment *s, enum segment_kind kind);

#endif
