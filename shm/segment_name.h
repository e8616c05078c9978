/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of segment files, and what dead creators left under temporary ones. For shm/segment.c alone. */
#ifndef SHM_SEGMENT_NAME_H
#define SHM_SEGMENT_NAME_H

#include <stdbool.h>

#define SEGMENT_TMP ".tmp." /* PATH.tmp. and 16 hex digits */
#define SEGMENT_TMP_BYTES 21u

/* Is this a name that a domain may have? See segment_path(). */
bool segment_name_is_good(const char *name);

/*
 * Remove the temporary files of this final path whose creators are gone: their reserved memory would otherwise stay
 * away until the machine restarts. Never one whose creator still works on it. Any process, any time; failures are
 * ignored.
 */
void segment_sweep(const char *path);

#endif
