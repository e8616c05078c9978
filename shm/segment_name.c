/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/segment_name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "shm/fault.h"
#include "shm/fd.h"
#include "shm/segment.h"

#define SEGMENT_DIR "/dev/shm"

bool segment_name_is_good(const char *name) {
    size_t length = strnlen(name, SEGMENT_NAME_MAX + 1);
    if (length == 0 || length > SEGMENT_NAME_MAX || name[0] == '.') {
        return false;
    }
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == length;
}

/*
 * The segments' directory as the environment has it now, or NULL. A program with capabilities or a set-user-id bit must not take paths from its
 * caller's environment. Ignoring TIDE_SHM_DIR silently would be wrong too: it would make a second domain of the same
 * name in another directory. So such a program is refused.
 */
static const char *segment_dir_now(void) {
    const char *asked = getenv("TIDE_SHM_DIR"), *dir = secure_getenv("TIDE_SHM_DIR");
    if (dir == NULL && asked != NULL && asked[0] != '\0') {
        (void)fault(0,
                    "TIDE_SHM_DIR is set, but this program runs with file capabilities or as set-user-id, and may not "
                    "follow it: unset it (the segments are in " SEGMENT_DIR " then), or run the program without them");
        return NULL;
    }
    return dir != NULL && dir[0] != '\0' ? dir : SEGMENT_DIR;
}

/* A relative directory would mean another domain in each member's working directory. */
static int segment_dir_unfit(const char *dir) {
    return fault(SHM_ERR_INVALID,
                 "TIDE_SHM_DIR is '%s': it must be an absolute path, and with the domain's name at most "
                 "%u bytes long",
                 dir, SEGMENT_PATH_BYTES - SEGMENT_TMP_BYTES - 1);
}

int segment_dir(char out[SEGMENT_PATH_BYTES]) {
    const char *dir = segment_dir_now();
    if (dir == NULL) {
        return SHM_ERR_INVALID;
    }
    if (dir[0] != '/' || strlen(dir) >= SEGMENT_PATH_BYTES) {
        return segment_dir_unfit(dir);
    }
    memcpy(out, dir, strlen(dir) + 1);
    return 0;
}

int segment_path(char out[SEGMENT_PATH_BYTES], const char *dir, const char *name, enum segment_kind kind,
                 uint32_t replica) {
    if (name == NULL || !segment_name_is_good(name) ||
        (kind != SEGMENT_LOG && kind != SEGMENT_TABLE && kind != SEGMENT_SPILL) ||
        (kind != SEGMENT_LOG && replica >= LAYOUT_REPLICAS)) {
        return SHM_ERR_INVALID;
    }
    dir = dir != NULL ? dir : segment_dir_now();
    if (dir == NULL) {
        return SHM_ERR_INVALID;
    }
    char path[SEGMENT_PATH_BYTES];
    int length = kind == SEGMENT_LOG ? snprintf(path, sizeof(path), "%s/tidemark.%s.log", dir, name)
                                     : snprintf(path, sizeof(path), "%s/tidemark.%s.%c%u", dir, name,
                                                kind == SEGMENT_TABLE ? 'r' : 'l', replica);
    if (dir[0] != '/' || length < 0 || (size_t)length + SEGMENT_TMP_BYTES >= sizeof(path)) {
        return segment_dir_unfit(dir);
    }
    memcpy(out, path, sizeof(path));
    return 0;
}

void segment_dir_of(const char *path, char out[SEGMENT_PATH_BYTES]) {
    const char *slash = strrchr(path, '/');
    size_t bytes = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    memcpy(out, path, bytes);
    out[bytes] = '\0';
}

int segment_no_directory(const char *path) {
    char dir[SEGMENT_PATH_BYTES];
    struct stat st;
    segment_dir_of(path, dir);
    int why = stat(dir, &st) != 0 ? errno : S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    if (why == ENOTDIR) {
        return fault(SHM_ERR_SYSTEM,
                     "what the segments should lie in, %s, is no directory: set TIDE_SHM_DIR to a directory", dir);
    }
    if (why == ENOENT) {
        return fault(SHM_ERR_SYSTEM,
                     "the directory of the segments, %s, does not exist: make it, or set TIDE_SHM_DIR to "
                     "another",
                     dir);
    }
    errno = ENOENT;
    return SHM_ERR_NO_DOMAIN;
}

