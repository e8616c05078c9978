/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much shared memory can be had here: the least of the file system's free bytes, the bytes that the memory limits
 * of the process's control groups leave (shared memory is charged to them, and the kernel kills a process that exceeds
 * one), and the largest size of a file. Other processes may take the room a moment later. Reserving finds that out for
 * the file system, but not for a memory limit.
 */
#ifndef TIDE_SHM_ROOM_H
#define TIDE_SHM_ROOM_H

#include <stdint.h>

enum room_kind { ROOM_FILE_SYSTEM, ROOM_MEMORY_LIMIT, ROOM_FILE_SIZE };

struct room {
    enum room_kind kind; /* which limit is the least */
    uint64_t free_bytes; /* UINT64_MAX: without a limit */
    uint64_t all_bytes;  /* the file system's size, or the limit */
};

/* The room for one more file on the file system of `fd`, a file or directory. Any thread; opens files below /proc and
 * /sys. A limit that cannot be read counts as none. */
struct room room_look(int fd);

/* The room by control groups alone, of version 1 or 2: this process's group and the groups around it. `proc` and `sys`
 * stand for /proc/self/cgroup and /sys/fs/cgroup. */
struct room room_memory(const char *proc, const char *sys);

#endif
