/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of segment files, and removal of temporary files whose makers died. For the other files of shm/segment*.c. */
#ifndef TIDE_SHM_SEGMENT_NAME_H
#define TIDE_SHM_SEGMENT_NAME_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/segment.h"

#define SEGMENT_PREFIX "tidemark."
#define SEGMENT_TMP ".tmp." /* PATH.tmp. and 16 hex digits */
#define SEGMENT_TMP_BYTES 21u
#define SEGMENT_MAKER_BYTE 2 /* locked while a file is made; members use others: shm/member.h */
#define SEGMENT_UNBORN_S 60  /* an empty temporary file may be so old before a sweep takes its maker for dead */

/* The directory of a path, with the slash at its end. */
void segment_dir_of(const char *path, char out[SEGMENT_PATH_BYTES]);

/* May a domain have this name? See segment_path(). */
bool segment_name_is_good(const char *name);

/* Does this errno of a look at a path say that no such file is there? Also where what should be its directory is none. */
static inline bool segment_errno_is_missing(int error) {
    return error == ENOENT || error == ENOTDIR;
}

/* The error for such an errno: NO_DOMAIN, or SYSTEM with a text if the path's directory does not exist, or is none. */
int segment_no_directory(const char *path);

/* Is the file at this path another user's, or not a regular file? errno stays. */
bool segment_is_theirs(const char *path);

/* This process's time namespace; 0: cannot be told. */
uint64_t segment_time_namespace(void);

/* Lock a temporary file to say that its maker lives, as long as the descriptor is open. 0, or -1 with errno: EAGAIN or
 * EACCES if another process has the lock. */
int segment_maker_lock(int fd);
void segment_maker_unlock(int fd);

/*
 * Remove the temporary files of all domains in the directory of `path` whose makers are gone. The memory reserved for
 * them would otherwise stay taken until the machine restarts. A file whose maker still works on it is never removed.
 * Any process, any time; failures are ignored, and errno stays.
 */
void segment_sweep(const char *path);

/* The same, and what makers of the domain of `path`, which is being removed, may have begun this instant: they begin again. */
void segment_sweep_removed(const char *path);

#endif
