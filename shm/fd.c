/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void fd_close(int fd) {
    int why = errno;
    (void)close(fd);
    errno = why;
}

int fd_lift(int fd) {
    if (fd < 0 || fd >= FD_LEAST) {
        return fd;
    }
    int lifted = fcntl(fd, F_DUPFD_CLOEXEC, FD_LEAST);
    if (lifted < 0 && errno == EINVAL) {
        errno = EMFILE; /* the limit is FD_LEAST or below */
    }
    fd_close(fd);
    return lifted;
}

int fd_openat(int dir, const char *path, int flags, mode_t mode) {
    int taken[FD_LEAST], count = 0, fd = -1;
    while (count < FD_LEAST && (fd = open("/", O_PATH | O_CLOEXEC)) >= 0 && fd < FD_LEAST) {
        taken[count++] = fd;
        fd = -1;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    fd = fd_lift(openat(dir, path, flags | O_CLOEXEC, mode));
    while (count > 0) {
        fd_close(taken[--count]);
    }
    return fd;
}

int fd_open(const char *path, int flags, mode_t mode) {
    return fd_openat(AT_FDCWD, path, flags, mode);
}

DIR *fd_open_dir(const char *path) {
    int fd = fd_open(path, O_RDONLY | O_DIRECTORY | O_NONBLOCK, 0);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL && fd >= 0) {
        fd_close(fd);
    }
    return dir;
}

FILE *fd_open_text(const char *path) {
    int fd = fd_open(path, O_RDONLY, 0);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (f == NULL && fd >= 0) {
        fd_close(fd);
    }
    return f;
}
