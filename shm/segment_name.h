/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of segment files, and what dead makers left under temporary ones. For the other files of shm/segment*.c. */
#ifndef SHM_SEGMENT_NAME_H
#define SHM_SEGMENT_NAME_H

#include <stdbool.h>
#include <stdint.h>

#define SEGMENT_PREFIX "tidemark."
#define SEGMENT_TMP ".tmp." /* PATH.tmp. and 16 hex digits */
#define SEGMENT_TMP_BYTES 21u
#define SEGMENT_MAKER_BYTE 2 /* locked while a file is made; members use others: shm/member.h */

/* Is this a name that a domain may have? See segment_path(). */
bool segment_name_is_good(const char *name);

/* ENOENT for a path: NO_DOMAIN, or SYSTEM with a text where its directory does not exist. */
int segment_no_directory(const char *path);

/* The path is another user's, or no regular file. errno stays. */
bool segment_is_theirs(const char *path);

/* This process's time namespace; 0: cannot be told. */
uint64_t segment_time_namespace(void);

/* Say that the maker of a temporary file lives, as long as the descriptor is open. 0, or -1 with errno: EAGAIN or EACCES where
 * somebody else has the lock. */
int segment_maker_lock(int fd);
void segment_maker_unlock(int fd);

/*
 * Remove the temporary files of all domains in the directory of `path` whose makers are gone: the memory reserved for them would
 * stay away until the machine restarts. Never one whose maker still works on it. Any process, any time; failures are ignored, and
 * errno stays.
 */
void segment_sweep(const char *path);

#endif
