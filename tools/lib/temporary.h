/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file that appears under its name when it is complete: until then it lies beside, as FILE.tmp.PID, and its maker holds its lock. So what a
 * maker that was killed left can be told from what somebody is writing. Paths of PATH_MAX bytes. One thread.
 */
#ifndef TIDE_TOOLS_TEMPORARY_H
#define TIDE_TOOLS_TEMPORARY_H

#include <limits.h>
#include <sys/types.h>

/* This process's for `file`. 0, or -1: it is too long (errno). */
int temporary_name(const char *file, char path[PATH_MAX]);

/* Remove those that killed processes left for `file`. */
void temporary_remove_dead(const char *file);

/* Make it, with this mode whatever the umask is, and lock it until it is closed: after the rename, that is. A descriptor, or -1 (errno). */
int temporary_create(const char *path, mode_t mode);

/* The directory of a path: "." or all before the last slash. */
const char *temporary_directory_of(const char *file, char path[PATH_MAX]);

#endif
