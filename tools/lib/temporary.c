/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/temporary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shm/fd.h"

#define TEMPORARY ".tmp."
#define TRIES 4

const char *temporary_directory_of(const char *file, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s", file);
    char *slash = strrchr(path, '/');
    if (!slash) {
        return ".";
    }
    slash[slash == path] = '\0';
    return path;
}

int temporary_name(const char *file, char path[PATH_MAX]) {
    int n = snprintf(path, PATH_MAX, "%s" TEMPORARY "%ld", file, (long)getpid());
    if (n < 0 || n >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return 0;
}

/* A file that can be locked was left by a maker that died. */
static void temporary_remove_if_dead(int directory, const char *name) {
    struct stat st;
    int fd = fd_openat(directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        return;
    }
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        unlinkat(directory, name, 0);
    }
    close(fd);
}

void temporary_remove_dead(const char *file) {
    char path[PATH_MAX];
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    size_t length = strlen(base);
    DIR *directory = fd_open_dir(temporary_directory_of(file, path));
    for (struct dirent *e; directory && (e = readdir(directory)) != NULL;) {
        if (strncmp(e->d_name, base, length) != 0 || strncmp(e->d_name + length, TEMPORARY, strlen(TEMPORARY)) != 0) {
            continue;
        }
        const char *pid = e->d_name + length + strlen(TEMPORARY);
        if (pid[0] != '\0' && strspn(pid, "0123456789") == strlen(pid)) {
            temporary_remove_if_dead(dirfd(directory), e->d_name);
        }
    }
    if (directory) {
        closedir(directory);
    }
}

/* Another process may remove it between the two: then it is made again. */
int temporary_create(const char *path, mode_t mode) {
    struct stat st;
    for (int tries = 0;; tries++) {
        int fd = fd_open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0 || fstat(fd, &st) != 0 || st.st_nlink > 0 || tries == TRIES) {
            if (fd >= 0) {
                /* A umask may take the owner's own bits, and others need those that are given. */
                (void)fchmod(fd, mode);
            }
            return fd;
        }
        close(fd);
    }
}