bool segment_is_theirs(const char *path) {
    int why = errno;
    struct stat st;
    bool theirs = lstat(path, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_uid != geteuid());
    errno = why;
    return theirs;
}

uint64_t segment_time_namespace(void) {
    struct stat st;
    return stat("/proc/self/ns/time", &st) == 0 ? st.st_ino : 0;
}

/* ---- temporary files --------------------------------------------------------------------------------------------- */

static int segment_maker(int fd, short type) {
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = SEGMENT_MAKER_BYTE, .l_len = 1 };
    return fcntl(fd, F_OFD_SETLK, &lock);
}

int segment_maker_lock(int fd) {
    return segment_maker(fd, F_WRLCK);
}

void segment_maker_unlock(int fd) {
    (void)segment_maker(fd, F_UNLCK);
}

/* Is its maker perhaps between the open and the lock? The file is empty then, and young; an empty one costs nothing meanwhile. Were it
 * locked or removed now, its maker would have to begin again, and where many sweep, again and again. One of the future is older than a clock
 * that was set back. */
static bool segment_is_unborn(const struct stat *st) {
    time_t age_s = time(NULL) - st->st_mtime;
    return st->st_size == 0 && age_s >= 0 && age_s < SEGMENT_UNBORN_S;
}

/* Remove a file whose maker is dead: its lock is free. */
static void segment_remove_abandoned(int dir, const char *file, bool unborn_too) {
    struct stat st;
    int fd = fd_openat(dir, file, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
                       0); /* a write lock needs an open for writing */
    if (fd < 0) {
        return;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        (unborn_too || !segment_is_unborn(&st)) && segment_maker_lock(fd) == 0) {
        (void)unlinkat(dir, file, 0);
    }
    (void)close(fd);
}

/* tidemark.*.tmp. and 16 hexadecimal digits. */
static bool segment_is_temporary(const char *file) {
    size_t bytes = strlen(file), prefix = strlen(SEGMENT_PREFIX);
    if (bytes <= prefix + SEGMENT_TMP_BYTES || strncmp(file, SEGMENT_PREFIX, prefix) != 0) {
        return false;
    }
    const char *end = file + bytes - SEGMENT_TMP_BYTES;
    size_t dots = strlen(SEGMENT_TMP);
    return strncmp(end, SEGMENT_TMP, dots) == 0 && strspn(end + dots, "0123456789abcdef") == SEGMENT_TMP_BYTES - dots;
}

/* own, own_bytes: how names of files begin whose makers may have begun this instant, and are swept all the same. */
static void segment_sweep_all(const char *path, const char *own, size_t own_bytes) {
    char dir_path[SEGMENT_PATH_BYTES];
    int why = errno;
    segment_dir_of(path, dir_path);
    DIR *dir = fd_open_dir(dir_path);
    for (struct dirent *e = dir != NULL ? readdir(dir) : NULL; e != NULL; e = readdir(dir)) {
        if (segment_is_temporary(e->d_name)) {
            segment_remove_abandoned(dirfd(dir), e->d_name, own_bytes != 0 && strncmp(e->d_name, own, own_bytes) == 0);
        }
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    errno = why;
}

void segment_sweep(const char *path) {
    segment_sweep_all(path, NULL, 0);
}

void segment_sweep_removed(const char *path) {
    const char *file = strrchr(path, '/') + 1, *end = strrchr(file, '.'); /* tidemark.NAME.KIND */
    segment_sweep_all(path, file, (size_t)(end + 1 - file));
}

int segment_room(const char *dir, struct room *out) {
    int fd = fd_open(dir, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        return fault_errno(SHM_ERR_SYSTEM, "cannot open the directory of the segments, %s", dir);
    }
    *out = room_look(fd);
    (void)close(fd);
    return 0;
}
