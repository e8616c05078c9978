/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/room.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>

#include "shm/fd.h"

#define ROOM_PATH_BYTES 4096
#define ROOM_NO_LIMIT (UINT64_C(1) << 60) /* version 1 writes its largest number, rounded to pages */

/* Names of the same things in the two versions of control groups. */
struct room_names {
    const char *sub; /* below the mount point */
    const char *limit, *used, *cache_a, *cache_b, *swap_limit, *swap_used;
    bool swap_with_memory; /* the swap limit covers memory and swap together */
};
static const struct room_names ROOM_V1 = {
    "/memory",           "memory.limit_in_bytes",       "memory.usage_in_bytes",       "total_inactive_file",
    "total_active_file", "memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes", true
};
static const struct room_names ROOM_V2 = {
    "", "memory.max", "memory.current", "inactive_file", "active_file", "memory.swap.max", "memory.swap.current", false
};

static uint64_t room_less(uint64_t a, uint64_t b) {
    return a > b ? a - b : 0;
}

static FILE *room_open(const char *dir, const char *file) {
    char path[ROOM_PATH_BYTES];
    int length = snprintf(path, sizeof(path), "%s/%s", dir, file);
    return length > 0 && (size_t)length < sizeof(path) ? fd_open_text(path) : NULL;
}

/* Read a file that contains one number. UINT64_MAX: there is no file, or it says "max" or a number that means it. */
static uint64_t room_number(const char *dir, const char *file) {
    char text[64] = "";
    FILE *f = room_open(dir, file);
    if (f == NULL) {
        return UINT64_MAX;
    }
    bool read = fgets(text, sizeof(text), f) != NULL;
    (void)fclose(f);
    uint64_t value = read && text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : UINT64_MAX;
    return value < ROOM_NO_LIMIT ? value : UINT64_MAX;
}

/* Bytes of cached files, which the system drops before it kills a process. Shared memory is not among them. */
static uint64_t room_cache(const char *dir, const struct room_names *names) {
    char line[256], name[64];
    unsigned long long value;
    uint64_t sum = 0;
    FILE *f = room_open(dir, "memory.stat");
    if (f == NULL) {
        return 0;
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        if (sscanf(line, "%63s %llu", name, &value) == 2 &&
            (strcmp(name, names->cache_a) == 0 || strcmp(name, names->cache_b) == 0)) {
            sum += value;
        }
    }
    (void)fclose(f);
    return sum;
}

/* Bytes that shared memory may use in swap, if there is swap and the group may use it. */
static uint64_t room_swap(const char *dir, const struct room_names *names, uint64_t without) {
    struct sysinfo s;
    uint64_t swap = sysinfo(&s) == 0 ? (uint64_t)s.freeswap * s.mem_unit : 0;
    uint64_t limit = room_number(dir, names->swap_limit);
    if (limit != UINT64_MAX) {
        uint64_t used = room_number(dir, names->swap_used);
        uint64_t left = room_less(limit, used == UINT64_MAX ? 0 : used);
        left = names->swap_with_memory ? room_less(left, without) : left;
        swap = left < swap ? left : swap;
    }
    return swap;
}

static void room_of_group(const char *dir, const struct room_names *names, struct room *least) {
    uint64_t limit = room_number(dir, names->limit), used = room_number(dir, names->used);
    if (limit == UINT64_MAX || used == UINT64_MAX) {
        return;
    }
    uint64_t without = room_less(limit, used);
    uint64_t left = without + room_swap(dir, names, without) + room_cache(dir, names);
    left = left < limit ? left : limit;
    if (left < least->free_bytes) {
        *least = (struct room){ ROOM_MEMORY_LIMIT, left, limit };
    }
}

/* Look at the group and the groups around it. In a container the path may be the host's, while the mount begins at the
 * container's group: skip the groups of the path that do not exist, and look at the mount point last. */
static void room_of_path(const char *sys, const struct room_names *names, char *path, struct room *least) {
    char dir[ROOM_PATH_BYTES];
    for (;;) {
        int length = snprintf(dir, sizeof(dir), "%s%s%s", sys, names->sub, path);
        if (length > 0 && (size_t)length < sizeof(dir)) {
            room_of_group(dir, names, least);
        }
        char *slash = strrchr(path, '/');
        if (slash == NULL) {
            return;
        }
        *slash = '\0';
    }
}

/* "4:memory:/path" or "0::/path"; NULL: another controller's line. */
static const struct room_names *room_line(char *line, char **path) {
    char *names = strchr(line, ':');
    *path = names != NULL ? strchr(names + 1, ':') : NULL;
    if (*path == NULL) {
        return NULL;
    }
    *(*path)++ = '\0';
    (*path)[strcspn(*path, "\n")] = '\0';
    if (names[1] == '\0') {
        return &ROOM_V2;
    }
    for (char *rest = names + 1, *name; (name = strsep(&rest, ",")) != NULL;) {
        if (strcmp(name, "memory") == 0) {
            return &ROOM_V1;
        }
    }
    return NULL;
}

struct room room_memory(const char *proc, const char *sys) {
    struct room least = { ROOM_MEMORY_LIMIT, UINT64_MAX, UINT64_MAX };
    FILE *f = fd_open_text(proc);
    if (f == NULL) {
        return least;
    }
    char line[ROOM_PATH_BYTES], *path;
    while (fgets(line, sizeof(line), f) != NULL) {
        const struct room_names *names = room_line(line, &path);
        if (names != NULL) {
            room_of_path(sys, names, path, &least);
        }
    }
    (void)fclose(f);
    return least;
}

struct room room_look(int fd) {
    struct room least = room_memory("/proc/self/cgroup", "/sys/fs/cgroup");
    struct statvfs fs;
    if (fstatvfs(fd, &fs) == 0 && fs.f_blocks != 0 && fs.f_frsize != 0) { /* 0 blocks: a tmpfs without a limit */
        uint64_t left = (uint64_t)fs.f_bavail * fs.f_frsize;
        if (left < least.free_bytes) {
            least = (struct room){ ROOM_FILE_SYSTEM, left, (uint64_t)fs.f_blocks * fs.f_frsize };
        }
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < least.free_bytes) {
        least = (struct room){ ROOM_FILE_SIZE, limit.rlim_cur, limit.rlim_cur };
    }
    return least;
}
