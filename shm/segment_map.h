/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Mapping a segment into this process. For the other files of shm/segment*.c. */
#ifndef TIDE_SHM_SEGMENT_MAP_H
#define TIDE_SHM_SEGMENT_MAP_H

#include "shm/segment.h"

/* Map s->size_bytes of s->fd, with the segment's access, at s->base. Errors: NOMEM, SYSTEM. */
int segment_map(struct segment *s);

#endif
