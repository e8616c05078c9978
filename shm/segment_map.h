/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a segment comes into this process's address space. For the other files of shm/segment*.c. */
#ifndef SHM_SEGMENT_MAP_H
#define SHM_SEGMENT_MAP_H

#include "shm/segment.h"

/* Map s->size_bytes of s->fd, with the segment's access, at s->base. Errors: NOMEM, SYSTEM. */
int segment_map(struct segment *s);

#endif
