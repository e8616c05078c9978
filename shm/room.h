/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much shared memory can be had here: the least of what the file system has free, what the memory limits of the process's
 * control groups leave (shared memory is charged to them, and whoever goes over a limit is killed), and how large a file may be.
 * Others may take the room a moment later; reserving finds that out for the file system, but not for a memory limit.
 */
#ifndef SHM_ROOM_H
#define SHM_ROOM_H

#include <stdint.h>

enum room_kind { ROOM_FILE_SYSTEM, ROOM_MEMORY_LIMIT, ROOM_FILE_SIZE };

struct room {
    enum room_kind kind; /* which of them is the least */
    uint64_t free_bytes; /* UINT64_MAX: without a limit */
    uint64_t all_bytes;  /* the file system's size, or the limit */
};

/* The least that leaves room for one more file on the file system of `fd`, a file or directory. Any thread; opens files below /proc
 * and /sys. What cannot be looked at limits nothing. */
struct room room_look(int fd);

/* By control groups alone, of version 1 or 2: this process's own and those around it. `proc` and `sys` stand for /proc/self/cgroup
 * and /sys/fs/cgroup. */
struct room room_memory(const char *proc, const char *sys);

#endif
