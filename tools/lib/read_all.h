/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All that a descriptor still holds. */
#ifndef TIDE_LIB_READ_ALL_H
#define TIDE_LIB_READ_ALL_H

#include <stddef.h>
#include <stdint.h>

/* Read to the end, from files, pipes and terminals. *out is the caller's to free, never NULL on success. 0, or -1 with
 * errno and *out untouched. Blocks. */
int read_all(int fd, uint8_t **out, size_t *size);

/* Write all of it. 0, or -1 with errno. Blocks. */
int write_all(int fd, const void *bytes, size_t size);

#endif
