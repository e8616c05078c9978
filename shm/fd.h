/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors that are never 0, 1 or 2. Some supervisors start a program with these closed; the next file opened would become
 * standard output or standard error, and the next message of any library would be written into it. Every descriptor of the library
 * and of the tools comes from here, and tests/check.sh (fds) fails where one does not.
 *
 * While fd_open() works it keeps 0, 1 and 2 taken by descriptors that nobody can write to, so no other thread's message meets the
 * file either. All descriptors are closed on exec. Any thread; failures are -1 with errno.
 */
#ifndef TIDE_SHM_FD_H
#define TIDE_SHM_FD_H

#include <dirent.h>
#include <stdio.h>
#include <sys/types.h>

#define FD_LEAST 3

/* As open() and openat(). O_CLOEXEC is added. */
int fd_open(const char *path, int flags, mode_t mode);
int fd_openat(int dir, const char *path, int flags, mode_t mode);

/* As opendir() and fopen(path, "r"); NULL with errno. */
DIR *fd_open_dir(const char *path);
FILE *fd_open_text(const char *path);

/* Move a descriptor that another call made to FD_LEAST or above, and close the old one. -1 is returned as -1, with its
 * errno. */
int fd_lift(int fd);

#endif
