/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/segment_name.h"

#include "shm/segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT_DIR "/dev/shm"

bool segment_name_is_good(const char *name) {
    size_t length = strnlen(name, SEGMENT_NAME_MAX + 1);
    if (length == 0 || length > SEGMENT_NAME_MAX || name[0] == '.') {
        return false;
    }
    return strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") == length;
}

int segment_path(char out[SEGMENT_PATH_BYTES], const char *name, enum segment_kind kind, uint32_t replica) {
    if (name == NULL || !segment_name_is_good(name) ||
        (kind != SEGMENT_LOG && kind != SEGMENT_TABLE && kind != SEGMENT_SPILL) ||
        (kind != SEGMENT_LOG && replica >= LAYOUT_REPLICAS)) {
        return SHM_ERR_INVALID;
    }
    const char *dir = secure_getenv("TIDE_SHM_DIR");
    if (dir == NULL || dir[0] == '\0') {
        dir = SEGMENT_DIR;
    }
    char path[SEGMENT_PATH_BYTES];
    int length = kind == SEGMENT_LOG ? snprintf(path, sizeof(path), "%s/tidemark.%s.log", dir, name)
                                     : snprintf(path, sizeof(path), "%s/tidemark.%s.%c%u", dir, name,
                                                kind == SEGMENT_TABLE ? 'r' : 'l', replica);
    /* A relative directory would mean another domain in each member's working directory. */
    if (dir[0] != '/' || length < 0 || (size_t)length + SEGMENT_TMP_BYTES >= sizeof(path)) {
        return SHM_ERR_INVALID;
    }
    memcpy(out, path, sizeof(path));
    return 0;
}

/* Its creator holds a lock on it from before it has contents until it has its name. Who gets the lock may remove it. */
static void segment_remove_abandoned(int dir, const char *file) {
    struct stat st;
    int fd = openat(dir, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        (void)unlinkat(dir, file, 0);
    }
    (void)close(fd);
}

void segment_sweep(const char *path) {
    char dir_path[SEGMENT_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t dir_bytes = (size_t)(slash - path) + 1;
    memcpy(dir_path, path, dir_bytes);
    dir_path[dir_bytes] = '\0';
    const char *file = slash + 1;
    size_t file_bytes = strlen(file);
    DIR *dir = opendir(dir_path);
    if (dir == NULL) {
        return;
    }
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strncmp(e->d_name, file, file_bytes) == 0 &&
            strncmp(e->d_name + file_bytes, SEGMENT_TMP, strlen(SEGMENT_TMP)) == 0 &&
            strlen(e->d_name) == file_bytes + SEGMENT_TMP_BYTES) {
            segment_remove_abandoned(dirfd(dir), e->d_name);
        }
    }
    (void)closedir(dir);
}

/* Between the look and the unlink the name may still change hands; that takes a removal and a creation within microseconds. */
int segment_unlink_of(const char *name, enum segment_kind kind, uint32_t replica, uint64_t incarnation) {
    char path[SEGMENT_PATH_BYTES];
    struct segment_header h;
    int error = segment_path(path, name, kind, replica);
    if (error != 0) {
        return error;
    }
    segment_sweep(path);
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return errno == ENOENT ? SHM_ERR_NO_DOMAIN : SHM_ERR_SYSTEM;
    }
    bool ours = pread(fd, &h, sizeof(h), 0) == (ssize_t)sizeof(h) && h.magic == TIDE_LAYOUT_MAGIC &&
                h.incarnation == incarnation;
    (void)close(fd);
    return !ours ? SHM_ERR_NO_DOMAIN : unlink(path) == 0 ? 0 : errno == ENOENT ? SHM_ERR_NO_DOMAIN : SHM_ERR_SYSTEM;
}
